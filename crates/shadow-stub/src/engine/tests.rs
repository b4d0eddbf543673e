use super::*;
use crate::request::tests::call;

const AT: Circumstances<'static> = Circumstances { world: "w", seed: 7, now: 1_700_000_000 };

fn engine(rules: &str) -> Engine {
    Engine::new(Rules::parse(rules).unwrap())
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).unwrap()
}

#[test]
fn the_first_rule_that_matches_answers_and_nothing_else_is_let_through() {
    let engine = engine(
        r#"
        [[rule]]
        name = "large"
        method = "POST"
        host = "api.example"
        path = "/pay/{who}"
        when = "request.json.amount > 100"
        answer = { status = 402, body = '{"refused":"{{ path.who }}"}' }
        [[rule]]
        name = "any"
        method = ["POST", "PUT"]
        path = "/pay/{who}"
        answer = { headers = { x-at = "{{ now }}" }, body = "{{ request.headers['content-type'] }}" }
        "#,
    );
    let (decision, answer) = engine.answer(&call("POST", "/pay/ann", "application/json", r#"{"amount":101}"#), AT);
    assert_eq!((decision.rule(), answer.status.as_u16(), text(&answer)), (Some("large"), 402, r#"{"refused":"ann"}"#));
    let (decision, answer) = engine.answer(&call("POST", "/pay/ann", "application/json", "{broken"), AT);
    assert_eq!((decision.rule(), text(&answer)), (Some("any"), "application/json"));
    assert_eq!(answer.headers[0].1, "1700000000");
    for other in [call("GET", "/pay/ann", "", ""), call("POST", "/pay", "", ""), call("POST", "/pay/a/b", "", "")] {
        let (decision, answer) = engine.answer(&other, AT);
        assert_eq!((decision, answer.status.as_u16()), (Decision::Unmatched, 501));
    }
}

#[test]
fn objects_live_on_in_their_world() {
    let engine = engine(
        r#"
        [[rule]]
        method = "POST"
        path = "/orders"
        state = { collection = "orders", do = "create" }
        answer = { status = 201, body = '{"id":"{{ id("o_", 8) }}","n":{{ request.json.n }},"state":"new"}' }
        [[rule]]
        method = "GET"
        path = "/orders"
        state = { collection = "orders", do = "list" }
        answer = { body = '{"count":{{ objects|length }},"last":{{ objects[0]|tojson }}}' }
        [[rule]]
        method = "GET"
        path = "/orders/{id}"
        state = { collection = "orders", do = "read", key = "{{ path.id }}", missing = { status = 410, body = '"gone: {{ path.id }}"' } }
        [[rule]]
        method = "POST"
        path = "/orders/{id}/pay"
        state = { collection = "orders", do = "update", key = "{{ path.id }}" }
        answer = { body = '{"state":"paid","n":{{ object.n + 1 }}}' }
        [[rule]]
        method = "DELETE"
        path = "/orders/{id}"
        state = { collection = "orders", do = "delete", key = "{{ path.id }}" }
        answer = { body = '{"deleted":true}' }
        "#,
    );
    let ask = |method, target: &str, body| engine.answer(&call(method, target, "application/json", body), AT).1;
    let made: Json = serde_json::from_slice(&ask("POST", "/orders", r#"{"n":1}"#).body).unwrap();
    let place = format!("/orders/{}", made["id"].as_str().unwrap());
    assert_eq!(text(&ask("GET", &place, "")), made.to_string());
    assert_eq!(
        text(&ask("POST", &format!("{place}/pay"), "{}")),
        made.to_string().replace("new", "paid").replace(":1,", ":2,")
    );
    assert!(text(&ask("GET", "/orders", "")).starts_with(r#"{"count":1,"last":{"#));
    let elsewhere = engine.answer(&call("GET", &place, "", ""), Circumstances { world: "other", ..AT }).1;
    assert_eq!((elsewhere.status.as_u16(), text(&elsewhere).starts_with("\"gone: o_")), (410, true));
    assert_eq!(text(&ask("DELETE", &place, "")), r#"{"deleted":true}"#);
    assert_eq!(ask("GET", &place, "").status.as_u16(), 410);
    assert_eq!(ask("POST", &format!("{place}/pay"), "{}").status.as_u16(), 404);
}

#[test]
fn a_call_that_comes_again_is_answered_as_before_and_ids_depend_on_the_seed_alone() {
    let engine = engine(
        r#"
        [[rule]]
        path = "/charge"
        idempotent_by = "{{ request.headers['idempotency-key'] }}"
        answer = { body = '{{ id("ch_", 24) }} {{ id("ch_", 24) }}' }
        "#,
    );
    let mut first = call("POST", "/charge", "", "");
    let ids = |seed, call: &Call| text(&engine.answer(call, Circumstances { seed, ..AT }).1).to_owned();
    let (one, two) = (ids(1, &first), ids(2, &first));
    assert_eq!(one, ids(1, &first));
    assert!(one != two && one.len() == 55);
    let (left, right) = one.split_once(' ').unwrap();
    assert_ne!(left, right);
    first.headers.insert("idempotency-key", HeaderValue::from_static("k"));
    let kept = ids(3, &first);
    let (decision, again) = engine.answer(&first, Circumstances { seed: 4, ..AT });
    assert_eq!((decision.as_str(), text(&again)), ("again", kept.as_str()));
}

#[test]
fn what_was_answered_as_the_primarys_was_is_found_by_the_rules_of_later_calls() {
    let engine = engine(
        r#"
        [[rule]]
        method = "POST"
        path = "/orders"
        idempotent_by = "{{ request.headers['idempotency-key'] }}"
        state = { collection = "orders", do = "create", also = [{ collection = "receipts", key = "r_{{ object.id }}", body = '{"of":{{ object.id|tojson }}}' }] }
        answer = { body = '{"id":"of the rule"}' }
        [[rule]]
        method = "GET"
        path = "/orders/{id}/now"
        state = { collection = "orders", do = "read", key = "{{ path.id }}" }
        [[rule]]
        method = "GET"
        path = "/receipts/{id}/now"
        state = { collection = "receipts", do = "read", key = "{{ path.id }}" }
        [[rule]]
        method = "POST"
        path = "/orders/{id}/pay"
        state = { collection = "orders", do = "update", key = "{{ path.id }}" }
        answer = { body = '{"paid":true}' }
        [[rule]]
        method = "DELETE"
        path = "/orders/{id}/now"
        state = { collection = "orders", do = "delete", key = "{{ path.id }}" }
        "#,
    );
    let primarys = |status, body: &'static str| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: vec![],
        body: Bytes::from_static(body.as_bytes()),
        delay: Duration::ZERO,
        fault: None,
    };
    let keep = |call: &Call, status, body| {
        let matching = engine.matching(call, AT);
        let key = engine.key(&matching);
        engine.keep(&matching, &primarys(status, body), key, AT);
        matching.route()
    };
    let ask = |method, target: &str| {
        let (_, answer) = engine.answer(&call(method, target, "", ""), AT);
        format!("{} {}", answer.status.as_u16(), text(&answer))
    };
    let mut create = call("POST", "/orders", "application/json", "{}");
    create.headers.insert("idempotency-key", HeaderValue::from_static("k"));
    assert_eq!(keep(&create, 500, r#"{"id":"o_0"}"#), "/orders");
    assert_eq!(ask("GET", "/orders/o_0/now"), "404 ", "what failed leaves nothing");
    keep(&create, 201, r#"{"id":"o_1","n":1}"#);
    assert_eq!(ask("GET", "/orders/o_1/now"), r#"200 {"id":"o_1","n":1}"#);
    assert_eq!(ask("GET", "/receipts/r_o_1/now"), r#"200 {"of":"o_1"}"#);
    let (decision, again) = engine.answer(&create, AT);
    assert_eq!((decision.as_str(), text(&again)), ("again", r#"{"id":"o_1","n":1}"#));
    assert_eq!(ask("POST", "/orders/o_1/pay"), r#"200 {"id":"o_1","n":1,"paid":true}"#);
    keep(&call("GET", "/orders/o_1/now", "", ""), 200, r#"{"id":"o_1","paid":false}"#);
    assert_eq!(ask("GET", "/orders/o_1/now"), r#"200 {"id":"o_1","n":1,"paid":true}"#, "its own change stays");
    keep(&call("GET", "/orders/o_9/now", "", ""), 200, r#"{"id":"o_9"}"#);
    assert_eq!(ask("GET", "/orders/o_9/now"), r#"200 {"id":"o_9"}"#);
    keep(&call("POST", "/orders/o_1/pay", "", ""), 200, r#"{"id":"o_1","paid":"twice"}"#);
    assert_eq!(ask("GET", "/orders/o_1/now"), r#"200 {"id":"o_1","paid":"twice"}"#);
    keep(&call("DELETE", "/orders/o_1/now", "", ""), 204, "");
    assert_eq!(ask("GET", "/orders/o_1/now"), "404 ");
}

#[test]
fn a_rule_that_fails_says_so_and_changes_nothing() {
    let engine = engine(
        r#"
        [[rule]]
        path = "/endless"
        answer = { body = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}" }
        [[rule]]
        path = "/broken"
        state = { collection = "c", do = "create" }
        answer = { body = "not json" }
        [[rule]]
        path = "/faulty"
        answer = { fault = "close", share = 0.3, delay = "20ms" }
        "#,
    );
    for path in ["/endless", "/broken"] {
        let (decision, answer) = engine.answer(&call("GET", path, "", ""), AT);
        assert!(matches!(decision, Decision::Failed { .. }), "{decision:?}");
        assert_eq!(answer.status.as_u16(), 501);
    }
    let faulty = (0..1000).filter(|seed| {
        let (_, answer) = engine.answer(&call("GET", "/faulty", "", ""), Circumstances { seed: *seed, ..AT });
        assert_eq!(answer.delay, Duration::from_millis(20));
        answer.fault == Some(Fault::Close)
    });
    let share = faulty.count() as f64 / 1000.0;
    assert!((share - 0.3).abs() < 0.05, "{share}");
}
