//! What the agent's egress adds to an outbound call: the same call made directly and through it, by turns, on connections that are kept.
//!
//! Client, agent and destination each have threads of their own, all on this machine; calls are masked and published to a broker.
//! By turns, because whatever else the machine does then falls on both alike. `cargo bench -p capture-agent --bench egress [-- CALLS]`.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use capture_agent::{Agent, Config};
use shadow_devstack::{Devstack, KafkaChoice};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Calls of each kind, unless another number is asked for.
const CALLS: usize = 20_000;
/// Of each kind before anything is counted.
const WARM_UP: usize = 1_000;
/// From one turn to the next.
const TURN: Duration = Duration::from_millis(1);

const BODY: &str =
    "amount=1299&currency=eur&customer=cus_9s6XKzkNRiz8i3&receipt_email=ann%40shop.test&description=order+4711";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 105\r\n\r\n{\"id\":\"ch_3MmlLrLkdIwHu7ix\",\"amount\":1299,\"currency\":\"eur\",\"email\":\"ann@shop.test\",\"status\":\"succeeded\"} ";

fn main() -> ExitCode {
    // The stack starts its servers through this executable.
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let calls = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(CALLS);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || own_runtime().block_on(destination(tell)));
    let destination = told.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let stack = Devstack::builder().kafka(KafkaChoice::Auto).start().await.unwrap();
        let (key, account) = (tempfile::NamedTempFile::new().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(key.path(), "5".repeat(64)).unwrap();
        let stop = CancellationToken::new();
        let agent = Agent::start(config(&stack, key.path(), account.path()), stop.clone()).await.unwrap();
        let egress = agent.egress_address().unwrap();
        // What is measured is an agent that records: the topic is there when its first record is.
        let mut first = TcpStream::connect(egress).await.unwrap();
        one(&mut first, &call(destination, &format!("http://{destination}/v1/charges"))).await;
        while agent.calls().unwrap().acknowledged == 0 {
            tokio::task::yield_now().await;
        }
        drop(first);
        let client = std::thread::spawn(move || own_runtime().block_on(by_turns(destination, egress, calls)));
        let (direct, through) = tokio::task::spawn_blocking(move || client.join().unwrap()).await.unwrap();
        let account = agent.calls().unwrap();
        report("direct", &direct);
        report("through the agent", &through);
        println!("recorded: {} of {}, dropped {}", account.acknowledged, account.seen, account.dropped_total());
        stop.cancel();
        agent.finish().await;
        stack.stop().await;
    });
    ExitCode::SUCCESS
}

fn own_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn config(stack: &Devstack, key: &std::path::Path, account: &std::path::Path) -> Config {
    let text = format!(
        "service.name = \"shop\"\nlisten.address = \"127.0.0.1:0\"\nprimary.url = \"http://127.0.0.1:9\"\negress.listen = \"127.0.0.1:0\"\n\
         egress.routes = [\"POST /v1/charges\"]\ncapture.account = {account:?}\nmasking.key.file = {key:?}\nkafka.brokers = {:?}\n",
        stack.brokers()
    );
    toml::from_str(&text).unwrap()
}

async fn destination(tell: std::sync::mpsc::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    tell.send(listener.local_addr().unwrap()).unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut got = Vec::new();
            while stream.read_buf(&mut got).await.is_ok_and(|count| count > 0) {
                if got.ends_with(BODY.as_bytes()) {
                    got.clear();
                    stream.write_all(ANSWER).await.unwrap();
                }
            }
        });
    }
}

async fn by_turns(destination: SocketAddr, egress: SocketAddr, calls: usize) -> (Vec<Duration>, Vec<Duration>) {
    let (path, url) =
        (call(destination, "/v1/charges"), call(destination, &format!("http://{destination}/v1/charges")));
    let mut turns = tokio::time::interval(TURN);
    let (mut direct, mut through) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
    let mut to_destination = TcpStream::connect(destination).await.unwrap();
    let mut to_egress = TcpStream::connect(egress).await.unwrap();
    for stream in [&to_destination, &to_egress] {
        stream.set_nodelay(true).unwrap();
    }
    for number in 0..WARM_UP + calls {
        turns.tick().await;
        let took = (one(&mut to_destination, &path).await, one(&mut to_egress, &url).await);
        if number >= WARM_UP {
            direct.push(took.0);
            through.push(took.1);
        }
    }
    (direct, through)
}

fn call(destination: SocketAddr, target: &str) -> String {
    let (kind, length) = ("application/x-www-form-urlencoded", BODY.len());
    format!(
        "POST {target} HTTP/1.1\r\nHost: {destination}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{BODY}"
    )
}

async fn one(stream: &mut TcpStream, call: &str) -> Duration {
    let begun = Instant::now();
    stream.write_all(call.as_bytes()).await.unwrap();
    let mut answer = Vec::with_capacity(1 << 10);
    while !answer.ends_with(b"\"succeeded\"} ") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the connection ended");
    }
    begun.elapsed()
}

fn report(what: &str, took: &[Duration]) {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)].as_micros();
    println!(
        "{what:>18}: p50 {:>6} us, p90 {:>6} us, p99 {:>6} us ({} calls)",
        at(0.5),
        at(0.9),
        at(0.99),
        sorted.len()
    );
}
