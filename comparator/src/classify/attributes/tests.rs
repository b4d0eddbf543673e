//! What is taken of a request, and that it stays small.

use bytes::Bytes;
use proptest::prelude::*;
use shadow_record::{Body, Header};

use super::*;

fn request(path: &str, query: Option<&str>, headers: &[(&str, &str)], body: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        scheme: "http".to_owned(),
        authority: "shop".to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers: headers.iter().map(|(name, value)| Header::of(*name, *value)).collect(),
        body: Body {
            content: Some(Bytes::from(body.to_owned())),
            length: body.len() as i64,
            digest: Bytes::new(),
            withheld: None,
        },
    }
}

fn names_and_values(attributes: &Attributes) -> Vec<(&str, &str)> {
    attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn headers_path_query_and_scalar_members_are_attributes() {
    let headers = [("accept-language", "de"), ("cookie", "secret"), ("content-type", "application/json")];
    let body = r#"{"currency":"EUR","total":12.50,"gift":true,"note":null,"items":[{"a":1}],"to":{"city":"X"}}"#;
    let found =
        of("POST /carts/{id}/{rest..}", &request("/carts/17/a/b", Some("page=2&q=a%20b&page=3"), &headers, body));
    assert_eq!(
        names_and_values(&found),
        [
            ("header:accept-language", "de"),
            ("header:content-type", "application/json"),
            ("content_length", "below 1 KiB"),
            ("path:id", "17"),
            ("query:page", "2"),
            ("query:q", "a b"),
            ("body:currency", "EUR"),
            ("body:total", "12.50"),
            ("body:gift", "true"),
            ("body:note", "null"),
        ]
    );
}

#[test]
fn a_body_that_is_no_json_or_was_cut_gives_what_came_before_the_fault() {
    for (body, members) in [
        ("plain text", &[][..]),
        ("[1,2]", &[]),
        (r#"{"a":1,"b":"#, &["body:a"]),
        (r#"{"a":1,"deep":[[[],"b":2}"#, &["body:a"]),
        ("", &[]),
    ] {
        let found = of("POST /a", &request("/a", None, &[], body));
        let names: Vec<_> =
            found.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("body")).collect();
        assert_eq!(names, members, "{body}");
    }
    let deep = format!(r#"{{"a":1,"b":{}"#, "[".repeat(100_000));
    assert_eq!(of("POST /a", &request("/a", None, &[], &deep)).len(), 2);
    let form = of("POST /a", &request("/a", None, &[("content-type", "text/plain")], r#"{"a":1}"#));
    assert!(!form.iter().any(|(name, _)| name == "body:a"), "{form:?}");
}

proptest! {
    #[test]
    fn attributes_are_few_and_short_whatever_the_request(
        path in ".{0,200}", query in ".{0,2000}", agent in ".{0,300}", body in ".{0,500}", members in 0..100usize,
    ) {
        let object: String = (0..members).map(|n| format!("\"{n}{body:.0}\":\"{}\",", "x".repeat(n * 3))).collect();
        let body = format!("{{{object}\"z\":1}}");
        let request = request(&path, Some(&query), &[("user-agent", &agent)], &body);
        let found = of("POST /{a}/{b}", &request);
        prop_assert!(found.len() <= MOST);
        for (name, value) in &found {
            prop_assert!(name.chars().count() <= LONGEST + "header:".len() && value.chars().count() <= LONGEST);
        }
        let names: std::collections::BTreeSet<_> = found.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(names.len(), found.len());
        prop_assert_eq!(of("POST /{a}/{b}", &request), found);
    }
}
