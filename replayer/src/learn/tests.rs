use shadow_mask::RawBody;
use shadow_record::{Body, Header};

use super::*;
use crate::samples;

const JSON: (&str, &str) = ("content-type", "application/json");

fn rules(toml: &str) -> Vec<LearnRule> {
    #[derive(serde::Deserialize)]
    struct Rules {
        learn: Vec<LearnRule>,
    }
    toml::from_str::<Rules>(toml).unwrap().learn
}

fn masked(name: &str) -> String {
    if name.starts_with('x') { format!("msk_{name}") } else { name.to_owned() }
}

fn learned(toml: &str) -> Learned {
    Learned::new(&rules(toml), masked)
}

fn body(content: &str) -> Body {
    let content = Bytes::copy_from_slice(content.as_bytes());
    Body { length: content.len() as i64, content: Some(content), digest: Bytes::new(), withheld: None }
}

fn primary(headers: &[(&str, &str)], content: &str) -> Response {
    let headers = headers.iter().map(|(name, value)| Header::of(*name, *value)).collect();
    Response { status: 200, headers, body: body(content) }
}

fn raw(headers: &[(&str, &str)], content: &str) -> RawResponse {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    RawResponse { status: 200, headers: map, body: RawBody::Whole(Bytes::copy_from_slice(content.as_bytes())) }
}

fn session(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

impl Learned {
    fn see(&self, leg: Leg, key: &str, ours: &Response, theirs: &RawResponse) -> Learnt {
        self.learn(leg, &session(key), "POST /orders", ours, theirs, &masked)
    }

    fn see_json(&self, key: &str, ours: &str, theirs: &str) -> Learnt {
        self.see(Leg::Candidate, key, &primary(&[JSON], ours), &raw(&[JSON], theirs))
    }

    fn path(&self, leg: Leg, key: &str, path: &str) -> Option<(String, Vec<&str>)> {
        let captured = samples::captured("GET", path).request;
        self.substitute(leg, &session(key), &captured).map(|(request, names)| (request.path, names))
    }
}

#[test]
fn values_come_from_headers_cookies_and_json() {
    let learned = learned(
        r#"
        learn = [
            { name = "csrf", header = "X-CSRF" },
            { name = "session", cookie = "xid" },
            { name = "order", json = "$.order.id" },
            { name = "lines", json = "$.lines[*].id" },
            { name = "place", header = "Location" },
            { name = "elsewhere", route = "GET /", json = "$.other" },
        ]"#,
    );
    let ours = primary(
        &[
            JSON,
            ("msk_x-csrf", "msk_c"),
            ("set-cookie", "theme=msk_t; Path=/"),
            ("set-cookie", "msk_xid=msk_s; HttpOnly"),
            ("location", "/shops/1/orders/msk_o?a=1"),
        ],
        r#"{"order":{"id":"msk_o"},"lines":[{"id":4503599627370496},{"id":2},{"id":3}],"other":"msk_x"}"#,
    );
    let theirs = raw(
        &[
            JSON,
            ("x-csrf", "c9"),
            ("set-cookie", "xid=s9; Path=/; HttpOnly"),
            ("location", "http://shadow:1/shops/1/orders/o%2F9"),
        ],
        r#"{"order":{"id":"o/9"},"lines":[{"id":1.50},{"id":2}],"other":"y"}"#,
    );
    assert_eq!(learned.see(Leg::Candidate, "s", &ours, &theirs), Learnt { values: 6, missed: 1 });
    let known = |value: &str| {
        let (path, names) = learned.path(Leg::Candidate, "s", &format!("/{value}"))?;
        Some(format!("{path} {}", names.join(" ")))
    };
    assert_eq!(known("msk_c").unwrap(), "/c9 csrf");
    assert_eq!(known("msk_s").unwrap(), "/s9 session");
    assert_eq!(known("msk_o").unwrap(), "/o%2F9 place");
    assert_eq!(known("4503599627370496").unwrap(), "/1.50 lines");
    for unknown in ["msk_t", "msk_x", "2", "3", "msk", "msk_c2", "shops"] {
        assert_eq!(known(unknown), None, "{unknown}");
    }
}

#[test]
fn each_session_and_each_target_has_its_own() {
    let learned = learned(r#"learn = [{ name = "id", json = "$.id" }]"#);
    let ours = primary(&[JSON], r#"{"id":17}"#);
    for (leg, key, issued) in [(Leg::Candidate, "a", 1), (Leg::Candidate, "b", 2), (Leg::Control, "a", 3)] {
        learned.see(leg, key, &ours, &raw(&[JSON], &format!("{{\"id\":{issued}}}")));
    }
    let path = |leg, key| learned.path(leg, key, "/orders/17").map(|(path, _)| path);
    assert_eq!(path(Leg::Candidate, "a").unwrap(), "/orders/1");
    assert_eq!(path(Leg::Candidate, "b").unwrap(), "/orders/2");
    assert_eq!(path(Leg::Control, "a").unwrap(), "/orders/3");
    assert_eq!(path(Leg::Control, "b"), None);
}

#[test]
fn the_latest_value_holds_and_equal_ones_undo_it() {
    let learned = learned(r#"learn = [{ name = "id", json = "$.id" }]"#);
    let path = || learned.path(Leg::Candidate, "s", "/17").map(|(path, _)| path);
    learned.see_json("s", r#"{"id":17}"#, r#"{"id":42}"#);
    // The request was sent again after a crash.
    learned.see_json("s", r#"{"id":17}"#, r#"{"id":43}"#);
    assert_eq!(path().unwrap(), "/43");
    learned.see_json("s", r#"{"id":17}"#, r#"{"id":17}"#);
    assert_eq!(path(), None);
}

#[test]
fn a_control_that_missed_an_answer_is_out_of_that_session() {
    let learned = learned(r#"learn = [{ name = "id", json = "$.id" }]"#);
    learned.see(Leg::Control, "a", &primary(&[JSON], r#"{"id":17}"#), &raw(&[JSON], r#"{"id":1}"#));
    let given_up = |leg, name| learned.has_given_up(leg, &session(name));
    assert!(!given_up(Leg::Control, "a"));
    learned.give_up(Leg::Control, &session("a"));
    assert!(given_up(Leg::Control, "a") && !given_up(Leg::Control, "b") && !given_up(Leg::Candidate, "a"));
}

#[test]
fn only_an_answer_that_has_what_a_rule_names_is_missed() {
    let rules = [
        r#"name = "a", json = "$.id", route = "POST /orders""#,
        r#"name = "b", cookie = "sid""#,
        r#"name = "c", header = "location""#,
    ];
    let learned = learned(&format!("learn = [{{ {} }}]", rules.join(" }, { ")));
    let is_taught = |route: &str, headers: &[(&str, &str)], content: &str| {
        learned.is_taught_by(route, &primary(headers, content), &masked)
    };
    assert!(is_taught("POST /orders", &[JSON], r#"{"id":1}"#));
    assert!(
        is_taught("GET /", &[("set-cookie", "sid=1; Path=/")], "") && is_taught("GET /", &[("location", "/1")], "")
    );
    assert!(!is_taught("GET /orders", &[JSON], r#"{"id":1}"#) && !is_taught("POST /orders", &[JSON], r#"{"ok":1}"#));
}

#[test]
fn nothing_is_learnt_from_what_names_nothing() {
    let learned = learned(r#"learn = [{ name = "id", json = "$.id" }]"#);
    for (ours, theirs) in [
        (r#"{"id":"msk_redacted"}"#, r#"{"id":"a"}"#),
        (r#"{"id":""}"#, r#"{"id":"a"}"#),
        (r#"{"id":"a"}"#, r#"{"id":""}"#),
        (r#"{"id":true}"#, r#"{"id":false}"#),
        (r#"{"id":{"a":1}}"#, r#"{"id":1}"#),
        ("not JSON", r#"{"id":1}"#),
    ] {
        assert_eq!(learned.see_json("s", ours, theirs), Learnt::default(), "{ours} {theirs}");
    }
    assert_eq!(learned.see_json("s", r#"{"id":1}"#, "not JSON"), Learnt { values: 0, missed: 1 });
    let plain = primary(&[("content-type", "text/plain")], r#"{"id":1}"#);
    assert_eq!(learned.see(Leg::Candidate, "s", &plain, &raw(&[JSON], r#"{"id":2}"#)), Learnt::default());
    assert!(learned.path(Leg::Candidate, "s", "/1").is_none());
}

/// Everywhere, and only where the rule says.
fn substituted(into: &str) -> (Request, Option<(Request, Vec<String>)>) {
    let learned = learned(&format!(
        "learn = [{{ name = 'id', json = '$.id', into = [{into}] }}, {{ name = 'n', json = '$.n', into = [{into}] }}]"
    ));
    learned.see_json("s", r#"{"id":"msk_a","n":7}"#, r#"{"id":"a b/\"","n":8}"#);
    let mut request = samples::captured("POST", "/a/msk_a/7/msk_a%20/").request;
    request.query = Some("id=msk_a&a=msk_a+&n=7&msk_a&=7".to_owned());
    request.headers = [
        ("cookie", "id=msk_a; b=msk_ab;c=7"),
        ("authorization", "Bearer msk_a"),
        ("x-id", "msk_a"),
        ("x-other", "msk_a, 7"),
        JSON,
    ]
    .map(|(name, value)| Header::of(name, value))
    .to_vec();
    request.body = body(r#"{"msk_a":"msk_a", "n":[7,7.0,70,"7"],"t":"x msk_a","d":1.10,"d":1.10,"e":"\u006dsk_a"}"#);
    let found = learned.substitute(Leg::Candidate, &session("s"), &request);
    let found = found.map(|(request, names)| (request, names.into_iter().map(str::to_owned).collect()));
    (request, found)
}

#[test]
fn whole_values_are_replaced_wherever_they_stand() {
    let (_, found) = substituted("");
    let (request, names) = found.unwrap();
    assert_eq!(names, ["id", "n"]);
    assert_eq!(request.path, "/a/a%20b%2F%22/8/msk_a%20/");
    assert_eq!(request.query.unwrap(), "id=a%20b%2F%22&a=msk_a+&n=8&msk_a&=8");
    let values: Vec<_> = request.headers.iter().map(|h| h.value.as_str()).collect();
    assert_eq!(values, ["id=a b/\"; b=msk_ab;c=8", "Bearer a b/\"", "a b/\"", "msk_a, 7", "application/json"]);
    assert_eq!(
        request.body.content.unwrap(),
        r#"{"msk_a":"a b/\"", "n":[8,7.0,70,"8"],"t":"x msk_a","d":1.10,"d":1.10,"e":"a b/\""}"#
    );
}

#[test]
fn a_rule_may_be_limited_to_parts_of_a_request() {
    let (captured, found) = substituted("'path', 'body'");
    let (request, _) = found.unwrap();
    assert_eq!((request.query, request.headers), (captured.query, captured.headers));
    assert!(request.path != captured.path && request.body != captured.body);
}

#[test]
fn forms_are_replaced_value_by_value() {
    let learned = learned(r#"learn = [{ name = "id", json = "$.id" }]"#);
    learned.see_json("s", r#"{"id":"msk a"}"#, r#"{"id":"b&c"}"#);
    let mut request = samples::captured("POST", "/").request;
    request.headers = vec![Header::of("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    request.body = body("id=msk+a&x=%6Dsk%20a&msk+a=1&y=msk");
    let (request, _) = learned.substitute(Leg::Candidate, &session("s"), &request).unwrap();
    assert_eq!(request.body.content.unwrap(), "id=b%26c&x=b%26c&msk+a=1&y=msk");
}

#[test]
fn a_number_that_became_a_word_is_written_as_one() {
    let learned = learned(r#"learn = [{ name = "id", json = "$.id" }, { name = "n", json = "$.n" }]"#);
    learned.see_json("s", r#"{"id":17,"n":"18"}"#, r#"{"id":"o-1","n":"2"}"#);
    let mut request = samples::captured("POST", "/").request;
    request.headers = vec![Header::of("content-type", "application/problem+json")];
    request.body = body(r#"[17,"17",18,"18"]"#);
    let (request, _) = learned.substitute(Leg::Candidate, &session("s"), &request).unwrap();
    assert_eq!(request.body.content.unwrap(), r#"["o-1","o-1",2,"2"]"#);
}

#[test]
fn memory_is_bounded_by_values_sessions_and_bytes() {
    let learned = learned(r#"learn = [{ name = "id", json = "$.id" }]"#);
    let knows = |key: &str, id: &str| learned.path(Leg::Candidate, key, &format!("/{id}")).is_some();
    for n in 0..=VALUES {
        learned.see_json("s", &format!("{{\"id\":\"a{n}\"}}"), r#"{"id":"b"}"#);
    }
    assert!(!knows("s", "a0") && knows("s", "a1") && knows("s", &format!("a{VALUES}")));

    let long = "b".repeat(LONGEST);
    learned.see_json("long", r#"{"id":"a"}"#, &format!("{{\"id\":\"{long}b\"}}"));
    assert!(!knows("long", "a"));

    for n in 0..SESSIONS {
        assert!(knows("s", "a1"), "what is used stays");
        learned.see_json(&n.to_string(), r#"{"id":"a"}"#, r#"{"id":"b"}"#);
    }
    let memory = || learned.candidate.lock().unwrap();
    assert_eq!(memory().sessions.len(), SESSIONS);
    assert!(!knows("0", "a") && knows("1", "a"));

    for n in 0..BYTES / LONGEST + 10 {
        learned.see_json(&format!("long{n}"), r#"{"id":"a"}"#, &format!("{{\"id\":\"{long}\"}}"));
    }
    let held: usize = memory().sessions.iter().map(|(_, session)| session.bytes).sum();
    assert!(held <= BYTES && memory().bytes == held && !knows("long0", "a"));
}

proptest::proptest! {
    #[test]
    fn a_body_without_known_values_stays_byte_for_byte(text in ".{0,200}") {
        let text = Bytes::from(text);
        proptest::prop_assert_eq!(body::json(&text, |_| None), text);
    }
}
