//! Laws of the comparison, over random documents.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use shadow_diff::{CompareResult, DifferenceKind, Masking, Rules, compare, compare_masked};
use shadow_record::{Body, Header, Response, Timestamp, Withheld};

const ROUTE: &str = "GET /x";
const AT: Timestamp = Timestamp(0);

fn response(content: Option<&str>, digest: &str) -> Response {
    Response {
        status: 200,
        headers: vec![Header::of("content-type", "application/json")],
        body: Body {
            content: content.map(|text| Bytes::from(text.to_owned())),
            length: 10,
            digest: Bytes::from(digest.to_owned()),
            withheld: content.is_none().then_some(Withheld::TooDeep),
        },
    }
}

fn of(value: &Value) -> Response {
    response(Some(&value.to_string()), "")
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000i32..1000, 1u32..4).prop_map(|(n, scale)| json!(f64::from(n) / 10f64.powi(scale as i32))),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// The same document with members reversed and numbers spelt with trailing zeros.
fn respelt(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<_> = map.iter().rev().map(|(k, v)| format!("{}: {}", json!(k), respelt(v))).collect();
            format!("{{ {} }}", members.join(" , "))
        }
        Value::Array(items) => format!("[ {} ]", items.iter().map(respelt).collect::<Vec<_>>().join(" ,")),
        Value::Number(number) => {
            let text = number.to_string();
            if text.contains(['.', 'e']) { text } else { format!("{text}.00e0") }
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn a_document_equals_itself_however_it_is_spelt(doc in document()) {
        let other = response(Some(&respelt(&doc)), "");
        let comparison = compare(ROUTE, &of(&doc), &other, &Rules::default(), AT);
        prop_assert_eq!(comparison.result, CompareResult::Matched, "{:?}", comparison);
    }

    #[test]
    fn two_documents_match_exactly_when_they_are_equal(a in document(), b in document()) {
        let comparison = compare(ROUTE, &of(&a), &of(&b), &Rules::default(), AT);
        prop_assert_eq!(comparison.result == CompareResult::Matched, a == b);
        prop_assert_eq!(comparison.differences.is_empty(), a == b);
    }

    #[test]
    fn swapping_the_sides_swaps_missing_and_added(a in document(), b in document()) {
        let rules = Rules::default();
        let kinds = |c: shadow_diff::Comparison, swap: bool| {
            let kind = move |k| match k {
                DifferenceKind::Missing if swap => DifferenceKind::Added,
                DifferenceKind::Added if swap => DifferenceKind::Missing,
                other => other,
            };
            let mut all: Vec<_> = c.differences.into_iter().map(|d| (d.place, kind(d.kind).as_str(), d.count)).collect();
            all.sort();
            all
        };
        let forth = kinds(compare(ROUTE, &of(&a), &of(&b), &rules, AT), false);
        let back = kinds(compare(ROUTE, &of(&b), &of(&a), &rules, AT), true);
        prop_assert_eq!(forth.iter().map(|f| f.2).sum::<u32>(), back.iter().map(|f| f.2).sum::<u32>());
    }

    #[test]
    fn an_unordered_array_matches_every_permutation_of_itself(mut items in prop::collection::vec(document(), 0..8)) {
        let rules = Rules::parse("[[unordered]]\njson = [\"$.items\"]").unwrap();
        let before = of(&json!({"items": items}));
        let half = items.len() / 2;
        items.rotate_left(half);
        let after = of(&json!({"items": items}));
        prop_assert_eq!(compare(ROUTE, &before, &after, &rules, AT).result, CompareResult::Matched);
    }

    #[test]
    fn what_is_ignored_is_never_reported(a in document(), b in document(), rest in document()) {
        let rules = Rules::parse("[[ignore]]\njson = [\"$.noise\"]").unwrap();
        let (a, b) = (of(&json!({"noise": a, "rest": rest})), of(&json!({"noise": b, "rest": rest})));
        prop_assert_eq!(compare(ROUTE, &a, &b, &rules, AT).result, CompareResult::Matched);
    }

    #[test]
    fn arbitrary_bytes_never_panic(a in prop::collection::vec(any::<u8>(), 0..64), b in "[\\[\\]{},:\"0-9a-e.\\\\-]{0,40}") {
        let mut left = response(Some(""), "");
        left.body.content = Some(Bytes::from(a.clone()));
        let result = compare(ROUTE, &left, &response(Some(&b), ""), &Rules::default(), AT).result;
        prop_assert!(a != b.as_bytes() || result == CompareResult::Matched);
    }
}

/// Tables that hold on the places of random documents, one of them for each kind of rule about places.
const RULES: &[&str] = &[
    "[[ignore]]\njson = [\"$..a\"]\n",
    "[[unordered]]\njson = [\"$\", \"$.b\", \"$[*]\"]\n",
    "[[unordered]]\njson = [\"$..c\"]\nas = \"set\"\n",
    "[[keyed]]\njson = [\"$..d\"]\nkey = \"b\"\n",
    "[[tolerance]]\njson = [\"$..*\"]\nabsolute = 50\n",
    "[[pattern]]\njson = [\"$..b\"]\npattern = \"[a-m]*\"\n",
    "[[normalize]]\njson = [\"$..*\"]\ncase = true\nwhitespace = true\nnumber_type = true\n",
    "[[timestamp]]\njson = [\"$..c\"]\nwithin = \"1h\"\n",
    "[[uuid]]\njson = [\"$..*\"]\n",
    "[[null_is_missing]]\njson = [\"$..*\"]\n",
    "[[shape]]\njson = [\"$..d\", \"$[0]\"]\n",
];

fn rules() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(RULES, 0..=RULES.len())
}

/// What a comparison says of one pair whichever side is which, and however the rules and bodies are written.
fn said(a: &Response, b: &Response, rules: &str) -> (CompareResult, Vec<(String, &'static str, u32)>) {
    let found = compare(ROUTE, a, b, &Rules::parse(rules).unwrap(), AT);
    let differences = found.differences.into_iter().map(|d| (d.place, d.kind.as_str(), d.count));
    (found.result, differences.collect())
}

proptest! {
    #[test]
    fn a_document_equals_itself_under_any_rules_and_needs_none_of_them(doc in document(), rules in rules()) {
        let other = response(Some(&respelt(&doc)), "");
        let found = compare(ROUTE, &of(&doc), &other, &Rules::parse(&rules.concat()).unwrap(), AT);
        prop_assert_eq!((found.result, found.rules_used), (CompareResult::Matched, vec![]));
    }

    #[test]
    fn whichever_side_is_which_a_difference_is_found_or_not(a in document(), b in document(), rules in rules()) {
        let rules = rules.concat();
        let (forth, back) = (said(&of(&a), &of(&b), &rules), said(&of(&b), &of(&a), &rules));
        prop_assert_eq!(forth.0, back.0);
    }

    #[test]
    fn saying_a_rule_twice_changes_nothing(a in document(), b in document(), rules in rules()) {
        let (once, twice) = (rules.concat(), rules.iter().map(|rule| rule.repeat(2)).collect::<String>());
        prop_assert_eq!(said(&of(&a), &of(&b), &once), said(&of(&a), &of(&b), &twice));
    }

    #[test]
    fn the_spelling_of_a_document_changes_nothing(a in document(), b in document(), rules in rules()) {
        let rules = rules.concat();
        let spelt = response(Some(&respelt(&a)), "");
        prop_assert_eq!(said(&of(&a), &of(&b), &rules), said(&spelt, &of(&b), &rules));
    }

    #[test]
    fn a_rule_that_only_ignores_or_equates_never_makes_more_differ(a in document(), b in document(), rules in rules()) {
        let plain = compare(ROUTE, &of(&a), &of(&b), &Rules::default(), AT);
        let found = compare(ROUTE, &of(&a), &of(&b), &Rules::parse(&rules.concat()).unwrap(), AT);
        prop_assert!(plain.result != CompareResult::Matched || found.result == CompareResult::Matched);
        prop_assert!(!found.rules_used.is_empty() || found.result == plain.result);
    }
}

#[test]
fn a_signature_has_no_values_and_no_indexes_in_it() {
    let rules = Rules::default();
    let one =
        compare(ROUTE, &of(&json!({"l": [{"p": 1}, {"p": 2}]})), &of(&json!({"l": [{"p": 9}, {"p": 2}]})), &rules, AT);
    let two =
        compare(ROUTE, &of(&json!({"l": [{"p": 3}, {"p": 4}]})), &of(&json!({"l": [{"p": 3}, {"p": 8}]})), &rules, AT);
    assert_eq!(one.differences[0].signature, two.differences[0].signature);
    let elsewhere = compare("GET /y", &of(&json!({"l": [{"p": 1}]})), &of(&json!({"l": [{"p": 9}]})), &rules, AT);
    assert_ne!(one.differences[0].signature, elsewhere.differences[0].signature);
}

#[test]
fn digests_say_equal_or_nothing() {
    let result = |a: &Response, b: &Response| compare(ROUTE, a, b, &Rules::default(), AT).result;
    assert_eq!(result(&response(None, "d1"), &response(None, "d1")), CompareResult::Matched);
    assert_eq!(result(&response(None, "d1"), &response(None, "d2")), CompareResult::Incomparable);
    assert_eq!(result(&response(None, ""), &response(None, "")), CompareResult::Incomparable);
    assert_eq!(result(&response(Some("1"), "d1"), &response(None, "d1")), CompareResult::Matched);
    assert_eq!(result(&response(Some("1"), "d1"), &response(None, "d2")), CompareResult::Incomparable);
}

#[test]
fn answers_masked_differently_are_told_apart_by_their_status_only() {
    let (a, mut b) = (response(Some("1"), ""), response(Some("2"), ""));
    let rules = Rules::default();
    let ours = Masking { key_id: "k1", ruleset: "r1" };
    let under = |theirs, b: &Response| compare_masked(ROUTE, (&a, ours), (b, theirs), &rules, AT);
    let others = [Masking { key_id: "k2", ..ours }, Masking { ruleset: "r2", ..ours }];
    for other in others {
        assert_eq!(under(other, &b).result, CompareResult::Incomparable);
        assert!(under(other, &b).differences.is_empty());
    }
    assert_eq!(under(ours, &b).result, CompareResult::Differing);
    b.status = 500;
    for other in others {
        assert_eq!(under(other, &b).result, CompareResult::Differing);
        assert_eq!(under(other, &b).differences.len(), 1);
    }
}

#[test]
fn an_object_that_repeats_a_name_is_never_matched() {
    let result =
        |a: &str, b: &str| compare(ROUTE, &response(Some(a), ""), &response(Some(b), ""), &Rules::default(), AT).result;
    assert_eq!(result(r#"{"a":1,"a":2}"#, r#"{"a":2}"#), CompareResult::Differing);
    assert_eq!(result(r#"{"a":2,"a":2}"#, r#"{"a":3,"a":2}"#), CompareResult::Incomparable);
    assert_eq!(result(r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#), CompareResult::Matched);
}

#[test]
fn a_body_beyond_the_budget_is_truncated_and_never_matched() {
    let many = format!("[{}1]", "1,".repeat(shadow_diff::MAX_NODES));
    let more = format!("[{}2]", "1,".repeat(shadow_diff::MAX_NODES));
    let (many, more) = (response(Some(&many), ""), response(Some(&more), ""));
    assert_eq!(compare(ROUTE, &many, &more, &Rules::default(), AT).result, CompareResult::Truncated);
    assert_eq!(compare(ROUTE, &many, &many.clone(), &Rules::default(), AT).result, CompareResult::Matched);
}

#[test]
fn more_faults_than_the_bound_are_counted_not_listed() {
    let keys = |n: i64| Value::from_iter((0..100).map(|i| (format!("k{i}"), Value::from(n))));
    let comparison = compare(ROUTE, &of(&keys(1)), &of(&keys(2)), &Rules::default(), AT);
    assert_eq!(comparison.differences.len(), shadow_diff::MAX_DIFFERENCES);
    assert_eq!(comparison.omitted, 100 - shadow_diff::MAX_DIFFERENCES as u32);
}

/// A quadratic alignment of these arrays takes 10^10 steps, so this test would not end.
#[test]
fn long_arrays_with_nothing_in_common_are_not_quadratic() {
    let list = |from: u32| of(&Value::from_iter(from..from + 100_000));
    let (a, b) = (list(0), list(1_000_000));
    let comparison = compare(ROUTE, &a, &b, &Rules::default(), AT);
    assert_eq!(comparison.differences[0].count, 100_000);
}
