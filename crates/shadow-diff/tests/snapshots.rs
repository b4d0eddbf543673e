//! One snapshot per case: what two answers differ in, as reports show it.

#![allow(clippy::unwrap_used)]

use shadow_diff::{Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp};

const AT: Timestamp = Timestamp(0);

fn answer(status: u16, media: &str, body: &str) -> Response {
    Response {
        status,
        headers: vec![Header::of("content-type", media)],
        body: Body {
            content: Some(body.as_bytes().to_vec().into()),
            length: body.len() as i64,
            digest: bytes::Bytes::new(),
            withheld: None,
        },
    }
}

fn shown(primary: &Response, candidate: &Response, rules: &str) -> String {
    let rules = Rules::parse(rules).unwrap();
    let comparison = compare("GET /orders/{id}", primary, candidate, &rules, AT);
    let mut out = format!("{}\n", comparison.result.as_str());
    for d in comparison.differences {
        out += &format!(
            "{} {} ({}) x{} [{}]\n  at {}\n  - {}\n  + {}\n",
            d.kind.as_str(),
            d.place,
            d.transition,
            d.count,
            d.signature,
            d.example,
            d.primary,
            d.candidate
        );
    }
    out
}

fn json(primary: &str, candidate: &str, rules: &str) -> String {
    shown(&answer(200, "application/json", primary), &answer(200, "application/json", candidate), rules)
}

fn nested(inner: &str) -> String {
    format!("{}{inner}{}", "[".repeat(300), "]".repeat(300))
}

macro_rules! cases {
    ($($name:ident: $shown:expr;)*) => {
        $(#[test] fn $name() { insta::assert_snapshot!($shown); })*
    };
}

cases! {
    a_changed_status: shown(&answer(200, "text/plain", "ok"), &answer(500, "text/plain", "ok"), "");
    a_changed_header: shown(&answer(200, "text/html", "x"), &answer(200, "text/plain", "x"), "");
    a_media_type_spelt_otherwise: shown(&answer(200, "text/html; charset=utf-8", "x"), &answer(200, "Text/HTML;charset=UTF-8", "x"), "");
    members_in_another_order: json(r#"{"a":1,"b":2.0}"#, r#"{"b":2,"a":1.00}"#, "");
    a_renamed_member: json(r#"{"total":5,"id":1}"#, r#"{"sum":5,"id":1}"#, "");
    a_number_that_became_a_string: json(r#"{"id":1}"#, r#"{"id":"1"}"#, "");
    a_big_integer_off_by_one: json(r#"{"n":9007199254740993}"#, r#"{"n":9007199254740992}"#, "");
    one_price_in_a_list: json(r#"{"items":[{"p":1},{"p":2},{"p":3}]}"#, r#"{"items":[{"p":1},{"p":2.5},{"p":3}]}"#, "");
    every_price_in_a_list_is_one_signature: json(r#"[{"p":1},{"p":2},{"p":3}]"#, r#"[{"p":4},{"p":5},{"p":6}]"#, "");
    an_element_left_out_of_a_list: json("[1,2,3,4]", "[1,3,4]", "");
    an_element_put_in_front_of_a_list: json("[1,2,3]", "[9,1,2,3]", "");
    a_reordered_list: json(r#"{"items":[1,2,3]}"#, r#"{"items":[3,1,2]}"#, "");
    a_reordered_list_without_order: json(r#"{"items":[1,2,3]}"#, r#"{"items":[3,1,2]}"#, "[[unordered]]\njson = [\"$.items\"]");
    an_unordered_list_counts_repetitions: json("[1,1,2]", "[1,2,2]", "[[unordered]]\njson = [\"$\"]");
    an_ignored_member: json(r#"{"at":1,"in":{"at":2}}"#, r#"{"at":3,"in":{"at":4}}"#, "[[ignore]]\njson = [\"$.at\"]");
    a_member_ignored_at_any_depth: json(r#"{"at":1,"in":[{"at":2}]}"#, r#"{"at":3,"in":[{"at":4}]}"#, "[[ignore]]\njson = [\"$..at\"]");
    an_ignored_member_of_another_route: json(r#"{"at":1}"#, r#"{"at":3}"#, "[[ignore]]\nroute = \"GET /other\"\njson = [\"$.at\"]");
    an_ignored_member_that_is_missing: json(r#"{"at":1}"#, "{}", "[[ignore]]\njson = [\"$.at\"]");
    json_against_no_json: json(r#"{"a":1}"#, "<html>", "");
    a_body_that_is_gone: json(r#"{"a":1}"#, "", "");
    a_body_that_came: json("", "[]", "");
    two_texts: shown(&answer(200, "text/html", &format!("{}<p>one</p>", "x".repeat(300))), &answer(200, "text/html", &format!("{}<p>two</p>", "x".repeat(300))), "");
    two_broken_json_bodies: json("{", "[", "");
    a_long_string: json(&format!("{{\"s\":\"{}a\"}}", "-".repeat(500)), &format!("{{\"s\":\"{}b\"}}", "-".repeat(500)), "");
    odd_names: json(r#"{"a b":1,"":2,"k\"":3}"#, r#"{"a b":2,"":3,"k\"":4}"#, "");
    a_null_is_not_an_absent_member: json(r#"{"a":null}"#, "{}", "");
    a_difference_three_hundred_levels_down: json(&nested("1"), &nested("2"), "");
}
