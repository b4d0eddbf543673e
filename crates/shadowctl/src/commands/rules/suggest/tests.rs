//! Suggested rules, and that they are rules.

use super::*;
use crate::commands::noise::NoiseRow;

fn seen(place: &str, kind: &str, transition: &str, examples: &[(&str, &str)]) -> Seen {
    let row = NoiseRow {
        route: "GET /search".into(),
        place: place.into(),
        kind: kind.into(),
        transition: transition.into(),
        pairs: 1200,
        control_differing: 300,
        basis: "live".into(),
        decision: "noise".into(),
        ..NoiseRow::default()
    };
    Seen { row, examples: examples.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect() }
}

fn changed(place: &str, examples: &[(&str, &str)]) -> Seen {
    seen(place, "value", "changed", examples)
}

fn launch() -> LaunchName {
    "v2".parse().unwrap()
}

#[test]
fn each_place_gets_the_narrowest_rule_that_covers_its_examples() {
    let times = [
        (r#""2026-01-01T00:00:00Z""#, r#""2026-01-01T00:00:04Z""#),
        (r#""2026-01-01T00:00:00Z""#, r#""2026-01-01T00:00:00.5Z""#),
    ];
    let uuid = (r#""0190f3a6-62c1-7d9e-8774-0123456789ab""#, r#""0190f3a6-62c1-7d9e-8774-ba9876543210""#);
    let noise = [
        changed("$.at", &times),
        changed("$.epoch", &[("1767323045", "1767323046")]),
        changed("$.trace", &[uuid]),
        changed("$.score", &[("0.5", "0.502"), ("10", "10.01")]),
        changed("$.words", &[(r#""a  B""#, r#""A b""#)]),
        changed("$.etag", &[(r#""x1""#, r#""y2""#), uuid]),
        changed("$[\"odd \\\"name\"].x", &[("1", "90")]),
        seen("$.hits", "order", "reordered", &[("[1,2]", "[2,1]")]),
        seen("$.note", "missing", "null->absent", &[("null", "")]),
        seen("$.hits[*]", "missing", "object->absent", &[("{}", "")]),
        seen("$.hits[*]", "added", "absent->object", &[("", "{}")]),
        seen("header:date", "header", "changed", &[("Thu, 01 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:01 GMT")]),
        seen("status", "status", "200->503", &[("200", "503")]),
        seen("body", "value", "changed", &[("a", "b")]),
    ];
    let text = rules(&launch(), &noise);
    Rules::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    insta::assert_snapshot!(text);
}

#[test]
fn without_noise_there_is_a_text_without_rules() {
    let text = rules(&launch(), &[]);
    assert_eq!(Rules::parse(&text).unwrap().list().count(), 0);
    assert!(text.contains("no rules are needed"), "{text}");
}

#[test]
fn an_excerpt_that_was_cut_is_covered_by_nothing_narrow() {
    let cut = format!("\"{}…", "x".repeat(150));
    let text = rules(&launch(), &[changed("$.long", &[(&cut, &cut.replace('x', "X"))]), changed("$.unseen", &[])]);
    assert_eq!(text.matches("[[ignore]]").count(), 2, "{text}");
}
