//! What the layer costs an axum service: requests per second with it and without, over loopback, in interleaved rounds of one run.
//!
//! ```text
//! cargo bench -p shadow-capture-layer
//! ```
//!
//! One thread serves both apps, one thread is the client, and a real Kafka takes every exchange, so on two cores the masking thread
//! gets what the other two leave. The answer has 2.4 kB of JSON.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails, and tells what it found"
)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use shadow_capture_layer::{Capturing, Config, Secret, Threshold};
use shadow_devstack::{Devstack, KafkaChoice};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 16;

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let (beside, service, client) = (thread("stack"), thread("service"), thread("client"));
    let stack = beside.block_on(Devstack::builder().kafka(KafkaChoice::Apache).start()).unwrap();
    let account = tempfile::tempdir().unwrap();
    let mut config = Config::default()
        .service("bench".parse().unwrap())
        .address("127.0.0.1:1")
        .brokers(stack.brokers())
        .masking_key(Secret::new("5".repeat(64)))
        .route("GET /orders/{id}");
    config.capture.account = Some(account.path().to_owned());
    // On a saturated machine it would pause capturing, and the rounds would compare nothing with nothing.
    config.capture.latency_budget = Threshold::Off;
    config.capture.lag_budget = Threshold::Off;
    let capture = service.block_on(async { shadow_capture_layer::start(config).await }).unwrap();
    let bare = service.block_on(serve(app()));
    let layered = service.block_on(serve(app().layer(capture.layer())));

    // The first round warms up.
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let [without, with] = [bare, layered].map(|address| client.block_on(drive(address)));
        if round > 0 {
            println!(
                "round {round}: {without:.0} requests/s without the layer, {with:.0} with it: {:.3}",
                with / without
            );
            ratios.push(with / without);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("median of {ROUNDS}: {:.3}, from {:.3} to {:.3}", ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1]);
    service.block_on(report(&capture));
    service.shutdown_background();
    beside.block_on(capture.finish());
    beside.block_on(stack.stop());
    ExitCode::SUCCESS
}

fn thread(name: &str) -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

fn app() -> Router {
    let items: Vec<_> =
        (0..48).map(|n| format!("{{\"sku\":\"A-{n:04}\",\"name\":\"item\",\"price\":{n}.5}}")).collect();
    let body = format!("{{\"email\":\"ann@shop.test\",\"items\":[{}]}}", items.join(","));
    Router::new()
        .route("/orders/{id}", get(move || async move { ([(CONTENT_TYPE, "application/json")], body.clone()) }))
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Requests per second in a closed loop.
async fn drive(address: SocketAddr) -> f64 {
    let began = Instant::now();
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(converse(address, began + ROUND))).collect();
    let mut answered = 0;
    for connection in connections {
        answered += connection.await.unwrap();
    }
    answered as f64 / began.elapsed().as_secs_f64()
}

/// Asks again and again on one connection.
async fn converse(address: SocketAddr, end: Instant) -> u64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 8 << 10];
    let mut answered = 0;
    while Instant::now() < end {
        stream.write_all(b"GET /orders/7 HTTP/1.1\r\nHost: shop.test\r\nAccept: */*\r\n\r\n").await.unwrap();
        let (mut filled, mut whole) = (0, usize::MAX);
        while filled < whole {
            filled += stream.read(&mut buffer[filled..]).await.unwrap();
            whole = length(&buffer[..filled]).unwrap_or(usize::MAX);
        }
        answered += 1;
    }
    answered
}

/// Length of the whole answer once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).ok()?;
    let (_, length) = text.split_once("content-length: ")?;
    Some(head + length.split_once('\r')?.0.parse::<usize>().ok()?)
}

async fn report(capture: &Capturing) {
    while capture.account().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    let account = capture.account();
    let share = account.acknowledged as f64 / account.seen as f64;
    println!("{} seen, {:.1} % of them captured, balanced: {}", account.seen, 100.0 * share, account.balances());
    for (why, count) in account.dropped.iter().filter(|(_, count)| *count > 0) {
        println!("dropped {}: {count}", why.as_str());
    }
    for (why, count) in account.excluded.iter().filter(|(_, count)| *count > 0) {
        println!("left out {}: {count}", why.as_str());
    }
}
