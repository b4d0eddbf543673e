use std::sync::Arc;

use bytes::Bytes;
use shadow_record::{CorrelatedBy, Decision, Header, Request, RequestId, Side, Timestamp, Withheld};

use super::*;

fn body(content: &str) -> shadow_record::Body {
    let content = Bytes::copy_from_slice(content.as_bytes());
    shadow_record::Body { length: content.len() as i64, content: Some(content), digest: Bytes::new(), withheld: None }
}

fn request(target: &str, content_type: &str, content: &str) -> Request {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    Request {
        method: "POST".to_owned(),
        scheme: "https".to_owned(),
        authority: "api.pay.example".to_owned(),
        path: path.to_owned(),
        query,
        headers: vec![Header::of("content-type", content_type)],
        body: body(content),
    }
}

fn asked(target: &str, content_type: &str, content: &str) -> Asked {
    Asked::of("api.pay.example".to_owned(), &request(target, content_type, content))
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const PLACE: &str = "/v1/charges";

/// One of the primary's effects, the `at`-th, with the answer it got.
fn effect(at: i64, request: Request, response: Option<&str>) -> Kept {
    let response = response.map(|text| Response { status: 201, headers: vec![], body: body(text) });
    let effect = SideEffect {
        service: "checkout".parse().unwrap(),
        side: Side::Primary,
        instance: "a".to_owned(),
        epoch: 1,
        sequence: at,
        at: Timestamp(at),
        total_us: 1,
        request_id: Some(RequestId::generate()),
        launch: None,
        attempt: 0,
        correlated_by: CorrelatedBy::Trace,
        trace_id: None,
        destination: "api.pay.example".to_owned(),
        route: PLACE.to_owned(),
        rule: None,
        decision: Decision::Forwarded,
        fault: None,
        request,
        response,
        ruleset: String::new(),
        key_id: String::new(),
        send: None,
    };
    // Appended in another order than they were made.
    Kept { appended_at: Timestamp(100 - at), partition: 0, offset: 100 - at, effect }
}

/// What a call is given, in short.
fn take(sequence: &mut Sequence, asked: &Asked, effects: &[Arc<Kept>], alike: bool) -> String {
    let text = |answer: Answer| String::from_utf8(answer.body.to_vec()).unwrap();
    match sequence.take(asked, asked.key(), effects, alike) {
        Taken::Equal(answer) if answer.fault.is_some() => "closed".to_owned(),
        Taken::Equal(answer) => text(answer),
        Taken::Alike(answer) => format!("alike: {}", text(answer)),
        Taken::Withheld => "withheld".to_owned(),
        Taken::Contradicts => "contradicts".to_owned(),
        Taken::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn equal_calls_are_answered_in_the_primarys_order_and_each_answer_is_given_once() {
    let polled = |at, answer| Arc::new(effect(at, request("/v1/jobs?b=2&a=1", JSON, ""), Some(answer)));
    let effects = [polled(3, "done"), polled(1, "queued"), polled(2, "running")];
    let mut sequence = Sequence::new();
    let poll = asked("/v1/jobs?a=1&b=2", JSON, "");
    for expected in ["queued", "running", "done", "nothing"] {
        assert_eq!(take(&mut sequence, &poll, &effects, true), expected);
    }
    for elsewhere in ["/v1/jobs?a=1&b=3", "/v1/jobs", "/v1/other?a=1&b=2"] {
        assert_eq!(take(&mut Sequence::new(), &asked(elsewhere, JSON, ""), &effects, true), "nothing");
    }
    assert_eq!(take(&mut Sequence::new(), &poll, &effects, true), "queued", "another send begins at the beginning");
}

#[test]
fn bodies_are_equal_whatever_the_order_of_their_members() {
    for (content_type, primary, candidate) in [
        (JSON, r#"{"a":1,"b":[1,2]}"#, r#"{ "b": [1, 2], "a": 1 }"#),
        (FORM, "a=1&b%5B%5D=x+y", "b[]=x%20y&a=1"),
        ("text/plain", "as it is", "as it is"),
    ] {
        let effects = [Arc::new(effect(1, request(PLACE, content_type, primary), Some("made")))];
        assert_eq!(take(&mut Sequence::new(), &asked(PLACE, content_type, candidate), &effects, false), "made");
    }
    let effects = [Arc::new(effect(1, request(PLACE, JSON, r#"{"a":[1,2]}"#), Some("made")))];
    assert_eq!(take(&mut Sequence::new(), &asked(PLACE, JSON, r#"{"a":[2,1]}"#), &effects, false), "nothing");
}

#[test]
fn another_body_is_given_what_is_left_unless_the_answer_shows_what_it_did_not_ask() {
    let charge = |at, amount, answer| {
        let request = request(PLACE, FORM, &format!("amount={amount}&card=tok&nonce=n{at}"));
        Arc::new(effect(at, request, Some(answer)))
    };
    let other = |amount: &str| asked(PLACE, FORM, &format!("amount={amount}&card=tok&nonce=of-the-candidate"));
    let silent = charge(1, "1000", r#"{"id":"ch_1","ok":true}"#);
    let echoing = charge(1, "1000", r#"{"id":"ch_1","amount":1000}"#);
    let in_words = charge(1, "1000", r#"{"receipt":"charged 1000 cents"}"#);
    let unreadable = Arc::new(effect(1, request(PLACE, "application/octet-stream", "bytes"), Some("made")));
    for (effects, amount, expected) in [
        (&silent, "1000", r#"alike: {"id":"ch_1","ok":true}"#),
        (&silent, "1001", r#"alike: {"id":"ch_1","ok":true}"#),
        (&echoing, "1000", r#"alike: {"id":"ch_1","amount":1000}"#),
        (&echoing, "1001", "contradicts"),
        (&in_words, "1001", "contradicts"),
        (&unreadable, "1000", "contradicts"),
    ] {
        let effects = [effects.clone()];
        assert_eq!(take(&mut Sequence::new(), &other(amount), &effects, false), "nothing");
        assert_eq!(take(&mut Sequence::new(), &other(amount), &effects, true), expected);
    }
    // An equal one is preferred, wherever it stands.
    let effects = [charge(1, "5", r#"{"n":1}"#), charge(2, "7", r#"{"n":2}"#)];
    let mut sequence = Sequence::new();
    assert_eq!(take(&mut sequence, &asked(PLACE, FORM, "amount=7&card=tok&nonce=n2"), &effects, true), r#"{"n":2}"#);
    assert_eq!(take(&mut sequence, &other("5"), &effects, true), r#"alike: {"n":1}"#);
    assert_eq!(take(&mut sequence, &other("5"), &effects, true), "nothing");
}

#[test]
fn what_the_record_lacks_takes_its_turn_and_a_call_without_an_answer_gets_none() {
    let mut withheld = effect(1, request(PLACE, JSON, "{}"), Some("large"));
    if let Some(response) = &mut withheld.effect.response {
        response.body = shadow_record::Body { content: None, withheld: Some(Withheld::Truncated), ..body("") };
    }
    let effects = [
        Arc::new(withheld),
        Arc::new(effect(2, request(PLACE, JSON, "{}"), None)),
        Arc::new(effect(3, request(PLACE, JSON, "{}"), Some("third"))),
    ];
    let mut sequence = Sequence::new();
    let call = asked(PLACE, JSON, "{}");
    for expected in ["withheld", "closed", "third", "nothing"] {
        assert_eq!(take(&mut sequence, &call, &effects, true), expected);
    }
}

#[test]
fn an_answer_is_repeated_without_what_belongs_to_its_connection() {
    let mut kept = effect(1, request(PLACE, JSON, "{}"), Some("{}"));
    let lines = [
        ("content-type", JSON),
        ("content-length", "2"),
        ("original-content-encoding", "gzip"),
        ("request-id", "req_1"),
        ("not a name", "x"),
    ];
    let headers = lines.map(|(name, value)| Header::of(name, value)).to_vec();
    kept.effect.response = Some(Response { status: 402, headers, body: body("{}") });
    let Taken::Equal(answer) = Sequence::new().take(&asked(PLACE, JSON, "{}"), None, &[Arc::new(kept)], false) else {
        panic!("it is equal")
    };
    let headers: Vec<_> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((answer.status.as_u16(), headers), (402, vec!["content-type", "request-id"]));
}

#[test]
fn a_key_is_answered_again_and_the_keys_are_bounded() {
    let mut sequence = Sequence::new();
    let answer = |n: usize| Answer {
        status: StatusCode::OK,
        headers: vec![],
        body: Bytes::from(n.to_string()),
        delay: Duration::ZERO,
        fault: None,
    };
    for n in 0..=KEYS {
        sequence.keep(n.to_string(), answer(n));
    }
    assert_eq!((sequence.again("0"), sequence.again("1")), (None, Some(answer(1))));
}

#[test]
fn a_repetition_is_given_the_primarys_own_before_what_the_key_was_answered() {
    let keyed = |body: &str, key: &str| {
        let mut request = request(PLACE, JSON, body);
        request.headers.push(Header::of("idempotency-key", key));
        request
    };
    let of = |at, key: &str, attempt: i32, status: u16| {
        let mut kept = effect(at, keyed(&format!(r#"{{"attempt":{attempt}}}"#), key), Some("{}"));
        kept.effect.response.as_mut().unwrap().status = status;
        Arc::new(kept)
    };
    // Two at the same time; the first one's is refused for now, fails, and is then charged; twice.
    let effects = [of(1, "a", 1, 429), of(2, "b", 1, 200), of(3, "a", 1, 503), of(4, "a", 1, 201), of(5, "a", 2, 202)];
    let mut sequence = Sequence::new();
    let mut ask = |key: &str, attempt: i32| {
        let asked = Asked::of("api.pay.example".to_owned(), &keyed(&format!(r#"{{"attempt":{attempt}}}"#), key));
        match sequence.take(&asked, Some(key), &effects, false) {
            Taken::Equal(answer) | Taken::Alike(answer) => {
                sequence.keep(key.to_owned(), answer.clone());
                answer.status.as_u16()
            }
            _ => sequence.again(key).map_or(0, |answer| answer.status.as_u16() + 1_000),
        }
    };
    assert_eq!(ask("b", 1), 200);
    assert_eq!([ask("a", 1), ask("a", 1), ask("a", 1)], [429, 503, 201]);
    assert_eq!([ask("a", 3), ask("a", 1)], [202, 1_202], "whatever it says of itself; then its answer again");
    assert_eq!(ask("b", 1), 1_200);
}
