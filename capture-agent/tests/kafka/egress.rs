//! The primary's outbound calls, recorded.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use shadow_record::{CorrelatedBy, Decision, Side, SideEffect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::wire::{Message, read_message, send};

const CHARGED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n{\"id\":\"ch_1\",\"email\":\"ann@shop.test\"}";
pub(super) const TRACE: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";

/// An agent whose primary makes calls before it answers, one for each line of the request's body; each is sent to the agent's egress as it
/// stands, with the trace and the client's ID of the request.
pub(super) struct Rehearsed {
    pub(super) running: Running,
    /// What the primary got for its calls.
    pub(super) answers: Arc<Mutex<Vec<Message>>>,
    _primary: Origin,
}

impl Rehearsed {
    pub(super) async fn start(stack: &Devstack, service: &str, settings: &[&str]) -> Self {
        let egress = Arc::new(Mutex::new(None));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let (known, heard) = (egress.clone(), answers.clone());
        let primary = Origin::spawn(move |_, mut client| {
            let (known, heard) = (known.clone(), heard.clone());
            async move {
                while let Some(request) = read_message(&mut client, false).await {
                    let passed_on = ["traceparent", "x-request-id"]
                        .map(|name| request.header(name).map_or(String::new(), |value| format!("{name}: {value}\r\n")));
                    for call in String::from_utf8(request.body).unwrap().lines() {
                        let address = known.lock().unwrap().expect("the agent runs");
                        if let Some(to) = call.strip_prefix("CONNECT ") {
                            let answer = through_a_tunnel(address, to).await;
                            heard.lock().unwrap().push(answer);
                            continue;
                        }
                        let (line, body) = call.split_once(" <- ").unwrap_or((call, ""));
                        let length = body.len();
                        let bytes = format!(
                            "{line} HTTP/1.1\r\nHost: any\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{}{}\r\n{body}",
                            passed_on[0], passed_on[1]
                        );
                        let answer = ask(address, bytes.as_bytes()).await;
                        heard.lock().unwrap().push(answer);
                    }
                    client.write_all(OK).await.unwrap();
                }
            }
        })
        .await;
        let settings = [&["egress.listen = \"127.0.0.1:0\""], settings].concat();
        let mut config = support::config_with(primary.address, stack.brokers(), &settings);
        config.service.name = Some(service.parse().unwrap());
        config.capture.flush = "40s".parse().unwrap();
        let running = Running::with(config).await;
        *egress.lock().unwrap() = running.agent.egress_address();
        Self { running, answers, _primary: primary }
    }

    /// A request during which the primary makes these calls.
    pub(super) async fn order(&self, lines: &str, calls: &str) {
        let length = calls.len();
        let request =
            format!("POST /items/1 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n{lines}\r\n{calls}");
        assert!(ask(self.running.address(), request.as_bytes()).await.start.contains(" 200 "));
    }
}

async fn through_a_tunnel(proxy: SocketAddr, to: &str) -> Message {
    let mut tunnel = send(proxy, format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tunnel.read_u8().await.unwrap());
    }
    tunnel.write_all(b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_message(&mut tunnel, false).await.unwrap()
}

/// Every effect of a service, in the order of their numbers.
pub(super) async fn effects(stack: &Devstack, service: &str) -> Vec<(Consumed, SideEffect)> {
    let topic = topics::effects(&service.parse().unwrap());
    let records = records(stack.brokers(), &topic).await;
    let mut effects: Vec<(Consumed, SideEffect)> =
        records.into_iter().map(|record| (record.clone(), decode(&record.payload).unwrap())).collect();
    effects.sort_by_key(|(_, effect)| effect.sequence);
    effects
}

pub(super) async fn calls_arrive_masked_with_the_request_that_they_were_made_for(stack: &mut Devstack) {
    let (partner, asked) = Origin::canned(CHARGED).await;
    let alias = format!("egress.aliases = [{{ path = \"/pay\", to = \"http://{}/v1\" }}]", partner.address);
    let routes = "egress.routes = [\"POST /v1/charges\", \"GET /v1/charges/{id}\"]";
    let rehearsed = Rehearsed::start(stack, "calls", &[&alias, routes]).await;
    let calls = format!(
        "POST http://{0}/v1/charges?via=proxy <- {{\"email\":\"ann@shop.test\"}}\nGET /pay/charges/ch_secret\n",
        partner.address
    );
    rehearsed.order(TRACE, &calls).await;
    rehearsed.order("", "").await;
    let calls = rehearsed.running.agent.calls().unwrap();
    assert!(calls.balances(), "{calls:?}");
    let account = rehearsed.running.stop().await;
    assert_eq!((account.seen, account.acknowledged), (2, 2));

    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[0].start, "POST /v1/charges?via=proxy HTTP/1.1");
    assert_eq!(asked[1].start, "GET /v1/charges/ch_secret HTTP/1.1");
    assert_eq!((asked[0].body.as_slice(), asked[1].body.len()), (&b"{\"email\":\"ann@shop.test\"}"[..], 0));
    assert!(asked.iter().all(|call| call.header("host") == Some(&partner.address.to_string())), "{asked:?}");
    let answers = rehearsed.answers.lock().unwrap().clone();
    assert!(answers.iter().all(|answer| answer.start == "HTTP/1.1 201 Created" && answer.body.ends_with(b"}")));

    let exchanges = captured(stack, "calls").await;
    let id = exchanges.iter().map(|(_, e)| e).find(|e| e.correlation_id.is_none() && e.request.body.length > 0);
    let id = id.unwrap().request_id;
    assert!(exchanges.iter().all(|(_, exchange)| exchange.effects_recorded), "nothing was lost");
    let effects = effects(stack, "calls").await;
    assert_eq!(effects.len(), 2);
    let masker = masker();
    for (record, effect) in &effects {
        assert_eq!(record.key.as_deref(), Some(&masker.record_key(id.0.as_bytes())[..]));
        assert_eq!((effect.side, effect.decision, effect.launch.as_ref()), (Side::Primary, Decision::Forwarded, None));
        assert_eq!((effect.request_id, effect.correlated_by), (Some(id), CorrelatedBy::Trace));
        assert_eq!(effect.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(effect.destination, partner.address.to_string());
        assert_eq!((effect.epoch, effect.attempt, effect.send), (account.epoch.micros(), 0, None));
        let text = format!("{effect:?}");
        assert!(!text.contains("ann@shop.test") && !text.contains("ch_secret"), "{text}");
        let response = effect.response.as_ref().unwrap();
        assert_eq!((response.status, response.body.content.is_some()), (201, true));
    }
    let told: Vec<_> = effects.iter().map(|(_, e)| (e.sequence, e.request.method.as_str(), e.route.as_str())).collect();
    assert_eq!(told, [(0, "POST", "/v1/charges"), (1, "GET", "/v1/charges/{id}")]);
}

const OTHER: &str = "traceparent: 00-11111111111111111111111111111111-00f067aa0ba902b7-01\r\n";

/// What told of each call, and whether a request was known.
async fn told(stack: &Devstack, service: &str) -> Vec<(CorrelatedBy, bool)> {
    let effects = effects(stack, service).await;
    effects.iter().map(|(_, effect)| (effect.correlated_by, effect.request_id.is_some())).collect()
}

pub(super) async fn a_call_without_a_trace_is_told_by_the_clients_id_or_by_being_alone(stack: &mut Devstack) {
    let (partner, _) = Origin::canned(CHARGED).await;
    let rehearsed = Rehearsed::start(stack, "told", &[]).await;
    let call = format!("POST http://{}/charge <- {{}}\n", partner.address);
    // Nobody else is at work any more only in the first one's time.
    rehearsed.order("", &call).await;
    rehearsed.order("x-request-id: r-17\r\n", &call).await;
    // Of no request.
    let address = rehearsed.running.agent.egress_address().unwrap();
    let call = format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n{OTHER}\r\n", partner.address);
    ask(address, call.as_bytes()).await;
    rehearsed.running.stop().await;
    let expected = [(CorrelatedBy::Alone, true), (CorrelatedBy::CorrelationId, true), (CorrelatedBy::None, false)];
    assert_eq!(told(stack, "told").await, expected);
}

pub(super) async fn a_destination_that_is_down_is_recorded_as_the_primary_was_told(stack: &mut Devstack) {
    let rehearsed = Rehearsed::start(stack, "down", &[]).await;
    rehearsed.order(TRACE, &format!("POST http://{}/charge <- {{}}\n", support::nobody())).await;
    rehearsed.running.stop().await;
    let effects = effects(stack, "down").await;
    let statuses: Vec<_> =
        effects.iter().map(|(_, effect)| effect.response.as_ref().map(|answer| answer.status)).collect();
    assert_eq!(statuses, [Some(502)]);
    let exchanges = captured(stack, "down").await;
    assert!(exchanges.iter().all(|(_, exchange)| exchange.effects_recorded));
}

pub(super) async fn calls_of_requests_outside_the_sample_are_not_recorded(stack: &mut Devstack) {
    let (partner, asked) = Origin::canned(CHARGED).await;
    let rehearsed = Rehearsed::start(stack, "sampled", &["sampling.rate = 0.0"]).await;
    rehearsed.order(TRACE, &format!("POST http://{}/charge <- {{}}\n", partner.address)).await;
    let calls = rehearsed.running.agent.calls().unwrap();
    rehearsed.running.stop().await;
    assert_eq!((calls.seen, calls.sampled_out, asked.lock().unwrap().len()), (1, 1, 1));
    assert!(effects(stack, "sampled").await.is_empty());
}

pub(super) async fn an_exchange_says_when_not_every_call_of_its_time_was_recorded(stack: &mut Devstack) {
    let (partner, _) = Origin::canned(CHARGED).await;
    let rehearsed = Rehearsed::start(stack, "lost", &[]).await;
    let recorded = format!("POST http://{}/charge <- {{}}\n", partner.address);
    rehearsed.order("x-request-id: before\r\n", &recorded).await;
    // What is in a tunnel is nobody's to know.
    let tunnel = format!("CONNECT {}", partner.address);
    rehearsed.order("x-request-id: during\r\n", &tunnel).await;
    rehearsed.order("x-request-id: after\r\n", &recorded).await;
    rehearsed.running.stop().await;
    let masker = masker();
    let exchanges = captured(stack, "lost").await;
    for (id, complete) in [("before", true), ("during", false), ("after", true)] {
        let id = masker.value(id);
        let found = exchanges.iter().find(|(_, exchange)| exchange.correlation_id.as_ref() == Some(&id));
        assert_eq!(found.map(|(_, exchange)| exchange.effects_recorded), Some(complete), "{id}");
    }
    let effects = effects(stack, "lost").await;
    let methods: Vec<_> = effects.iter().map(|(_, effect)| effect.request.method.as_str()).collect();
    assert_eq!(methods, ["POST", "CONNECT", "POST"]);
    let tunnel = &effects[1].1;
    assert_eq!((tunnel.request.path.as_str(), tunnel.route.as_str()), ("/", "/{unmatched..}"));
    assert_eq!(
        (tunnel.destination.clone(), tunnel.response.as_ref().unwrap().status),
        (partner.address.to_string(), 200)
    );
}

pub(super) async fn a_call_of_the_shadow_pauses_every_launch(stack: &mut Devstack) {
    let (partner, asked) = Origin::canned(CHARGED).await;
    let rehearsed = Rehearsed::start(stack, "reached", &[]).await;
    let stop = CancellationToken::new();
    let mut control = ControlFeed::spawn(&KafkaConfig::at(stack.brokers()), stop.clone());
    let (launch, request_id) = ("v2".parse().unwrap(), RequestId::generate());
    let mark = Mark { launch, request_id, attempt: 1, leg: Leg::Candidate, send: 5 };
    let value = mark.sign(|body| masker().mark_tag(body));
    let before = control.wait_for(|state| state.caught_up).await.unwrap().version;
    let address = rehearsed.running.agent.egress_address().unwrap();
    let header = shadow_control::MARK_HEADER;
    let call = format!(
        "POST http://{0}/ HTTP/1.1\r\nHost: {0}\r\n{header}: {value}\r\nContent-Length: 0\r\n\r\n",
        partner.address
    );
    assert!(ask(address, call.as_bytes()).await.start.contains(" 403 "));
    // Another scenario's watchdog may have paused before.
    let told = |state: &ControlState| {
        state.pauses.get(&None).is_some_and(|pause| pause.paused && pause.change.why.contains("reached production"))
    };
    control.wait_for(|state| state.version > before && told(state)).await.unwrap();
    stop.cancel();
    rehearsed.running.stop().await;
    assert!(asked.lock().unwrap().is_empty());
}

pub(super) async fn a_frozen_broker_delays_no_call_and_loses_none(stack: &mut Devstack) {
    let (partner, _) = Origin::canned(CHARGED).await;
    let rehearsed = Rehearsed::start(stack, "frozen-calls", &[]).await;
    let call = format!("POST http://{}/charge <- {{}}\n", partner.address);
    rehearsed.order("", &call).await;
    until(&rehearsed.running, |account| account.acknowledged == 1).await;
    stack.kafka().freeze().unwrap();
    for _ in 1..30 {
        rehearsed.order("", &call).await;
    }
    let meanwhile = rehearsed.running.agent.calls().unwrap();
    stack.kafka().thaw().unwrap();
    rehearsed.running.stop().await;
    assert_eq!((meanwhile.seen, meanwhile.dropped_total()), (30, 0), "answered while the broker was frozen");
    assert_eq!(effects(stack, "frozen-calls").await.len(), 30);
}

pub(super) async fn a_broker_that_dies_breaks_no_call_and_every_one_is_accounted_for(stack: &mut Devstack) {
    let (partner, asked) = Origin::canned(CHARGED).await;
    let rehearsed = Rehearsed::start(stack, "dead-calls", &["capture.delivery = \"2s\""]).await;
    let call = format!("POST http://{}/charge <- {{}}\n", partner.address);
    rehearsed.order("", &call).await;
    while rehearsed.running.agent.calls().unwrap().acknowledged < 1 {
        tokio::task::yield_now().await;
    }
    stack.kafka().kill().unwrap();
    for _ in 1..20 {
        rehearsed.order("", &call).await;
    }
    assert_eq!(asked.lock().unwrap().len(), 20, "while the broker was dead");
    stack.kafka().restart().await.unwrap();
    let settled = |calls: &Account| calls.acknowledged + calls.in_doubt + calls.dropped_total();
    while settled(&rehearsed.running.agent.calls().unwrap()) < 20 {
        tokio::task::yield_now().await;
    }
    let calls = rehearsed.running.agent.calls().unwrap();
    assert!(calls.acknowledged >= 1 && calls.seen == 20 && calls.balances(), "{calls:?}");
    rehearsed.running.stop().await;
    let written = effects(stack, "dead-calls").await.len() as i64;
    assert!((calls.acknowledged..=calls.acknowledged + calls.in_doubt).contains(&written), "{calls:?}");
}
