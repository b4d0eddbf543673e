//! Which elements of two arrays belong together: order is never lost, and it never decides what counts as equal without it.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use shadow_diff::{CompareResult, Comparison, DifferenceKind, Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp};

fn answer(body: &str) -> Response {
    let content = Some(Bytes::from(body.to_owned()));
    let body = Body { content, length: body.len() as i64, digest: Bytes::new(), withheld: None };
    Response { status: 200, headers: vec![Header::of("content-type", "application/json")], body }
}

fn bodies(rules: &str, ours: &str, theirs: &str) -> Comparison {
    compare("GET /x", &answer(ours), &answer(theirs), &Rules::parse(rules).unwrap(), Timestamp(0))
}

fn either_way(rules: &str, ours: &str, theirs: &str) -> [Comparison; 2] {
    [bodies(rules, ours, theirs), bodies(rules, theirs, ours)]
}

fn equal(rules: &str, ours: &str, theirs: &str) {
    for comparison in either_way(rules, ours, theirs) {
        assert_eq!(comparison.result, CompareResult::Matched, "{rules}\n{ours}\n{theirs}\n{comparison:?}");
    }
}

fn kinds(rules: &str, ours: &str, theirs: &str) -> Vec<DifferenceKind> {
    let [forth, back] = either_way(rules, ours, theirs);
    assert_eq!((forth.result, back.result), (CompareResult::Differing, CompareResult::Differing), "{ours}\n{theirs}");
    forth.differences.iter().map(|found| found.kind).collect()
}

#[test]
fn elements_that_moved_are_reported_though_rules_make_them_equal() {
    let shape = "[[shape]]\njson = [\"$[*].tags\"]";
    let ours = r#"[{"id":1,"tags":[]},{"id":9},{"id":2,"tags":[]}]"#;
    let moved = kinds(shape, ours, r#"[{"id":9},{"id":2,"tags":["x"]},{"id":1,"tags":["x"]}]"#);
    assert_eq!(moved, [DifferenceKind::Order]);
    // Nothing tells these apart but where they stand.
    assert_eq!(kinds(shape, r#"[{"tags":[]},9,8]"#, r#"[9,8,{"tags":["x"]}]"#), [DifferenceKind::Order]);
    let two = "[[normalize]]\njson = [\"$..*\"]\nwhitespace = true\n[[timestamp]]\njson = [\"$..at\"]\nwithin = \"5s\"";
    let at = |second: u32| format!("\"2024-05-01T08:30:0{second}Z\"");
    let ours = format!(r#"[{{"at":{}}},9,8]"#, at(0));
    assert_eq!(kinds(two, &ours, &format!(r#"[9,8,{{"at":{}}}]"#, at(1))), [DifferenceKind::Order]);
    equal(two, &ours, &format!(r#"[{{"at":{}}},9,8]"#, at(1)));
}

#[test]
fn an_expected_change_in_what_moved_does_not_hide_that_it_moved() {
    let rules = "[[expected]]\nname = \"p\"\nplace = \"$[*].p\"\nkind = \"value\"\ntransition = \"changed\"\nowner = \"o\"\n\
        expires = \"2026-03-31\"\nwhy = \"w\"\n";
    let (ours, theirs) = (r#"[{"id":1,"p":1},7,{"id":2,"p":1}]"#, r#"[7,{"id":2,"p":2},{"id":1,"p":2}]"#);
    assert!(kinds(rules, ours, theirs).contains(&DifferenceKind::Order));
}

#[test]
fn an_element_put_in_front_is_no_move_whatever_stands_behind_it() {
    for (ours, theirs) in
        [("[1,2,1,3]", "[2,1,4]"), ("[1,1,2]", "[1,2]"), (r#"[{"a":1},{"a":2}]"#, r#"[{"a":0},{"a":1},{"a":2}]"#)]
    {
        assert!(!kinds("", ours, theirs).contains(&DifferenceKind::Order), "{ours} {theirs}");
    }
}

#[test]
fn two_rules_for_one_value_match_elements_as_each_does() {
    let two = "[[unordered]]\njson = [\"$\"]\n[[normalize]]\njson = [\"$..*\"]\nwhitespace = true\n\
        [[timestamp]]\njson = [\"$..at\"]\nwithin = \"5s\"";
    let list = |second: u32, order: [(&str, &str); 4]| {
        let element = |(n, k): (&str, &str)| format!(r#"{{"n":"{n}","k":"{k}","at":"2024-05-01T08:30:0{second}Z"}}"#);
        format!("[{}]", order.map(element).join(","))
    };
    let ours = list(0, [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]);
    equal(two, &ours, &list(1, [("b", "y"), ("b", "x"), ("a", "y"), ("a", "x")]));
    assert_eq!(kinds(two, &ours, &list(1, [("b", "y"), ("b", "x"), ("a", "y"), ("a", "z")])), [DifferenceKind::Value]);
    // Rules that normalise are as good as one that does it all.
    let both = "[[unordered]]\njson = [\"$\"]\n[[normalize]]\njson = [\"$[*]\"]\ncase = true\n\
        [[normalize]]\njson = [\"$..*\"]\nwhitespace = true";
    equal(both, r#"["A b","c d","e"]"#, r#"["C d","e ","a b"]"#);
    let uuids = both.replace("whitespace", "number") + "\n[[uuid]]\njson = [\"$..*\"]";
    let id = |last: char| format!("0190a6f2-7c1e-7abc-8def-00000000000{last}");
    equal(&uuids, &format!(r#"["{}","A","b"]"#, id('1')), &format!(r#"["B","a","{}"]"#, id('2')));
    let shape = "[[unordered]]\njson = [\"$\"]\n[[shape]]\njson = [\"$[*].v\"]\n[[normalize]]\njson = [\"$[*].v\"]\nnumber_type = true";
    equal(shape, r#"[{"id":1,"v":1},{"id":2,"v":2}]"#, r#"[{"id":2,"v":"2"},{"id":1,"v":"1"}]"#);
    equal("[[unordered]]\njson = [\"$\"]\n[[shape]]\njson = [\"$[*].t\"]", r#"[{"t":[]},7]"#, r#"[7,{"t":[1]}]"#);
}

#[test]
fn equal_numbers_belong_together_however_a_rule_reads_them() {
    let rules = "[[unordered]]\njson = [\"$\"]\n[[tolerance]]\njson = [\"$[*].p\"]\nabsolute = 1\n";
    for rule in
        ["[[timestamp]]\njson = [\"$[*].at\"]\nwithin = \"1s\"", "[[pattern]]\njson = [\"$[*].at\"]\npattern = \"1e3\""]
    {
        let (ours, theirs) = (r#"[{"at":1e3,"p":1},7]"#, r#"[7,{"at":1000,"p":2}]"#);
        equal(&format!("{rules}{rule}"), ours, theirs);
    }
}

#[test]
fn a_set_with_a_tolerance_is_equal_in_any_order() {
    let rules = "[[unordered]]\njson = [\"$\"]\nas = \"set\"\n[[tolerance]]\njson = [\"$..*\"]\nabsolute = 0.1";
    equal(rules, "[1,5]", "[1,5,5.05]");
    equal(rules, "[5,1]", "[5,5.05,1]");
    equal(rules, "[1.0,1.05,5.0]", "[1.02,5.01,5.02]");
    assert_eq!(kinds(rules, "[1,2]", "[1,3]"), [DifferenceKind::Value]);
    let count = bodies(rules, "[1,2]", "[1,3]").differences[0].count;
    assert_eq!(count, 1, "one fault is one difference");
}

#[test]
fn a_multiset_with_a_tolerance_finds_the_pairs_that_are_all_near() {
    let rules = "[[unordered]]\njson = [\"$\"]\n[[tolerance]]\njson = [\"$..p\", \"$[*]\"]\nabsolute = 1";
    equal(rules, "[1,2]", "[2,3]");
    equal(rules, "[1,2,3,9]", "[9,4,2,3]");
    equal(
        rules,
        r#"[{"id":1,"p":1},{"id":1,"p":2},{"id":2,"p":2}]"#,
        r#"[{"id":2,"p":3},{"id":1,"p":3},{"id":1,"p":2}]"#,
    );
    let one_more = format!("[0.5,{}]", (1..50).map(|i| (10 * i).to_string()).collect::<Vec<_>>().join(","));
    let found = bodies(rules, &one_more.replacen("0.5,", "", 1), &one_more).differences;
    assert_eq!((found.len(), found[0].kind, found[0].count), (1, DifferenceKind::Added, 1));
    // What two values tell apart is paired by equality first.
    let two = "[[unordered]]\njson = [\"$\"]\n[[tolerance]]\njson = [\"$..*\"]\nabsolute = 0.5";
    equal(two, r#"[{"p":1,"q":1},{"p":1.1,"q":5}]"#, r#"[{"p":1.1,"q":5},{"p":1.2,"q":1}]"#);
}

#[test]
fn a_key_that_may_be_absent_is_none() {
    let rules = "[[keyed]]\njson = [\"$\"]\nkey = \"id\"\n[[null_is_missing]]\njson = [\"$[*].id\"]";
    equal(rules, r#"[{"id":null,"v":1}]"#, r#"[{"v":1}]"#);
    equal(rules, r#"[{"id":null,"v":1},{"id":2,"v":3}]"#, r#"[{"id":2,"v":3},{"v":1}]"#);
    kinds("[[keyed]]\njson = [\"$\"]\nkey = \"id\"", r#"[{"id":null,"v":1}]"#, r#"[{"v":1}]"#);
}

#[test]
fn an_element_that_is_null_is_not_missing() {
    let rules = "[[null_is_missing]]\njson = [\"$..*\"]";
    for (ours, theirs) in [("[null,null]", "[null]"), ("[null]", "[]"), (r#"{"a":[1,null]}"#, r#"{"a":[1]}"#)] {
        kinds(rules, ours, theirs);
        kinds(&format!("{rules}\n[[unordered]]\njson = [\"$\", \"$..*\"]"), ours, theirs);
    }
    equal(rules, r#"[{"a":null}]"#, "[{}]");
}
