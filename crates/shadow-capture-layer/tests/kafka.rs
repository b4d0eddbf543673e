//! A service that captures itself, on a real broker: what arrives, and where it is announced to be.
//!
//! Without the usual harness, because the broker is started through this very executable.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "allowed in tests, which are known by their attribute")]

use std::process::ExitCode;
use std::time::Duration;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use shadow_capture_layer::{Config, Scheme, Secret};
use shadow_control::{ControlFeed, ControlState};
use shadow_devstack::{Devstack, KafkaChoice};
use shadow_kafka::{KafkaConfig, Tail, TailEvent, TailFrom};
use shadow_record::{CapturedExchange, Source, decode, topics};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let stack = Devstack::builder().kafka(KafkaChoice::Apache).start().await.expect("the stack starts");
        let test = an_axum_service_publishes_what_it_served_masked_and_announces_where_it_is(stack.brokers());
        tokio::time::timeout(PATIENCE, test).await.expect("in time");
        println!("scenario an_axum_service_publishes_what_it_served_masked_and_announces_where_it_is ... ok");
        stack.stop().await;
    });
    runtime.shutdown_background();
    ExitCode::SUCCESS
}

async fn an_axum_service_publishes_what_it_served_masked_and_announces_where_it_is(brokers: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Config::default()
        .service("checkout".parse().unwrap())
        .instance("checkout-1".parse().unwrap())
        .address(address.to_string())
        .address("checkout.test:443")
        .scheme(Scheme::Https)
        .brokers(brokers)
        .masking_key(Secret::new("5".repeat(64)))
        .route("GET /orders/{id}")
        .route("POST /orders");
    config.capture.flush = "20s".parse().unwrap();
    let accounts = tempfile::tempdir().unwrap();
    config.capture.account = Some(accounts.path().to_owned());
    let capture = shadow_capture_layer::start(config).await.unwrap();

    let order = |Path(id): Path<u32>| async move { Json(format!("ann+{id}@shop.test")) };
    let echo = |body: String| async move { body };
    let app: Router =
        Router::new().route("/orders/{id}", get(order)).route("/orders", post(echo)).layer(capture.layer());
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let serving = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stopped).await });

    let mut feed = ControlFeed::spawn(&KafkaConfig::at(brokers), stop.clone());
    let told = |state: &ControlState| {
        state.upstreams.values().find(|upstream| upstream.service.as_str() == "checkout").cloned()
    };
    let state = feed.wait_for(|state| told(state).is_some()).await.unwrap().clone();
    let upstream = told(&state).unwrap();
    assert_eq!(upstream.instance, "checkout-1");
    for known in [address.to_string(), "checkout.test:443".to_owned()] {
        assert!(upstream.addresses.contains(&known), "{known} is not in {:?}", upstream.addresses);
    }

    for id in 0..20 {
        let answer = ask(address, &format!("GET /orders/{id} HTTP/1.1\r\nHost: shop.test\r\n")).await;
        assert!(answer.ends_with(&format!("\"ann+{id}@shop.test\"")), "{answer}");
    }
    let body = "POST /orders HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\nContent-Length: 25\r\n";
    let answer = ask_with(address, body, "{\"email\":\"bob@shop.test\"}").await;
    assert!(answer.ends_with("{\"email\":\"bob@shop.test\"}"), "{answer}");

    stop.cancel();
    serving.await.unwrap().unwrap();
    let account = capture.finish().await;
    assert_eq!((account.seen, account.acknowledged, account.in_flight), (21, 21, 0), "{account:?}");

    let found = captured(brokers).await;
    assert_eq!(found.len(), 21);
    for (raw, exchange) in &found {
        let raw = String::from_utf8_lossy(raw);
        assert!(!raw.contains("ann+") && !raw.contains("bob@"), "something private left the service");
        assert_eq!((exchange.source, exchange.agent.as_str()), (Source::Sdk, "checkout-1"));
        assert_eq!((exchange.request.scheme.as_str(), exchange.error), ("https", None));
        assert_eq!(exchange.response.as_ref().unwrap().status, 200);
    }
    let orders = found.iter().filter(|(_, exchange)| exchange.route == "GET /orders/{id}");
    assert_eq!(orders.count(), 20);
    let (_, posted) = found.iter().find(|(_, exchange)| exchange.route == "POST /orders").unwrap();
    assert_eq!((posted.request.body.length, posted.response.as_ref().unwrap().body.length), (25, 25));
}

async fn ask(address: std::net::SocketAddr, head: &str) -> String {
    ask_with(address, head, "").await
}

async fn ask_with(address: std::net::SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The payload and the record of everything in the captured topic.
async fn captured(brokers: &str) -> Vec<(Vec<u8>, CapturedExchange)> {
    let topic = topics::captured(&"checkout".parse().unwrap());
    let tail = Tail::open(&KafkaConfig::at(brokers), &topic, TailFrom::Start).await.unwrap();
    let mut found = Vec::new();
    while let TailEvent::Record(record) = tail.recv().await.unwrap() {
        found.push((record.payload.to_vec(), decode(&record.payload).unwrap()));
    }
    found
}
