//! What is said of answers that cannot be compared in full: that one version broke must not vanish among them.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use shadow_diff::{CompareResult, Comparison, DifferenceKind, Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp, Withheld};

fn answer(status: u16, media: &str, body: &str) -> Response {
    let content = Some(Bytes::from(body.to_owned()));
    let body = Body { content, length: body.len() as i64, digest: Bytes::from_static(b"own"), withheld: None };
    Response { status, headers: vec![Header::of("content-type", media)], body }
}

fn withheld(why: Withheld, length: i64) -> Response {
    let body = Body { content: None, length, digest: Bytes::from_static(b"other"), withheld: Some(why) };
    Response { body, ..answer(200, "application/json", "") }
}

fn json(body: &str) -> Response {
    answer(200, "application/json", body)
}

fn under(rules: &str, ours: &Response, theirs: &Response) -> Comparison {
    compare("GET /x", ours, theirs, &Rules::parse(rules).unwrap(), Timestamp(0))
}

/// The one difference, as place, kind and transition.
fn found(comparison: &Comparison) -> (CompareResult, &str, DifferenceKind, &str) {
    let [found] = &comparison.differences[..] else { unreachable!("one difference: {comparison:?}") };
    (comparison.result, &found.place, found.kind, &found.transition)
}

#[test]
fn a_body_that_only_one_version_broke_is_a_fault() {
    let broken = withheld(Withheld::Unparseable, 12);
    let differing = (CompareResult::Differing, "body", DifferenceKind::Type);
    for (other, word) in [
        (json(r#"{"a":1}"#), "json"),
        (answer(200, "application/json", "<html></html>"), "html"),
        (answer(200, "application/json", ""), "absent"),
        (withheld(Withheld::Truncated, 12), "too_large"),
        (withheld(Withheld::TooDeep, 12), "too_deep"),
        (withheld(Withheld::UnsupportedType, 12), "unsupported_type"),
    ] {
        let other = Response {
            headers: broken.headers.clone(),
            body: Body { digest: Bytes::from_static(b"x"), ..other.body },
            ..other
        };
        let (forth, back) = (under("", &other, &broken), under("", &broken, &other));
        let transition = format!("{word}->unparseable");
        assert_eq!(found(&forth), (differing.0, differing.1, differing.2, &*transition));
        assert_eq!(found(&back).3, format!("unparseable->{word}"));
        assert_eq!(under("[[ignore]]\njson = [\"$\"]", &other, &broken).result, CompareResult::Matched);
    }
    let ours = withheld(Withheld::Unparseable, 9);
    assert_eq!(under("", &ours, &ours).result, CompareResult::Matched);
    let other = Response { body: Body { digest: Bytes::from_static(b"x"), ..ours.body.clone() }, ..ours.clone() };
    assert_eq!(under("", &ours, &other).result, CompareResult::Incomparable, "both are broken, each in its way");
    for agents in [Withheld::Budget, Withheld::Aborted, Withheld::Other] {
        let other = under(
            "",
            &withheld(agents, 40),
            &Response { body: Body { digest: Bytes::from_static(b"x"), ..broken.body.clone() }, ..broken.clone() },
        );
        assert_eq!(other.result, CompareResult::Incomparable, "{agents:?} says nothing about the body");
    }
}

#[test]
fn a_body_of_quite_another_length_is_a_fault_though_it_was_withheld() {
    let whole = json(&format!("[{}1]", "1,".repeat(499)));
    let too_large = |length| withheld(Withheld::Truncated, length);
    let length = whole.body.length;
    let said = under("", &whole, &too_large(2 * length + 1));
    assert_eq!(found(&said), (CompareResult::Differing, "body", DifferenceKind::Value, "whole->too_large"));
    assert_eq!(found(&under("", &too_large(2 * length + 1), &whole)).3, "too_large->whole");
    assert_eq!(found(&under("", &too_large(length / 2 - 1), &whole)).3, "too_large->whole");
    for length in [2 * length, length, length / 2 + 1] {
        assert_eq!(under("", &whole, &too_large(length)).result, CompareResult::Incomparable, "{length}");
    }
    // A coding makes a body look shorter than it is.
    let mut coded = too_large(10);
    coded.headers.push(Header::of("content-encoding", "gzip"));
    assert_eq!(under("", &whole, &coded).result, CompareResult::Incomparable);
    let decoded = Response { body: Body { length: 10, ..whole.body.clone() }, ..whole.clone() };
    assert_eq!(under("", &decoded, &too_large(length + 10)).result, CompareResult::Incomparable);
    assert_eq!(under("", &whole, &withheld(Withheld::TooDeep, 10 * length)).result, CompareResult::Incomparable);
}

#[test]
fn a_body_with_more_values_than_are_compared_is_a_fault_where_the_other_is_short() {
    let values = |count: usize| json(&format!("[{}1]", "1,".repeat(count)));
    let (many, some, few) = (values(shadow_diff::MAX_NODES), values(shadow_diff::MAX_NODES * 3 / 4), values(9));
    assert_eq!(
        found(&under("", &few, &many)),
        (CompareResult::Differing, "body", DifferenceKind::Value, "whole->too_large")
    );
    assert_eq!(found(&under("", &many, &few)).3, "too_large->whole");
    assert_eq!(under("", &some, &many).result, CompareResult::Truncated);
}

#[test]
fn names_that_only_one_version_repeats_are_a_fault() {
    let (twice, once) = (json(r#"{"x":{"a":1,"a":2},"y":1}"#), json(r#"{"x":{"a":2},"y":1}"#));
    let said = under("", &once, &twice);
    assert_eq!(found(&said), (CompareResult::Differing, "$.x", DifferenceKind::Type, "object->ambiguous"));
    assert_eq!(found(&under("", &twice, &once)).3, "ambiguous->object");
    let other = json(r#"{"x":{"a":3,"a":2},"y":1}"#);
    assert_eq!(under("", &twice, &other).result, CompareResult::Incomparable);
}

#[test]
fn what_counts_of_an_error_is_not_equal_where_a_name_is_repeated_on_the_way() {
    let rules = "[[errors]]\njson = [\"$.error.code\"]";
    let of = |body: &str| answer(404, "application/problem+json", body);
    let (a, b) = (r#"{"error":{"code":1,"x":1,"x":2}}"#, r#"{"error":{"code":2,"x":1,"x":2}}"#);
    assert_eq!(under(rules, &of(a), &of(b)).result, CompareResult::Incomparable);
    assert_eq!(under(rules, &of(a), &of(&format!("{a} "))).result, CompareResult::Matched);
    let said = under(rules, &of(r#"{"error":{"code":1}}"#), &of(b));
    assert_eq!(found(&said), (CompareResult::Differing, "$.error.code", DifferenceKind::Type, "number->ambiguous"));
    // Where the body does not count at all, a withheld one does not either.
    let broken = Response { status: 404, ..withheld(Withheld::Unparseable, 3) };
    assert_eq!(under("headers = []\n[[errors]]\nstatus = \"class\"", &of(a), &broken).result, CompareResult::Matched);
    assert_eq!(under(&format!("headers = []\n{rules}"), &of(a), &broken).result, CompareResult::Differing);
}
