//! What the calls of an exchange came to, in its row: their differences stand beside those of the answers. Pure.

use shadow_diff::CompareResult;

use super::judge::{EffectsResult, Judged, Leg};
use crate::classify::{push_control_difference, push_difference};
use crate::store::ExchangeRow;

const MATCHED: &str = CompareResult::Matched.as_str();
const DIFFERING: &str = CompareResult::Differing.as_str();
const EXPECTED: &str = CompareResult::Expected.as_str();
const INCOMPARABLE: &str = CompareResult::Incomparable.as_str();

/// Joins what was judged to the row. A difference of calls makes the exchange `differing`, or `expected` where it is expected and the answers
/// matched; calls that cannot be compared leave the answers' result as it is, for `effects_result` says so.
pub fn join(row: &mut ExchangeRow, judged: Judged) {
    let Judged { primary_calls, candidate, control } = judged;
    row.primary_effects = count(primary_calls);
    let Some(candidate) = candidate else { return };
    let compared =
        !matches!(candidate.result, EffectsResult::Incomparable(_)) || !candidate.compared.differences.is_empty();
    let differs = candidate.result == EffectsResult::Differing;
    join_candidate(row, candidate);
    if let Some(control) = control {
        row.control_effects = count(control.calls);
        // Noise is learnt from pairs: what was compared with one of them only would count against it.
        let incomparable = matches!(control.result, EffectsResult::Incomparable(_));
        match (compared, incomparable) {
            (true, false) => join_control(row, control),
            (true, true) if differs => row.control_result = INCOMPARABLE,
            _ => {}
        }
    }
}

fn join_candidate(row: &mut ExchangeRow, candidate: Leg) {
    let Leg { calls, result, compared } = candidate;
    row.candidate_effects = count(calls);
    (row.effects_result, row.effects_reason) = (result.as_str(), result.reason());
    row.result = joined(row.result, result);
    // Where all that differs turns out to be noise, what could not be looked at is still no agreement.
    if compared.unseen {
        row.result_without_differences = INCOMPARABLE;
    }
    row.differences_omitted = row.differences_omitted.saturating_add(compared.omitted);
    use_rules(row, compared.rules_used);
    compared.differences.into_iter().for_each(|difference| push_difference(row, difference));
}

fn join_control(row: &mut ExchangeRow, control: Leg) {
    row.control_result = joined(row.control_result, control.result);
    row.control_differences_omitted = row.control_differences_omitted.saturating_add(control.compared.omitted);
    use_rules(row, control.compared.rules_used);
    control.compared.differences.into_iter().for_each(|difference| push_control_difference(row, difference));
}

fn joined(answers: &'static str, effects: EffectsResult) -> &'static str {
    match (answers, effects) {
        (_, EffectsResult::Differing) => DIFFERING,
        (MATCHED, EffectsResult::Expected) => EXPECTED,
        (answers, _) => answers,
    }
}

fn use_rules(row: &mut ExchangeRow, used: impl IntoIterator<Item = u16>) {
    row.rules_used.extend(used);
    row.rules_used.sort_unstable();
    row.rules_used.dedup();
}

fn count(calls: usize) -> u16 {
    u16::try_from(calls).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
