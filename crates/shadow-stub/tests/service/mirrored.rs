//! The candidate and the control are answered as the primary was: in order, each answer once, from the beginning for each send; what the
//! primary did not ask is for the rules.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use shadow_kafka::{Delivery, Outgoing, Producer, ProducerLimits, TopicSpec, partition_for};
use shadow_mask::{RawBody, RawRequest, RawResponse};
use shadow_record::{Timestamp, encode};
use shadow_stub::Rules;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;

const SERVICE: &str = "mirrored";
const PARTITIONS: i32 = 4;
const RULES: &str = r#"
[[rule]]
name = "charge"
method = "POST"
host = "pay.example"
path = "/v1/charges"
idempotent_by = "{{ request.headers['idempotency-key'] }}"
state = { collection = "charges", do = "create" }
answer = { body = '{"id":"{{ id("rule_", 8) }}","amount":{{ request.json.amount }}}' }

[[rule]]
name = "read"
method = "GET"
host = "pay.example"
path = "/v1/charges/{id}"
state = { collection = "charges", do = "read", key = "{{ path.id }}" }

[[rule]]
name = "balance"
path = "/v1/balance"
mirror = false
answer = { body = '{"of":"a rule"}' }
"#;

/// A service in front of a stub, and its primary.
struct World {
    masker: Masker,
    producer: Producer,
    stub: SocketAddr,
    running: JoinHandle<anyhow::Result<()>>,
}

impl World {
    async fn start(kafka: &KafkaConfig) -> Self {
        launch(kafka, "v3", SERVICE).await;
        let spec = TopicSpec::deleting(topics::effects(&SERVICE.parse().unwrap()), PARTITIONS);
        Admin::new(kafka).unwrap().ensure_topic(&spec).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules.toml");
        std::fs::write(&rules, RULES).unwrap();
        let mut config = Config { kafka: kafka.clone(), ..Config::default() };
        config.service.name = Some(SERVICE.parse().unwrap());
        config.masking.key = Some(Secret::new(KEY));
        config.stub.http = free();
        config.stub.rules = vec![rules];
        let stub = config.stub.http;
        let running = tokio::spawn(async move {
            let _rules = folder;
            shadow_stub::run(config, CancellationToken::new()).await
        });
        // The agent's routes are those of the rules.
        let routes = RouteTable::parse(&Rules::parse(RULES).unwrap().routes()).unwrap();
        let masker = Masker::new(MaskKey::parse(KEY).unwrap(), Ruleset::default(), routes);
        Self { masker, producer: Producer::new(kafka, &ProducerLimits::default()).unwrap(), stub, running }
    }

    /// One of the primary's effects, recorded and published as the agent does. What it asked, as the shadow would know it.
    async fn primary(
        &self,
        of: RequestId,
        sequence: i64,
        (method, path, body): (&str, &str, &str),
        answer: &str,
    ) -> Asked {
        let json = || HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        let request = self.masker.request(RawRequest {
            method: method.to_owned(),
            scheme: "https".to_owned(),
            authority: "pay.example".to_owned(),
            path: path.to_owned(),
            query: None,
            headers: json(),
            body: RawBody::Whole(Bytes::copy_from_slice(body.as_bytes())),
        });
        let body = RawBody::Whole(Bytes::copy_from_slice(answer.as_bytes()));
        let response = self.masker.response(method, path, RawResponse { status: 200, headers: json(), body });
        let effect = SideEffect {
            service: SERVICE.parse().unwrap(),
            side: Side::Primary,
            instance: "agent".to_owned(),
            epoch: 1,
            sequence,
            at: Timestamp::now(),
            total_us: 1,
            request_id: Some(of),
            launch: None,
            attempt: 0,
            correlated_by: CorrelatedBy::Trace,
            trace_id: None,
            destination: "pay.example".to_owned(),
            route: path.to_owned(),
            rule: None,
            decision: Decision::Forwarded,
            fault: None,
            request: request.clone(),
            response: Some(response),
            ruleset: String::new(),
            key_id: String::new(),
            send: None,
        };
        let key = self.masker.record_key(of.0.as_bytes());
        let topic = topics::effects(&effect.service);
        let out = Outgoing {
            topic: &topic,
            partition: Some(partition_for(&key, PARTITIONS)),
            key: Some(&key),
            payload: &encode(&effect),
        };
        let delivery = self.producer.publish(out).await;
        assert!(matches!(delivery, Delivery::Acknowledged { .. }), "{delivery:?}");
        let body = String::from_utf8(request.body.content.unwrap().to_vec()).unwrap();
        Asked { method: method.to_owned(), path: request.path, body }
    }

    /// The body of the answer to a call that is made for one send of a request.
    async fn ask(&self, asked: &Asked, of: RequestId, leg: Leg, send: i64, key: &str) -> Value {
        let launch = "v3".parse().unwrap();
        // 0: the service passes on the trace alone.
        let header = if send == 0 {
            format!("traceparent: 00-{}-00f067aa0ba902b7-01", TraceId::of(&of, &launch, leg))
        } else {
            let mark = Mark { launch, request_id: of, attempt: 1, leg, send };
            format!("shadowline-replay: {}", mark.sign(|body| self.masker.mark_tag(body)))
        };
        let Asked { method, path, body } = asked;
        let length = body.len();
        let head = format!(
            "{method} https://pay.example{path} HTTP/1.1\r\nhost: pay.example\r\n{header}\r\nidempotency-key: {key}\r\n\
             connection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        loop {
            // The stub's task may not listen yet.
            let Ok(mut stream) = TcpStream::connect(self.stub).await else {
                assert!(!self.running.is_finished(), "the stub runs");
                tokio::task::yield_now().await;
                continue;
            };
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            return serde_json::from_str(body).unwrap_or(Value::Null);
        }
    }
}

/// A call, as the shadow makes it.
struct Asked {
    method: String,
    path: String,
    body: String,
}

impl Asked {
    fn with_body(&self, from: &str, to: &str) -> Self {
        assert!(self.body.contains(from), "{}", self.body);
        Self { body: self.body.replace(from, to), method: self.method.clone(), path: self.path.clone() }
    }
}

pub(super) async fn both_versions_see_the_same_world(stack: Devstack) {
    let kafka = KafkaConfig::at(stack.brokers());
    let world = World::start(&kafka).await;
    let of = RequestId::generate();
    let charge = ("POST", "/v1/charges", r#"{"amount":1000,"email":"ann@example.com"}"#);
    let first = world.primary(of, 1, charge, r#"{"id":"ch_8dK2pQx71","amount":1000}"#).await;
    world.primary(of, 2, charge, r#"{"id":"ch_Zw5Rt09Lm","amount":1000}"#).await;
    let read = world.primary(of, 3, ("GET", "/v1/charges/ch_8dK2pQx71", ""), r#"{"read":7}"#).await;
    world.primary(of, 4, ("GET", "/v1/balance", ""), r#"{"of":"the primary"}"#).await;
    assert!(!first.body.contains("ann@example.com"), "the shadow never saw it");

    // Send 0 is told by the trace alone; send 3 is a resend of 2.
    let ids = ask_all(&world, of, &first, &read).await;
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "each send is given the same from the beginning: {ids:?}");

    // Another request is not given them.
    assert!(by_rule(&world.ask(&first, RequestId::generate(), Leg::Candidate, 1, "").await));

    elsewhere_in_time(&world, charge).await;

    let (effects, _) = effects(&kafka, SERVICE).await;
    let own =
        |decision| effects.iter().filter(move |effect| effect.side != Side::Primary && effect.decision == decision);
    let sends = SENDS.len();
    assert_eq!(own(Decision::Mirrored).count(), 3 * sends + 1);
    assert_eq!(own(Decision::Again).count(), sends);
    for effect in own(Decision::Mirrored) {
        assert!(effect.rule.is_none() && effect.route.starts_with("/v1/charges"), "{effect:?}");
    }
    let with_send = own(Decision::Mirrored).filter(|effect| effect.send.is_some()).count();
    assert_eq!(with_send, 3 * (sends - 1) + 1, "the trace tells no send");

    // Without Kafka the primary's effects cannot be had: a call is answered all the same, by rule.
    stack.stop().await;
    let later = world.ask(&first, RequestId::generate(), Leg::Candidate, 9, "");
    assert!(by_rule(&tokio::time::timeout(Duration::from_secs(60), later).await.unwrap()));
    world.running.abort();
}

/// To whom the request is sent, and the number of the send.
const SENDS: [(Leg, i64); 5] =
    [(Leg::Candidate, 1), (Leg::Control, 1), (Leg::Candidate, 2), (Leg::Candidate, 3), (Leg::Candidate, 0)];

/// Makes the same calls in each send, and gives the identifiers that each was given.
async fn ask_all(world: &World, of: RequestId, first: &Asked, read: &Asked) -> Vec<[Value; 2]> {
    let mut ids = Vec::new();
    for (leg, send) in SENDS {
        let ask =
            async |asked: &Asked, key: &str| world.ask(asked, of, leg, send, &format!("{key}-{send}-{leg:?}")).await;
        let (one, again) = (ask(first, "1").await, ask(first, "1").await);
        assert_eq!(one, again, "a call that comes again is not the primary's next one");
        // The one that is left was told that 1,000 were charged.
        let other = ask(&first.with_body("1000", "1001"), "2").await;
        assert_eq!((other["amount"].as_i64(), by_rule(&other)), (Some(1001), true), "{other}");
        let two = ask(first, "3").await;
        assert_ne!(one["id"], two["id"]);
        assert_eq!((one["amount"].as_i64(), two["amount"].as_i64()), (Some(1000), Some(1000)));
        // A third one the primary did not make.
        assert!(by_rule(&ask(first, "4").await));
        assert_eq!(ask(read, "").await, json!({"read": 7}));
        // What the primary never read a rule does, from what the mirrored call left.
        let path = format!("/v1/charges/{}", two["id"].as_str().unwrap());
        let of_rule = Asked { method: "GET".to_owned(), path, body: String::new() };
        assert_eq!(ask(&of_rule, "").await, two);
        let balance = Asked { method: "GET".to_owned(), path: "/v1/balance".to_owned(), body: String::new() };
        assert_eq!(ask(&balance, "").await, json!({"of": "a rule"}), "the rule says that it is not mirrored");
        ids.push([one["id"].clone(), two["id"].clone()]);
    }
    ids
}

/// A request in the wrong order: its effects are sought where reading began too late for them, as when a launch begins anew.
async fn elsewhere_in_time(world: &World, charge: (&str, &str, &str)) {
    let (seconds, nanos) = RequestId::generate().0.get_timestamp().unwrap().to_unix();
    let later = RequestId(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds + 300, nanos)));
    let asked = Asked { method: charge.0.to_owned(), path: charge.1.to_owned(), body: charge.2.to_owned() };
    assert!(by_rule(&world.ask(&asked, later, Leg::Candidate, 1, "").await));
    let earlier = RequestId::generate();
    let asked = world.primary(earlier, 10, charge, r#"{"id":"ch_earlier00"}"#).await;
    let answer = world.ask(&asked, earlier, Leg::Candidate, 1, "").await;
    assert!(!by_rule(&answer), "{answer}");
}

fn by_rule(answer: &Value) -> bool {
    answer["id"].as_str().unwrap().starts_with("rule_")
}
