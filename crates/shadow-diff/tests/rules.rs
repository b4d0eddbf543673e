//! What every kind of rule lets pass, what it does not, and that it is named when it decided something.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use shadow_diff::{CompareResult, Comparison, DifferenceKind, Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp};

const ROUTE: &str = "GET /items";
/// 2026-03-15T12:00:00Z.
const AT: Timestamp = Timestamp(1_773_576_000_000_000);

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| Header::of(*name, *value)).collect();
    let content = Some(Bytes::from(body.to_owned()));
    let body = Body { content, length: body.len() as i64, digest: Bytes::new(), withheld: None };
    Response { status, headers, body }
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn bodies(rules: &str, ours: &str, theirs: &str) -> Comparison {
    let rules = Rules::parse(rules).unwrap();
    compare(ROUTE, &answer(200, JSON, ours), &answer(200, JSON, theirs), &rules, AT)
}

/// Under the one rule the two are equal, either way round, and by the rule; without it they are not.
fn equal(rule: &str, ours: &str, theirs: &str) {
    for (ours, theirs) in [(ours, theirs), (theirs, ours)] {
        let comparison = bodies(rule, ours, theirs);
        assert_eq!(comparison.result, CompareResult::Matched, "{rule}\n{ours}\n{theirs}\n{comparison:?}");
        assert_eq!(comparison.rules_used, [0], "{rule}\n{ours}\n{theirs}");
        assert_eq!(bodies("", ours, theirs).result, CompareResult::Differing, "{ours}\n{theirs}");
    }
}

/// Under the rule the two differ all the same, either way round.
fn different(rule: &str, ours: &str, theirs: &str) -> Comparison {
    assert_eq!(bodies(rule, theirs, ours).result, CompareResult::Differing, "{rule}\n{theirs}\n{ours}");
    let comparison = bodies(rule, ours, theirs);
    assert_eq!(comparison.result, CompareResult::Differing, "{rule}\n{ours}\n{theirs}");
    comparison
}

#[test]
fn an_ignored_place_may_be_anything_and_its_neighbour_may_not() {
    let rule = "[[ignore]]\njson = [\"$.a\", \"$.l[*].t\", \"$.x[1]\"]";
    equal(rule, r#"{"a":1}"#, r#"{"a":[2]}"#);
    equal(rule, r#"{"a":1}"#, "{}");
    equal(rule, r#"{"l":[{"t":1},{"t":2}]}"#, r#"{"l":[{"t":3},{}]}"#);
    equal(rule, r#"{"x":[1,2,3]}"#, r#"{"x":[1,5,3]}"#);
    different(rule, r#"{"a":1,"b":1}"#, r#"{"a":2,"b":2}"#);
    different(rule, r#"{"x":[1,2]}"#, r#"{"x":[2,1]}"#);
}

#[test]
fn elements_that_differ_in_what_is_ignored_only_are_found_where_they_moved_to() {
    let rule = "[[ignore]]\njson = [\"$[*].t\"]\n[[unordered]]\njson = [\"$\"]";
    let comparison = bodies(rule, r#"[{"id":1,"t":1},{"id":2,"t":2}]"#, r#"[{"id":2,"t":3},{"id":1,"t":4}]"#);
    assert_eq!((comparison.result, comparison.rules_used), (CompareResult::Matched, vec![0, 1]));
    let ordered = different(
        "[[ignore]]\njson = [\"$[*].t\"]",
        r#"[{"id":1,"t":1},{"id":2,"t":2}]"#,
        r#"[{"id":2,"t":3},{"id":1,"t":4}]"#,
    );
    assert_eq!(ordered.differences[0].kind, DifferenceKind::Order);
    assert_eq!(ordered.differences.len(), 1);
}

#[test]
fn a_move_is_reported_beside_a_change() {
    let comparison = different("", "[1,2,3,4]", "[2,1,3,5]");
    let kinds: Vec<_> = comparison.differences.iter().map(|d| d.kind).collect();
    assert_eq!(kinds, [DifferenceKind::Order, DifferenceKind::Value]);
    let comparison = different("", "[1,1,2,2,9]", "[2,2,1,1,8]");
    assert_eq!(comparison.differences[0].kind, DifferenceKind::Order);
    let comparison = different("", "[1,2,1,3]", "[2,1,4]");
    assert!(comparison.differences.iter().all(|d| d.kind != DifferenceKind::Order), "{comparison:?}");
}

#[test]
fn a_multiset_counts_repetitions_and_a_set_does_not() {
    let (multiset, set) = ("[[unordered]]\njson = [\"$\"]", "[[unordered]]\njson = [\"$\"]\nas = \"set\"");
    equal(multiset, "[1,2,2]", "[2,1,2]");
    different(multiset, "[1,1,2]", "[1,2,2]");
    equal(set, "[1,1,2]", "[2,1]");
    equal(set, r#"[{"a":[1]},{"a":[1]}]"#, r#"[{"a":[1]}]"#);
    different(set, "[1,2]", "[1,3]");
    let both = "[[unordered]]\njson = [\"$\"]\nas = \"set\"\n[[normalize]]\njson = [\"$[*]\"]\ncase = true";
    assert_eq!(bodies(both, r#"["a","A","b"]"#, r#"["b","a"]"#).result, CompareResult::Matched);
    different(both, r#"["a","A","b"]"#, r#"["b","c"]"#);
}

#[test]
fn keyed_elements_are_compared_with_their_like_wherever_they_stand() {
    let rule = "[[keyed]]\njson = [\"$\"]\nkey = \"id\"";
    equal(rule, r#"[{"id":1,"v":1},{"id":2,"v":2}]"#, r#"[{"id":2,"v":2},{"id":1,"v":1}]"#);
    let found = different(rule, r#"[{"id":1,"v":1},{"id":2,"v":2}]"#, r#"[{"id":2,"v":3},{"id":1,"v":1}]"#).differences;
    assert_eq!((found.len(), &*found[0].example), (1, "$[1].v"));
    let found = different(rule, r#"[{"id":1},{"id":2}]"#, r#"[{"id":3},{"id":2}]"#).differences;
    assert_eq!(found.iter().map(|d| d.kind).collect::<Vec<_>>(), [DifferenceKind::Missing, DifferenceKind::Added]);
    // Of one key, the first belongs to the first; what has no key is matched by its value.
    equal(rule, r#"[{"id":1,"v":1},{"id":1,"v":2},7,8]"#, r#"[8,{"id":1,"v":1},7,{"id":1,"v":2}]"#);
    different(rule, r#"[{"id":1,"v":1},{"id":1,"v":2}]"#, r#"[{"id":1,"v":2},{"id":1,"v":1}]"#);
    different(rule, r#"[{"id":1}]"#, r#"[{"id":1},{"id":1}]"#);
    let nested = "[[keyed]]\njson = [\"$.rows\"]\nkey = \"$.meta.id\"";
    equal(
        nested,
        r#"{"rows":[{"meta":{"id":"a"}},{"meta":{"id":"b"}}]}"#,
        r#"{"rows":[{"meta":{"id":"b"}},{"meta":{"id":"a"}}]}"#,
    );
    let folded = "[[keyed]]\njson = [\"$\"]\nkey = \"id\"\n[[normalize]]\njson = [\"$[*].id\"]\ncase = true";
    let comparison = bodies(folded, r#"[{"id":"A","v":1},{"id":"b"}]"#, r#"[{"id":"B"},{"id":"a","v":1}]"#);
    assert_eq!(comparison.result, CompareResult::Matched, "{comparison:?}");
}

#[test]
fn numbers_within_a_tolerance_are_equal_in_order_and_out_of_it() {
    let rule = "[[tolerance]]\njson = [\"$..p\"]\nabsolute = 0.01";
    equal(rule, r#"{"p":0.1}"#, r#"{"p":0.11}"#);
    equal(rule, r#"{"p":"1.50"}"#, r#"{"p":"1.51"}"#);
    different(rule, r#"{"p":0.1}"#, r#"{"p":0.1101}"#);
    different(rule, r#"{"p":1}"#, r#"{"p":"1"}"#);
    different(rule, r#"{"q":0.1}"#, r#"{"q":0.11}"#);
    equal("[[tolerance]]\njson = [\"$\"]\nrelative = 0.001", "1000", "1001");
    different("[[tolerance]]\njson = [\"$\"]\nrelative = 0.001", "1000", "1001.1");
    let both = format!("{rule}\n[[unordered]]\njson = [\"$\"]");
    let (ours, theirs) = (r#"[{"p":1.00},{"p":1.01},{"p":1.02}]"#, r#"[{"p":1.03},{"p":1.01},{"p":1.02}]"#);
    assert_eq!(bodies(&both, ours, theirs).result, CompareResult::Matched, "each is 0.01 from the next");
    different(&both, r#"[{"p":1.00},{"p":1.01}]"#, r#"[{"p":1.03},{"p":1.01}]"#);
    let (ours, theirs) = (r#"[{"p":1.00},{"p":2.00},{"p":3.00}]"#, r#"[{"p":3.01},{"p":0.99},{"p":2.005}]"#);
    assert_eq!(bodies(&both, ours, theirs).result, CompareResult::Matched);
}

#[test]
fn values_may_only_look_alike_where_a_rule_says_so() {
    let pattern = "[[pattern]]\njson = [\"$.id\"]\npattern = \"ord-[0-9]+\"";
    equal(pattern, r#"{"id":"ord-1"}"#, r#"{"id":"ord-22"}"#);
    different(pattern, r#"{"id":"ord-1"}"#, r#"{"id":"order"}"#);
    let uuid = "[[uuid]]\njson = [\"$.id\"]";
    equal(uuid, r#"{"id":"0190a6f2-7c1e-7abc-8def-000000000001"}"#, r#"{"id":"00000000-7c1e-7abc-8def-000000000001"}"#);
    different(uuid, r#"{"id":"0190a6f2-7c1e-7abc-8def-000000000001"}"#, r#"{"id":null}"#);
    let time = "[[timestamp]]\njson = [\"$.at\"]\nwithin = \"5s\"";
    equal(time, r#"{"at":"2024-05-01T08:30:00Z"}"#, r#"{"at":"2024-05-01T10:30:05+02:00"}"#);
    equal(time, r#"{"at":1714552200}"#, r#"{"at":1714552205}"#);
    different(time, r#"{"at":1714552200}"#, r#"{"at":1714552206}"#);
    let text = "[[normalize]]\njson = [\"$.t\"]\ncase = true\nwhitespace = true\nnumber = true";
    equal(text, r#"{"t":"Two  Words "}"#, r#"{"t":"two words"}"#);
    equal(text, r#"{"t":"1.0"}"#, r#"{"t":"1.00"}"#);
    different(text, r#"{"t":"1.0"}"#, r#"{"t":1.0}"#);
    equal("[[normalize]]\njson = [\"$.t\"]\nnumber_type = true", r#"{"t":"1.0"}"#, r#"{"t":1}"#);
}

#[test]
fn null_equals_missing_where_a_rule_says_so() {
    let rule = "[[null_is_missing]]\njson = [\"$.a\", \"$.l[*].b\"]";
    equal(rule, r#"{"a":null}"#, "{}");
    equal(rule, r#"{"l":[{"b":null}]}"#, r#"{"l":[{}]}"#);
    different(rule, r#"{"a":null}"#, r#"{"a":0}"#);
    different(rule, r#"{"c":null}"#, "{}");
    equal("[[null_is_missing]]\njson = [\"$..*\"]", r#"{"x":{"y":null}}"#, r#"{"x":{}}"#);
}

#[test]
fn a_shape_is_types_and_names() {
    let rule = "[[shape]]\njson = [\"$.user\"]";
    equal(rule, r#"{"user":{"id":1,"tags":["a"]}}"#, r#"{"user":{"id":2,"tags":["b","c"]}}"#);
    equal(rule, r#"{"user":{"tags":[]}}"#, r#"{"user":{"tags":[{"a":1}]}}"#);
    equal(rule, r#"{"user":[{"t":[]},{"t":[1]}]}"#, r#"{"user":[{"t":[2]}]}"#);
    different(rule, r#"{"user":{"id":1}}"#, r#"{"user":{"id":"1"}}"#);
    different(rule, r#"{"user":{"id":1}}"#, r#"{"user":{"id":1,"name":"a"}}"#);
    different(rule, r#"{"user":[{"a":1},{"b":1}]}"#, r#"{"user":[{"a":1}]}"#);
    different(rule, r#"{"user":[[1],["a"]]}"#, r#"{"user":[[2],[true]]}"#);
    different(rule, r#"{"user":{},"n":1}"#, r#"{"user":{},"n":2}"#);
}

#[test]
fn a_header_follows_the_rules_for_values() {
    let rules = "headers = [\"etag\", \"date\", \"x-id\", \"x-score\"]\n\
        [[ignore]]\nheader = [\"ETag\"]\n\
        [[timestamp]]\nheader = [\"Date\"]\nwithin = \"2s\"\n\
        [[uuid]]\nheader = [\"x-id\"]\n\
        [[tolerance]]\nheader = [\"x-score\"]\nabsolute = 0.1\n";
    let rules = Rules::parse(rules).unwrap();
    let of =
        |etag, date, id, score| answer(200, &[("etag", etag), ("date", date), ("x-id", id), ("x-score", score)], "");
    let ours = of("a", "Sun, 06 Nov 1994 08:49:37 GMT", "0190a6f2-7c1e-7abc-8def-000000000001", "0.5");
    let theirs = of("b", "Sun, 06 Nov 1994 08:49:38 GMT", "0190a6f2-7c1e-7abc-8def-000000000002", "0.6");
    let comparison = compare(ROUTE, &ours, &theirs, &rules, AT);
    assert_eq!((comparison.result, comparison.rules_used), (CompareResult::Matched, vec![0, 1, 2, 3]));
    let theirs = of("b", "Sun, 06 Nov 1994 08:49:48 GMT", "none", "0.7");
    let places: Vec<_> = compare(ROUTE, &ours, &theirs, &rules, AT).differences.into_iter().map(|d| d.place).collect();
    assert_eq!(places, ["header:date", "header:x-id", "header:x-score"]);
}

#[test]
fn error_answers_are_compared_by_category_and_type() {
    let rules = "[[errors]]\nstatus = \"class\"\njson = [\"$.type\", \"$.error.code\"]";
    let of = |status, body: &str| answer(status, &[("content-type", "application/problem+json")], body);
    let result = |ours: &Response, theirs: &Response| {
        let comparison = compare(ROUTE, ours, theirs, &Rules::parse(rules).unwrap(), AT);
        (comparison.result, comparison.differences.into_iter().map(|d| d.place).collect::<Vec<_>>())
    };
    let ours = of(404, r#"{"type":"/gone","detail":"no order 7"}"#);
    assert_eq!(result(&ours, &of(410, r#"{"type":"/gone","detail":"it was deleted"}"#)).0, CompareResult::Matched);
    assert_eq!(result(&ours, &of(404, r#"{"type":"/away"}"#)).1, ["$.type"]);
    assert_eq!(result(&ours, &of(404, "<html>")).1, ["$.type"]);
    assert_eq!(result(&ours, &of(500, r#"{"type":"/gone"}"#)).1, ["status"]);
    assert_eq!(result(&of(500, "<p>one"), &of(503, "<p>two")).0, CompareResult::Matched);
    let (code, other) = (r#"{"error":{"code":7,"at":1}}"#, r#"{"error":{"code":8,"at":2}}"#);
    assert_eq!(result(&of(400, code), &of(400, other)).1, ["$.error.code"]);
    // An answer that is no error is compared in full.
    assert_eq!(result(&of(200, code), &of(200, other)).1, ["$.error.at", "$.error.code"]);
}

const EXPECTED: &str = "[[expected]]\nname = \"net-prices\"\nplace = \"$..price\"\nkind = \"value\"\nowner = \"pricing\"\n\
    expires = \"2026-03-15\"\nwhy = \"prices are net from now on\"\nrelease = \"2026.3\"\n";

#[test]
fn expected_changes_are_expected_until_they_expire() {
    let at = |rules: &str, ours: &str, theirs: &str, at| {
        let rules = Rules::parse(rules).unwrap();
        compare(ROUTE, &answer(200, JSON, ours), &answer(200, JSON, theirs), &rules, at)
    };
    let (ours, theirs) = (r#"{"items":[{"price":1,"n":1}]}"#, r#"{"items":[{"price":2,"n":1}]}"#);
    let comparison = at(EXPECTED, ours, theirs, AT);
    assert_eq!((comparison.result, &*comparison.rules_used), (CompareResult::Expected, &[0][..]));
    assert_eq!(comparison.differences[0].expected.as_deref(), Some("net-prices"));
    let (last, next) = (Timestamp(1_773_619_199_999_999), Timestamp(1_773_619_200_000_000));
    assert_eq!(at(EXPECTED, ours, theirs, last).result, CompareResult::Expected, "the day itself is included");
    let comparison = at(EXPECTED, ours, theirs, next);
    assert_eq!((comparison.result, comparison.differences[0].expected.as_deref()), (CompareResult::Differing, None));
    // Another kind at that place, and any other place, is a fault as before.
    assert_eq!(at(EXPECTED, ours, r#"{"items":[{"price":"2","n":1}]}"#, AT).result, CompareResult::Differing);
    let both = at(EXPECTED, ours, r#"{"items":[{"price":2,"n":2}]}"#, AT);
    assert_eq!(both.result, CompareResult::Differing);
    assert_eq!(both.differences.iter().filter(|d| d.expected.is_some()).count(), 1);
    let elsewhere = EXPECTED.replacen("[[expected]]\n", "[[expected]]\nroute = \"GET /other\"\n", 1);
    assert_eq!(at(&elsewhere, ours, theirs, AT).result, CompareResult::Differing);
    let status =
        EXPECTED.replace("\"$..price\"", "\"status\"").replace("\"value\"", "\"status\"\ntransition = \"200->201\"");
    let rules = Rules::parse(&status).unwrap();
    let code = |code| compare(ROUTE, &answer(200, JSON, "1"), &answer(code, JSON, "1"), &rules, AT).result;
    assert_eq!((code(201), code(202)), (CompareResult::Expected, CompareResult::Differing));
}

#[test]
fn a_body_that_was_not_looked_at_in_full_is_not_merely_expected() {
    let rules = EXPECTED.to_owned();
    let comparison = bodies(&rules, r#"{"price":1,"x":{"a":1,"a":2}}"#, r#"{"price":2,"x":{"a":2,"a":2}}"#);
    assert_eq!(comparison.result, CompareResult::Incomparable);
    assert_eq!(comparison.differences.len(), 1);
}

#[test]
fn a_model_is_measured_by_class_and_score() {
    let rules =
        "[[measure]]\nclass = \"$.label\"\nscore = \"$.score\"\n[[tolerance]]\njson = [\"$.score\"]\nabsolute = 1";
    let measured = bodies(rules, r#"{"label":"cat","score":0.75}"#, r#"{"label":"dog","score":0.5}"#).measured.unwrap();
    assert_eq!(measured.class, Some(("cat".to_owned(), "dog".to_owned())));
    assert_eq!(measured.score_difference, Some(0.25));
    let same = bodies(rules, r#"{"label":"cat","score":0.75}"#, r#"{"label":"cat","score":0.75}"#);
    assert_eq!((same.result, same.measured.unwrap().score_difference), (CompareResult::Matched, Some(0.0)));
    assert_eq!(bodies(rules, r#"{"label":"cat"}"#, "{}").measured.unwrap().class.unwrap().1, "");
    assert_eq!(
        bodies(rules, r#"{"score":0.75}"#, r#"{"score":null}"#).measured.unwrap().score_difference,
        Some(1.0),
        "a score that was lost is no score that agrees"
    );
    assert!(bodies(rules, "{}", r#"{"score":0.75}"#).measured.is_none(), "a new one is not measured");
    assert!(bodies(rules, "{}", "[]").measured.is_none());
    assert!(bodies(rules, r#"{"score":"high"}"#, r#"{"score":1}"#).measured.is_none());
}

#[test]
fn only_what_differs_in_an_ambiguous_object_is_incomparable() {
    let twice = r#"{"x":{"a":1,"a":2},"y":1}"#;
    assert_eq!(bodies("", twice, r#"{"y":1, "x":{"a":1,"a":2}}"#).result, CompareResult::Matched);
    assert_eq!(bodies("", twice, r#"{"x":{"a":2,"a":1},"y":1}"#).result, CompareResult::Incomparable);
    let differing = bodies("", twice, r#"{"x":{"a":2,"a":2},"y":2}"#);
    assert_eq!((differing.result, differing.differences.len()), (CompareResult::Differing, 1));
    assert_eq!(bodies("[[ignore]]\njson = [\"$.x\"]", twice, r#"{"x":{"a":2},"y":1}"#).result, CompareResult::Matched);
}

#[test]
fn rules_that_meet_in_one_place_each_decide_on_their_own() {
    let rules = "[[uuid]]\njson = [\"$.id\"]\n[[pattern]]\njson = [\"$..id\"]\npattern = \"[0-9]+\"";
    assert_eq!(bodies(rules, r#"{"id":"1"}"#, r#"{"id":"2"}"#).rules_used, [1]);
    different(rules, r#"{"id":"1"}"#, r#"{"id":"0190a6f2-7c1e-7abc-8def-000000000001"}"#);
    // Of two about the order of one array, the earlier one holds.
    let orders = "[[unordered]]\njson = [\"$.l\"]\nas = \"set\"\n[[unordered]]\njson = [\"$..l\"]";
    assert_eq!(bodies(orders, r#"{"l":[1,1]}"#, r#"{"l":[1]}"#).rules_used, [0]);
}

#[test]
fn a_rule_that_decided_nothing_is_not_named() {
    let rules = "[[ignore]]\njson = [\"$.gone\"]\n[[ignore]]\njson = [\"$.t\"]\n[[ignore]]\nroute = \"GET /b\"\njson = [\"$.t\"]";
    assert_eq!(bodies(rules, r#"{"t":1,"gone":1}"#, r#"{"t":2,"gone":1}"#).rules_used, [1]);
    assert!(bodies(rules, r#"{"t":1}"#, r#"{"t":1}"#).rules_used.is_empty());
}

#[test]
fn of_rules_of_which_one_can_hold_the_one_closest_to_the_route_does() {
    let rules = "[[errors]]\nstatus = \"class\"\n[[errors]]\nroute = \"* /items\"\nstatus = \"class\"\njson = [\"$.a\"]\n\
        [[errors]]\nroute = \"GET /items\"\njson = [\"$.type\"]\n\
        [[measure]]\nclass = \"$.type\"\n[[measure]]\nroute = \"* /items\"\nclass = \"$.a\"\n";
    let rules = Rules::parse(rules).unwrap();
    let (ours, theirs) = (answer(404, JSON, r#"{"type":"x","a":"1"}"#), answer(410, JSON, r#"{"type":"x","a":"2"}"#));
    let said = |route| {
        let found = compare(route, &ours, &theirs, &rules, AT);
        let places: Vec<_> = found.differences.into_iter().map(|found| found.place).collect();
        (places, found.measured.unwrap().class.unwrap().0)
    };
    assert_eq!(said("GET /items"), (vec!["status".to_owned()], "1".to_owned()));
    assert_eq!(said("PUT /items"), (vec!["$.a".to_owned()], "1".to_owned()));
    assert_eq!(said("PUT /other"), (vec![], "x".to_owned()));
}

#[test]
fn another_spelling_of_a_body_needs_no_rule() {
    for rule in ["[[ignore]]\njson = [\"$\"]", "[[errors]]\njson = [\"$.type\"]"] {
        let rules = Rules::parse(rule).unwrap();
        let (ours, theirs) = (answer(404, JSON, r#"{"type":"a"}"#), answer(404, JSON, r#"{ "type":"a"}"#));
        assert!(compare(ROUTE, &ours, &theirs, &rules, AT).rules_used.is_empty(), "{rule}");
        let theirs = answer(404, JSON, r#"{"type":"a","at":1}"#);
        assert_eq!(compare(ROUTE, &ours, &theirs, &rules, AT).rules_used, [0], "{rule}");
    }
}

/// Another change of this place and kind.
fn expecting(place: &str) -> String {
    EXPECTED.replace("$..price", place)
}

#[test]
fn any_number_of_expected_places_is_expected() {
    let prices = |price: u32, other: u32| {
        let members: Vec<_> = (0..100).map(|sku| format!("\"sku{sku}\":{price}")).collect();
        format!("{{\"prices\":{{{}}},\"z\":{other}}}", members.join(","))
    };
    let all = bodies(&expecting("$.prices.*"), &prices(1, 1), &prices(2, 1));
    assert_eq!((all.result, all.differences.len(), all.omitted), (CompareResult::Expected, 64, 36));
    let one_more = bodies(&expecting("$.prices.*"), &prices(1, 1), &prices(2, 2));
    assert_eq!((one_more.result, one_more.omitted), (CompareResult::Differing, 37));
}

#[test]
fn a_long_name_is_expected_by_its_beginning_and_a_shortened_place_is_not() {
    let long = "k".repeat(80);
    let body = |value: u32| format!("{{\"{long}\":{value}}}");
    for place in [format!("$.{long}"), format!("$..{long}")] {
        assert_eq!(bodies(&expecting(&place), &body(1), &body(2)).result, CompareResult::Expected);
    }
    assert_eq!(bodies(&expecting(&format!("$.{}", &long[1..40])), &body(1), &body(2)).result, CompareResult::Differing);
    let deep = |value: u32| {
        let name = "é".repeat(64);
        format!("{}{{\"x\":{value}}}{}", format!("{{\"{name}\":").repeat(5), "}".repeat(5))
    };
    for place in ["$.*.*.*.x", "$.*.*.*.*.*.x", "$..x", "$..*"] {
        assert_eq!(bodies(&expecting(place), &deep(1), &deep(2)).result, CompareResult::Differing, "{place}");
    }
}

#[test]
fn a_rule_for_instants_keeps_their_notation_unless_it_says_otherwise() {
    let rule = "[[timestamp]]\njson = [\"$.at\"]\nwithin = \"5s\"";
    let any = format!("{rule}\nany_notation = true");
    for (ours, theirs) in [
        (r#"{"at":1714552200}"#, r#"{"at":1714552200000}"#),
        (r#"{"at":"2024-05-01T08:30:00Z"}"#, r#"{"at":"2024-05-01T08:30:00"}"#),
        (r#"{"at":"2024-05-01T08:30:00Z"}"#, r#"{"at":"1714552200"}"#),
    ] {
        different(rule, ours, theirs);
        equal(&any, ours, theirs);
    }
    different(
        &any,
        r#"{"at":"2024-05-01T08:30:00[Europe/Berlin]"}"#,
        r#"{"at":"2024-05-01T08:30:00[America/New_York]"}"#,
    );
}
