//! Rows from settled offsets.

#![allow(clippy::unwrap_used)]

mod support;

use comparator::classify::{Captured, Classified, Classifier, RangeInfo};
use comparator::pair::Settled;
use comparator::store::ExchangeRow;
use shadow_control::Comparison;
use shadow_record::{ControlAnswer, FailureClass, Outcome, ReplayedExchange, Response, SkipReason, Timestamp};
use support::{NOON, answer, appended, captured, id, launch, replayed};

const ROUTE: &str = "GET /orders/{id}";

fn row(captured: Option<Captured>, outcome: Option<ReplayedExchange>) -> ExchangeRow {
    row_under(&Classifier::new(&launch("v2"), 64), captured, outcome)
}

fn row_under(classifier: &Classifier, captured: Option<Captured>, outcome: Option<ReplayedExchange>) -> ExchangeRow {
    match classifier.classify(3, Settled::Pair { offset: 5, captured, outcome: outcome.map(appended), replayed_at: 8 })
    {
        Classified::Exchange(row, _) => *row,
        Classified::Range(_) => panic!("one offset makes one exchange"),
    }
}

fn primary(body: &str) -> Option<Captured> {
    Some(Captured::of(Timestamp(NOON), captured(1, ROUTE, answer(200, body))))
}

fn candidate(body: &str) -> ReplayedExchange {
    replayed("v2", 3, 5, 1, Outcome::Completed(answer(200, body)))
}

#[test]
fn an_equal_answer_matches_and_keeps_no_bodies() {
    let row = row(primary(r#"{"a":1}"#), Some(candidate(r#"{"a":1.0}"#)));
    assert_eq!((row.outcome, row.result, row.rules_version.as_str()), ("completed", "matched", "7"));
    assert_eq!((row.primary_body.as_str(), row.differences_place.len()), ("", 0));
    assert_eq!(row.staleness_us, Some(10_100));
}

#[test]
fn a_differing_answer_carries_its_differences_and_bounded_bodies() {
    let long = format!(r#"{{"a":2,"b":"{}"}}"#, "ä".repeat(100));
    let row = row(primary(r#"{"a":1}"#), Some(candidate(&long)));
    assert_eq!(row.result, "differing");
    assert_eq!(row.differences_place, ["$.a", "$.b"]);
    assert_eq!(row.differences_kind, ["value", "added"]);
    assert_eq!(row.primary_body, r#"{"a":1}"#);
    assert!(row.candidate_body.len() <= 64 && row.candidate_body.ends_with('ä'), "{}", row.candidate_body);
}

#[test]
fn another_request_id_is_a_conflict_and_not_a_difference() {
    let mut other = candidate(r#"{"a":2}"#);
    other.request_id = Some(id(99));
    let row = row(primary(r#"{"a":1}"#), Some(other));
    assert_eq!((row.outcome, row.result), ("completed", "conflict"));
    assert!(row.differences_place.is_empty());
}

#[test]
fn answers_masked_under_different_keys_or_rules_are_incomparable() {
    let with = |change: fn(&mut ReplayedExchange)| {
        let mut other = candidate(r#"{"a":2}"#);
        change(&mut other);
        row(primary(r#"{"a":1}"#), Some(other)).result
    };
    assert_eq!(with(|_| {}), "differing");
    assert_eq!(with(|other| other.key_id = "k2".to_owned()), "incomparable");
    assert_eq!(with(|other| other.ruleset = "r2".to_owned()), "incomparable");
}

#[test]
fn a_launch_without_comparison_only_records() {
    let mut off = launch("v2");
    off.comparison = Comparison::Off;
    let row = row_under(&Classifier::new(&off, 64), primary("1"), Some(candidate("2")));
    assert_eq!((row.outcome, row.result, row.candidate_status), ("completed", "", Some(200)));
}

#[test]
fn what_cannot_be_compared_for_lack_of_a_record_is_dead_lettered_with_its_reason() {
    let unreadable = Captured::unreadable(Timestamp(NOON + 7));
    let reasons = [
        (row(None, Some(candidate("1"))), "captured_lost"),
        (row(Some(unreadable.clone()), Some(candidate("1"))), "undecodable"),
        (row(Some(unreadable), Some(replayed("v2", 3, 5, 1, Outcome::DeadLettered))), "undecodable"),
        (row(primary("1"), None), "outcome_lost"),
    ];
    for (row, reason) in reasons {
        assert_eq!((row.outcome, row.reason, row.result), ("dead_lettered", reason, ""));
        assert!(row.captured_at >= NOON, "the append time stands in");
    }
}

#[test]
fn what_was_not_sent_stays_skipped_even_without_its_record() {
    let row = row(None, Some(replayed("v2", 3, 5, 1, Outcome::Skipped(SkipReason::TooOld))));
    assert_eq!((row.outcome, row.reason), ("skipped", "too_old"));
}

#[test]
fn the_first_outcome_wins_and_the_whole_row_wins_over_its_half() {
    let version = |replayed_at, captured| {
        let settled = Settled::Pair { offset: 5, captured, outcome: Some(appended(candidate("1"))), replayed_at };
        match Classifier::new(&launch("v2"), 0).classify(0, settled) {
            Classified::Exchange(row, _) => row.version,
            Classified::Range(row) => row.version,
        }
    };
    assert!(version(8, primary("1")) > version(8, None));
    assert!(version(8, None) > version(9, primary("1")));
}

#[test]
fn a_range_keeps_its_reason_and_a_lost_one_says_so() {
    let info = RangeInfo { reason: SkipReason::Expired, replayer: "r".to_owned(), at: Timestamp(NOON) };
    let classifier = Classifier::new(&launch("v2"), 0);
    let reason = |settled| match classifier.classify(0, settled) {
        Classified::Range(row) => (row.first_offset, row.last_offset, row.reason),
        Classified::Exchange(..) => panic!("a range stays a range"),
    };
    assert_eq!(reason(Settled::Skipped { first: 1, last: 4, range: info, replayed_at: 0 }), (1, 4, "expired"));
    assert_eq!(reason(Settled::Lost { first: 5, last: 6, replayed_at: 0 }), (5, 6, "outcome_lost"));
}

/// The candidate's answer with what a control gave.
fn beside(control: Result<Response, FailureClass>, body: &str) -> ReplayedExchange {
    let sent_at = Timestamp(NOON + 10_100);
    let control = Some(ControlAnswer { sent_at, first_byte_us: Some(700), total_us: Some(800), answer: control });
    ReplayedExchange { control, ..candidate(body) }
}

#[test]
fn a_control_is_compared_with_the_primary_and_not_with_the_candidate() {
    let row = row(primary(r#"{"a":1,"b":1}"#), Some(beside(Ok(answer(200, r#"{"a":1,"b":2}"#)), r#"{"a":2,"b":1}"#)));
    assert_eq!((row.result, row.differences_place.as_slice()), ("differing", &["$.a".to_owned()][..]));
    assert_eq!((row.control_result, row.control_place.as_slice()), ("differing", &["$.b".to_owned()][..]));
    assert_eq!((row.control_kind, row.control_transition), (vec!["value"], vec!["changed".to_owned()]));
    assert_eq!((row.control_status, row.control_us, row.control_error), (Some(200), Some(800), ""));
    assert_eq!(row.control_sent_at, Some(NOON + 10_100));
}

#[test]
fn a_control_that_failed_changes_nothing_of_the_candidate() {
    let alone = row(primary("1"), Some(candidate("1")));
    let mut failed = row(primary("1"), Some(beside(Err(FailureClass::Timeout), "1")));
    assert_eq!((failed.control_result, failed.control_error, failed.control_status), ("failed", "timeout", None));
    (failed.control_result, failed.control_error) = ("", "");
    (failed.control_sent_at, failed.control_first_byte_us, failed.control_us) = (None, None, None);
    assert_eq!(failed, alone);
}

#[test]
fn the_row_tells_which_rules_decided_what_was_expected_and_what_was_measured() {
    let mut launch = launch("v2");
    let rules = r#"
        [[ignore]]
        json = ["$.at"]
        [[ignore]]
        json = ["$.nowhere"]
        [[expected]]
        name = "cents"
        owner = "shop"
        expires = "2030-01-01"
        place = "$.price"
        why = "prices are cents now"
        [[measure]]
        class = "$.label"
        score = "$.score"
    "#;
    launch.rules = Some(rules.to_owned());
    let ours = r#"{"at":1,"price":1,"label":"ham","score":0.25,"seen":1}"#;
    let theirs = r#"{"at":1,"price":100,"label":"spam","score":0.75,"seen":1}"#;
    let control = Ok(answer(200, &ours.replace(r#""at":1"#, r#""at":2"#)));
    let row = row_under(&Classifier::new(&launch, 64), primary(ours), Some(beside(control, theirs)));
    let expected: Vec<_> = row.differences_place.iter().zip(&row.differences_expected).collect();
    assert!(expected.contains(&(&"$.price".to_owned(), &"cents".to_owned())), "{expected:?}");
    assert!(expected.contains(&(&"$.label".to_owned(), &String::new())), "{expected:?}");
    assert_eq!((row.result, row.result_without_differences), ("differing", "matched"));
    assert_eq!((row.primary_class.as_str(), row.candidate_class.as_str()), ("ham", "spam"));
    assert_eq!(row.score_difference, Some(0.5));
    assert!(row.rules_used.contains(&0), "the control's comparison used it: {:?}", row.rules_used);
    assert!(row.rules_used.contains(&2) && !row.rules_used.contains(&1), "{:?}", row.rules_used);
}

#[test]
fn attributes_of_the_request_come_into_its_row() {
    let mut record = captured(1, ROUTE, answer(200, "1"));
    record.request.path = "/orders/17".to_owned();
    record.request.headers = vec![shadow_record::Header::of("accept-language", "de")];
    let row = row(Some(Captured::of(Timestamp(NOON), record)), Some(candidate("1")));
    let named = |name: &str| row.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((named("path:id"), named("header:accept-language")), (Some("17"), Some("de")));
}
