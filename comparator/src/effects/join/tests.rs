use std::collections::BTreeSet;

use shadow_diff::{Difference, DifferenceKind, Signature};

use super::*;
use crate::effects::{Compared, Reason};

const ANSWERS: [&str; 5] = [MATCHED, DIFFERING, EXPECTED, "truncated", INCOMPARABLE];

fn row(result: &'static str) -> ExchangeRow {
    ExchangeRow { result, control_result: MATCHED, rules_used: vec![2], ..ExchangeRow::EMPTY }
}

fn leg(result: EffectsResult) -> Leg {
    let difference = Difference {
        place: "effects POST a.example/b".to_owned(),
        example: "effects POST a.example/b".to_owned(),
        kind: DifferenceKind::Added,
        transition: "1->2".to_owned(),
        primary: String::new(),
        candidate: "{}".to_owned(),
        count: 1,
        signature: Signature(7),
        expected: (result == EffectsResult::Expected).then(|| "meant".into()),
    };
    let differs = matches!(result, EffectsResult::Differing | EffectsResult::Expected);
    let differences = if differs { vec![difference] } else { Vec::new() };
    let rules_used = BTreeSet::from([1, 2]);
    Leg { calls: 2, result, compared: Compared { differences, omitted: 3, rules_used, ..Compared::default() } }
}

fn joined_to(result: &'static str, candidate: EffectsResult, control: Option<EffectsResult>) -> ExchangeRow {
    let mut row = row(result);
    let judged = Judged { primary_calls: 1, candidate: Some(leg(candidate)), control: control.map(leg) };
    join(&mut row, judged);
    row
}

#[test]
fn a_difference_of_calls_makes_an_exchange_differ_whatever_the_answers() {
    for answers in ANSWERS {
        let row = joined_to(answers, EffectsResult::Differing, None);
        assert_eq!((row.result, row.effects_result, row.effects_reason), (DIFFERING, "differing", ""));
        assert_eq!(row.differences_signature, ["0000000000000007"]);
        assert_eq!((row.differences_kind, row.differences_omitted), (vec!["added"], 3));
        assert_eq!((row.primary_effects, row.candidate_effects, row.rules_used), (1, 2, vec![1, 2]));
    }
}

#[test]
fn an_expected_difference_shows_only_where_the_answers_matched() {
    for (answers, result) in ANSWERS.into_iter().zip([EXPECTED, DIFFERING, EXPECTED, "truncated", INCOMPARABLE]) {
        let row = joined_to(answers, EffectsResult::Expected, None);
        assert_eq!((row.result, row.effects_result), (result, "expected"));
        assert_eq!(row.differences_expected, ["meant"]);
    }
}

#[test]
fn calls_that_cannot_be_compared_leave_the_answers_result() {
    for answers in ANSWERS {
        for reason in [Reason::NotRecorded, Reason::Uncorrelated, Reason::Forgotten, Reason::TooMany, Reason::Unseen] {
            let row = joined_to(answers, EffectsResult::Incomparable(reason), None);
            assert_eq!(
                (row.result, row.effects_result, row.effects_reason),
                (answers, "incomparable", reason.as_str())
            );
        }
        for result in [EffectsResult::Matched, EffectsResult::Nothing] {
            assert_eq!(joined_to(answers, result, None).result, answers);
        }
    }
}

#[test]
fn the_controls_differences_stand_beside_its_answers() {
    let row = joined_to(MATCHED, EffectsResult::Matched, Some(EffectsResult::Differing));
    assert_eq!((row.result, row.control_result), (MATCHED, DIFFERING));
    assert_eq!(
        (row.control_signature, row.control_place),
        (vec!["0000000000000007".to_owned()], vec!["effects POST a.example/b".to_owned()])
    );
    assert_eq!((row.control_effects, row.control_differences_omitted), (2, 3));
}

#[test]
fn what_was_compared_with_one_leg_only_is_no_evidence_of_noise() {
    let unseen = EffectsResult::Incomparable(Reason::Uncorrelated);
    let row = joined_to(MATCHED, EffectsResult::Differing, Some(unseen));
    assert_eq!((row.result, row.control_result), (DIFFERING, INCOMPARABLE));
    let row = joined_to(MATCHED, unseen, Some(EffectsResult::Differing));
    assert_eq!((row.control_result, row.control_signature.len(), row.control_effects), (MATCHED, 0, 2));
    let row = joined_to(MATCHED, EffectsResult::Matched, Some(unseen));
    assert_eq!(row.control_result, MATCHED);
}

#[test]
fn a_body_that_could_not_be_looked_at_is_no_agreement_beside_other_differences() {
    let without_differences = |unseen| {
        let mut row = ExchangeRow { result_without_differences: MATCHED, ..row(MATCHED) };
        let mut candidate = leg(EffectsResult::Differing);
        candidate.compared.unseen = unseen;
        join(&mut row, Judged { primary_calls: 1, candidate: Some(candidate), control: None });
        row.result_without_differences
    };
    assert_eq!([true, false].map(without_differences), [INCOMPARABLE, MATCHED]);
}
