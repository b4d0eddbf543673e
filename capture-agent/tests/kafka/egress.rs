//! The primary's outbound calls, recorded.

use std::sync::{Arc, Mutex};

use shadow_record::{CorrelatedBy, Decision, Side, SideEffect};
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::wire::{Message, read_message};

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
                        let (line, body) = call.split_once(" <- ").unwrap_or((call, ""));
                        let length = body.len();
                        let bytes = format!(
                            "{line} HTTP/1.1\r\nHost: any\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{}{}\r\n{body}",
                            passed_on[0], passed_on[1]
                        );
                        let address = known.lock().unwrap().expect("the agent runs");
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
