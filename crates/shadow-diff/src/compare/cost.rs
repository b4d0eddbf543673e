//! What a comparison costs, counted in steps of work and not in time.

use bytes::Bytes;
use shadow_record::{Body, Header};

use super::*;

fn answer(body: String) -> Response {
    let length = body.len() as i64;
    let body = Body { content: Some(Bytes::from(body)), length, digest: Bytes::new(), withheld: None };
    Response { status: 200, headers: vec![Header::of("content-type", "application/json")], body }
}

/// The comparison, and the steps it took.
fn steps(rules: &str, ours: String, theirs: String) -> (Comparison, u64) {
    steps_up_to(MAX_WORK, rules, ours, theirs)
}

fn steps_up_to(limit: u64, rules: &str, ours: String, theirs: String) -> (Comparison, u64) {
    let (rules, work) = (Rules::parse(rules).unwrap(), Work::up_to(limit));
    let (ours, theirs) = ((&answer(ours), Masking::default()), (&answer(theirs), Masking::default()));
    (counted("GET /a", ours, theirs, &rules, Timestamp(0), &work), work.done())
}

fn list(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(","))
}

/// A different order each time `by` is, which shares no factor with `count`.
fn shuffled(count: usize, by: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| i * by % count)
}

#[test]
fn a_hundred_thousand_elements_in_any_order_cost_a_few_steps_each() {
    let count = 100_000;
    let element = |i| format!(r#"{{"id":{i}}}"#);
    for rules in [
        "",
        "[[unordered]]\njson = [\"$\"]",
        "[[unordered]]\njson = [\"$\"]\nas = \"set\"",
        "[[keyed]]\njson = [\"$\"]\nkey = \"id\"",
    ] {
        let (comparison, work) =
            steps(rules, list((0..count).map(element)), list(shuffled(count, 77_777).map(element)));
        let result = if rules.is_empty() { CompareResult::Differing } else { CompareResult::Matched };
        assert_eq!(comparison.result, result, "{rules}");
        assert!(work < 20 * count as u64, "{rules}: {work} steps");
    }
}

#[test]
fn near_equal_elements_are_paired_by_what_tells_them_apart_at_linear_cost() {
    let count = 10_000;
    let rules = "[[unordered]]\njson = [\"$\"]\n[[tolerance]]\njson = [\"$[*].p\"]\nabsolute = 0.5\n[[ignore]]\njson = [\"$[*].t\"]";
    let element = |t: usize, changed: usize| {
        move |i: usize| format!(r#"{{"id":{i},"p":1.{},"t":{},"n":{changed}}}"#, (i + t) % 3, i + t)
    };
    let ours = || list((0..count).map(element(0, 0)));
    let (comparison, work) = steps(rules, ours(), list(shuffled(count, 7_777).map(element(1, 0))));
    assert_eq!(comparison.result, CompareResult::Matched, "{comparison:?}");
    assert!(work < 100 * count as u64, "{work} steps");
    // One fault in every element is one signature, and not a guess at which element became which.
    let (comparison, work) = steps(rules, ours(), list(shuffled(count, 7_777).map(element(1, 1))));
    let found: Vec<_> = comparison.differences.iter().map(|d| (&*d.place, d.count)).collect();
    assert_eq!(found, [("$[*].n", count as u32)]);
    assert!(work < 150 * count as u64, "{work} steps");
}

#[test]
fn ten_thousand_levels_are_compared_in_full() {
    let nested = |inner: &str| format!("{}{inner}{}", r#"{"a":["#.repeat(5_000), "]}".repeat(5_000));
    for rules in [
        "",
        "[[unordered]]\njson = [\"$..*\"]",
        "[[ignore]]\njson = [\"$..a..a..a..b\"]",
        "[[shape]]\njson = [\"$.b\"]",
    ] {
        let (comparison, work) = steps(rules, nested("1"), nested("2"));
        assert_eq!((comparison.result, comparison.differences.len()), (CompareResult::Differing, 1), "{rules}");
        assert!(work < 500_000, "{rules}: {work} steps");
        assert_eq!(steps(rules, nested("1"), nested("1.0")).0.result, CompareResult::Matched, "{rules}");
    }
}

#[test]
fn many_rules_with_descents_cost_a_step_for_each_value_and_rule_until_the_budget_ends() {
    let (rules, values) = (500, 2_000);
    let text: String = (0..rules).map(|i| format!("[[ignore]]\njson = [\"$..a{i}..b\"]\n")).collect();
    let body = |n: usize| list((0..values / 2).map(|i| format!("[{}]", i + n)));
    let (comparison, work) = steps(&text, body(0), body(values));
    assert_eq!(comparison.result, CompareResult::Differing);
    assert!(work < 6 * rules * values as u64, "{work} steps");
    // Equal but for the order, which takes more work to find than there is.
    let unordered = format!("[[unordered]]\njson = [\"$\"]\n{text}");
    let (ours, theirs) =
        (list((0..values).map(|i| format!("[{i}]"))), list((0..values).rev().map(|i| format!("[{i}.0]"))));
    assert_eq!(steps(&unordered, ours.clone(), theirs.clone()).0.result, CompareResult::Matched);
    let wrapped = |list: String, t: u8| format!("{{\"a\":{list},\"t\":{t}}}");
    let rules = text.replace("$..", "$.a..")
        + "[[unordered]]\njson = [\"$.a\"]\n[[tolerance]]\njson = [\"$.a..*\"]\nabsolute = 0.1\n";
    let nearly = theirs.replace(".0", ".01");
    let (comparison, work) = steps_up_to(100_000, &rules, wrapped(ours, 1), wrapped(nearly, 1));
    assert_eq!((comparison.result, comparison.differences.len()), (CompareResult::Truncated, 0));
    assert!(work < 200_000, "{work} steps");
}

#[test]
fn shapes_of_many_kinds_end_at_the_budget_and_are_never_equal_by_it() {
    // Each element has a shape of its own, and one on the other side is compared with all that are left over.
    let body = |n: usize| list((0..n).map(|i| format!(r#"{{"m{i}":[[[[{}]]]]}}"#, "1,".repeat(100) + "1")));
    let (comparison, work) = steps_up_to(1_000_000, "[[shape]]\njson = [\"$\"]", body(1), body(4_000));
    assert_eq!(comparison.result, CompareResult::Differing);
    assert!(work < 2_000_000, "{work} steps");
    let filled = body(2_000).replace("[[[[", "[[[[[],");
    let (comparison, _) =
        steps_up_to(100_000, "[[shape]]\njson = [\"$\"]", filled.clone(), filled.replace("[],", "[7],"));
    assert_eq!((comparison.result, comparison.differences.len()), (CompareResult::Truncated, 0));
}

#[test]
fn long_numbers_and_texts_cost_as_much_as_they_are_long() {
    let rules =
        "[[tolerance]]\njson = [\"$\"]\nrelative = 0.001\n[[normalize]]\njson = [\"$\"]\nnumber = true\ncase = true";
    let (comparison, work) = steps(rules, format!("1{}", "0".repeat(100_000)), format!("1{}1", "0".repeat(99_999)));
    assert_eq!(comparison.result, CompareResult::Differing, "more digits than are calculated with");
    assert!(work < 1_000_000, "{work} steps");
}

#[test]
fn the_end_of_the_budget_is_never_a_difference() {
    let element = |p: u32| move |i: u32| format!(r#"{{"id":{i},"x":{},"p":1.{p}}}"#, (i + p) % 2);
    let tolerance = "[[ignore]]\njson = [\"$..x\"]\n[[tolerance]]\njson = [\"$..p\"]\nabsolute = 1\n";
    for (order, moved) in [
        ("", false),
        ("[[unordered]]\njson = [\"$\"]", true),
        ("[[unordered]]\njson = [\"$\"]\nas = \"set\"", true),
        ("[[keyed]]\njson = [\"$\"]\nkey = \"id\"", true),
    ] {
        let rules = format!("{tolerance}{order}");
        let (ours, theirs) =
            (list((0..40).map(element(0))), list((0..40).map(|i| element(1)(if moved { 39 - i } else { i }))));
        let (comparison, enough) = steps(&rules, ours.clone(), theirs.clone());
        assert_eq!(comparison.result, CompareResult::Matched, "{rules}");
        for limit in (0..enough).step_by(7) {
            let (comparison, _) = steps_up_to(limit, &rules, ours.clone(), theirs.clone());
            assert_eq!(comparison.result, CompareResult::Truncated, "{rules} {limit} {comparison:?}");
        }
    }
}
