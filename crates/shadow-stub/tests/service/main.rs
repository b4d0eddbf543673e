//! The stub as a service on a real broker: Stripe's own client library against the shipped rules, and the records of every call.
//!
//! The client library is installed once into the user's cache directory. Without the usual harness, because the stack is started
//! through this very executable.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "the outcome is worth reading, and so is why there is none")]

#[path = "../../../../tests/support/python.rs"]
mod python;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

mod mirrored;

use shadow_control::{Change, ControlRecord, ControlWriter, Launch, Leg, Mark, TraceId, ensure_shared_topics};
use shadow_devstack::{Devstack, KafkaChoice};
use shadow_kafka::{Admin, KafkaConfig, Tail, TailEvent, TailFrom};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::{CorrelatedBy, Decision, RequestId, RouteTable, Side, SideEffect, decode, topics};
use shadow_runtime::Secret;
use shadow_stub::config::Config;
use shadow_stub::{Alias, NewCa};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// The version that was proven; a later one may be tried by changing this line.
const STRIPE: &str = "stripe==16.1.0";
const KEY: &str = "a key of thirty-two bytes, at least";

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let stack = Devstack::builder().kafka(KafkaChoice::Apache).start().await.expect("the stack starts");
        every_call_is_answered_by_rule_and_recorded(stack.brokers()).await;
        mirrored::both_versions_see_the_same_world(stack).await;
    });
    ExitCode::SUCCESS
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn every_call_is_answered_by_rule_and_recorded(brokers: &str) {
    let kafka = KafkaConfig::at(brokers);
    launch(&kafka, "v2", "checkout").await;

    let ca = NewCa::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, &ca.certificate).unwrap();
    let mut config = Config { kafka: kafka.clone(), ..Config::default() };
    config.service.name = Some("checkout".parse().unwrap());
    config.masking.key = Some(Secret::new(KEY));
    config.stub.http = free();
    config.stub.tls = Some(free());
    config.stub.smtp = Some(free());
    config.stub.ca_key = Some(Secret::new(ca.key.clone()));
    config.stub.rules = vec![concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/stub/stripe.toml").into()];
    let alias = |host: Option<&str>, path: &str| Alias {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        to: "https://api.stripe.com".parse().unwrap(),
    };
    config.stub.aliases = vec![alias(None, "/stripe"), alias(Some("localhost"), "")];
    let problems: Vec<_> = shadow_runtime::ServiceConfig::check(&config).iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let (http, tls, mail) = (config.stub.http, config.stub.tls.unwrap(), config.stub.smtp.unwrap());
    let stop = CancellationToken::new();
    let running = tokio::spawn(shadow_stub::run(config, stop.clone()));

    let told = told(http, mail).await;
    let by_client = stripes_client(http, tls, &trusted);
    stop.cancel();
    running.await.unwrap().unwrap();

    let (effects, bytes) = effects(&kafka, "checkout").await;
    assert_eq!(effects.len(), told.len() + by_client, "every call has one record");
    let mut sequences: Vec<i64> = effects.iter().map(|effect| effect.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (0..effects.len() as i64).collect::<Vec<_>>());
    for (request_id, by, side, send) in told {
        let own = effects.iter().find(|effect| effect.request_id == Some(request_id)).unwrap();
        assert_eq!((own.correlated_by, own.side, own.decision), (by, side, Decision::Unmatched));
        assert_eq!((own.launch.as_ref().map(|launch| launch.as_str()), own.send), (Some("v2"), send));
    }
    for secret in ["sk_test_none", "someone@example.com", "ann@example.com"] {
        let found = bytes.iter().any(|record| record.windows(secret.len()).any(|window| window == secret.as_bytes()));
        assert!(!found, "{secret} stands in a record");
    }
    if by_client > 0 {
        let confirmed = effects.iter().find(|e| e.rule.as_deref() == Some("stripe: confirm payment intent")).unwrap();
        assert_eq!(
            (confirmed.destination.as_str(), confirmed.route.as_str(), confirmed.correlated_by),
            ("api.stripe.com", "/v1/payment_intents/{id}/confirm", CorrelatedBy::None)
        );
        assert!(confirmed.request.path.starts_with("/v1/payment_intents/"), "{}", confirmed.request.path);
        assert_eq!(confirmed.response.as_ref().map(|response| response.status), Some(200));
    }
}

/// Creates a launch.
async fn launch(kafka: &KafkaConfig, name: &str, service: &str) {
    ensure_shared_topics(&Admin::new(kafka).unwrap()).await.unwrap();
    let (name, service, candidate) = (name.parse(), service.parse(), "http://127.0.0.1:1".parse());
    let launch = Launch::of(name.unwrap(), service.unwrap(), candidate.unwrap(), Change::by("test", "test"));
    ControlWriter::new(kafka).unwrap().put(&ControlRecord::Launch(Box::new(launch))).await.unwrap();
}

/// Calls that tell whose they are, each in its way, to a host without a rule; and the send that they tell.
async fn told(stub: SocketAddr, mail_at: SocketAddr) -> Vec<(RequestId, CorrelatedBy, Side, Option<i64>)> {
    let masker = Masker::new(MaskKey::parse(KEY).unwrap(), Ruleset::default(), RouteTable::default());
    let launch: shadow_record::LaunchName = "v2".parse().unwrap();
    let mut told = Vec::new();
    for (by, leg) in [CorrelatedBy::Mark, CorrelatedBy::Baggage, CorrelatedBy::Trace]
        .into_iter()
        .flat_map(|by| [(by, Leg::Candidate), (by, Leg::Control)])
    {
        let request_id = RequestId::generate();
        let mark =
            Mark { launch: launch.clone(), request_id, attempt: 1, leg, send: 7 }.sign(|body| masker.mark_tag(body));
        let header = match by {
            CorrelatedBy::Mark => format!("shadowline-replay: {mark}"),
            CorrelatedBy::Baggage => {
                format!("baggage: a=b,{}", shadow_control::to_baggage(&mark))
            }
            _ => format!("traceparent: 00-{}-00f067aa0ba902b7-01", TraceId::of(&request_id, &launch, leg)),
        };
        let answer = ask(stub, &header).await;
        assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
        let side = if leg == Leg::Control { Side::Control } else { Side::Candidate };
        told.push((request_id, by, side, (by != CorrelatedBy::Trace).then_some(7)));
    }
    for in_tunnel in [true, false] {
        let request_id = RequestId::generate();
        let mark = Mark { launch: launch.clone(), request_id, attempt: 1, leg: Leg::Candidate, send: 8 };
        let header = format!("shadowline-replay: {}", mark.sign(|body| masker.mark_tag(body)));
        let (to, lines) = if in_tunnel {
            let call = format!("POST /send HTTP/1.1\r\nhost: mail.example\r\nconnection: close\r\n{header}\r\n\r\n");
            (stub, format!("CONNECT mail.example:80 HTTP/1.1\r\nhost: mail.example:80\r\n\r\n{call}"))
        } else {
            let mail = format!("{header}\r\nSubject: hello\r\n\r\nann@example.com\r\n.\r\nQUIT\r\n");
            (mail_at, format!("HELO a\r\nMAIL FROM:<shop@example.com>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\n{mail}"))
        };
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(lines.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(if in_tunnel { "HTTP/1.1 501" } else { "250 kept" }), "{answer}");
        told.push((request_id, CorrelatedBy::Mark, Side::Candidate, Some(8)));
    }
    told
}

/// One call; the connection waits until the stub answers.
async fn ask(stub: SocketAddr, header: &str) -> String {
    let body = r#"{"to":"ann@example.com","amount":3}"#;
    let call = format!(
        "POST http://mail.example/send HTTP/1.1\r\nhost: mail.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{header}\r\n\r\n{body}",
        body.len()
    );
    loop {
        // The stub's task may not listen yet.
        let Ok(mut stream) = TcpStream::connect(stub).await else {
            tokio::task::yield_now().await;
            continue;
        };
        stream.write_all(call.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        return answer;
    }
}

/// Stripe's client library, unchanged, in every way that leads to the stub. How many calls it made; 0 where it cannot be had.
fn stripes_client(http: SocketAddr, tls: SocketAddr, trusted: &Path) -> usize {
    /// What the script does once.
    const CALLS: usize = 14;
    let Some(python) = python::python_with(STRIPE) else { return 0 };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service/stripe_client.py");
    let ways = [
        (format!("http://{http}/stripe"), None),
        ("-".to_owned(), Some(format!("http://{http}"))),
        (format!("https://localhost:{}", tls.port()), None),
    ];
    for (base, proxy) in &ways {
        let mut client = Command::new(&python);
        client.arg(script).arg(base).arg(trusted).stdin(Stdio::null()).env_remove("HTTP_PROXY").env_remove("NO_PROXY");
        if let Some(proxy) = proxy {
            client.env("HTTPS_PROXY", proxy);
        }
        let output = client.output().unwrap();
        assert!(output.status.success(), "{base}: {}", String::from_utf8_lossy(&output.stderr));
        println!(
            "stripe's client by {base}{}: {}",
            proxy.as_deref().unwrap_or(""),
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    CALLS * ways.len()
}

/// Every record of the topic, and its bytes.
async fn effects(kafka: &KafkaConfig, service: &str) -> (Vec<SideEffect>, Vec<Vec<u8>>) {
    let topic = topics::effects(&service.parse().unwrap());
    let (mut effects, mut bytes) = (Vec::new(), Vec::new());
    let tail = Tail::open(kafka, &topic, TailFrom::Start).await.unwrap();
    while let TailEvent::Record(record) = tail.recv().await.unwrap() {
        effects.push(decode::<SideEffect>(&record.payload).unwrap());
        bytes.push(record.payload.to_vec());
    }
    (effects, bytes)
}
