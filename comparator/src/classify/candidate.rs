//! The candidate's side of a row, and where its answer differs from the primary's.

use shadow_diff::{Comparison, Difference};
use shadow_record::{Body, HeldBy, Outcome, ReplayedExchange, Response, Timestamp};

use crate::store::ExchangeRow;

/// Fills in what the replayed record says of the candidate.
pub(super) fn fill(row: &mut ExchangeRow, replayed: &ReplayedExchange) {
    row.request_id = replayed.request_id.map(|id| id.0);
    row.appended_at = replayed.appended_at.micros();
    row.captured_at = row.appended_at;
    row.intended_at = replayed.intended_at.map(Timestamp::micros);
    row.sent_at = replayed.sent_at.map(Timestamp::micros);
    row.candidate_first_byte_us = replayed.first_byte_us;
    row.candidate_us = replayed.total_us;
    if let Outcome::Completed(response) = &replayed.outcome {
        row.candidate_status = Some(response.status);
        row.candidate_body_bytes = Some(response.body.length);
    }
    row.candidate_ruleset.clone_from(&replayed.ruleset);
    row.candidate_key_id.clone_from(&replayed.key_id);
    row.replayer.clone_from(&replayed.replayer);
    row.attempt = replayed.attempt;
    row.send = replayed.send;
    row.alone = u8::from(replayed.alone);
    row.session = replayed.session.clone().unwrap_or_default();
    row.held_by = replayed.held_by.map_or("", HeldBy::as_str);
    row.rewritten.clone_from(&replayed.rewritten);
}

/// Fills in what the comparison found, with both bodies cut at `body_bytes` where it found something.
pub(super) fn fill_comparison(
    row: &mut ExchangeRow,
    comparison: Comparison,
    (primary, candidate): (&Response, &Response),
    body_bytes: usize,
) {
    row.result = comparison.result.as_str();
    row.result_without_differences = comparison.without_differences.as_str();
    row.rules_used = comparison.rules_used;
    row.differences_omitted = comparison.omitted;
    if let Some(measured) = comparison.measured {
        (row.primary_class, row.candidate_class) = measured.class.unwrap_or_default();
        row.score_difference = measured.score_difference;
    }
    if !comparison.differences.is_empty() {
        row.primary_body = excerpt(&primary.body, body_bytes);
        row.candidate_body = excerpt(&candidate.body, body_bytes);
    }
    comparison.differences.into_iter().for_each(|difference| push_difference(row, difference));
}

/// Lists one more difference.
pub(crate) fn push_difference(row: &mut ExchangeRow, difference: Difference) {
    row.differences_signature.push(difference.signature.to_string());
    row.differences_place.push(difference.place);
    row.differences_kind.push(difference.kind.as_str());
    row.differences_transition.push(difference.transition);
    row.differences_example.push(difference.example);
    row.differences_primary.push(difference.primary);
    row.differences_candidate.push(difference.candidate);
    row.differences_count.push(difference.count);
    row.differences_expected.push(difference.expected.as_deref().unwrap_or_default().to_owned());
}

/// The masked content as text, cut at `limit` bytes.
pub(crate) fn excerpt(body: &Body, limit: usize) -> String {
    let content = body.content.as_deref().unwrap_or_default();
    let mut text = String::from_utf8_lossy(&content[..content.len().min(limit)]).into_owned();
    if content.len() > limit {
        // The cut may have split a character.
        while text.ends_with(char::REPLACEMENT_CHARACTER) {
            text.pop();
        }
    }
    text
}
