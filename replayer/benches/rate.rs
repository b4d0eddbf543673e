//! How well a rate is kept, with one replayer and with three: `cargo bench -p replayer --bench rate -- [SECONDS [RATE...]]`.
//!
//! Apache Kafka, replayers as processes of their own, a trivial candidate in this one. Times are those of the outcomes: when each
//! request was meant to be sent, and when it was. `docs/benchmarks.md` says what each figure means and quotes a run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use bytes::Bytes;
use shadow_control::{Change, ControlRecord, ControlWriter, Launch, Rate, ensure_shared_topics};
use shadow_devstack::{Devstack, KafkaChoice};
use shadow_kafka::{
    Admin, Delivery, KafkaConfig, Outgoing, Producer, ProducerLimits, Tail, TailEvent, TailFrom, TopicSpec,
};
use shadow_record::{
    AnyRecord, Body, CapturedExchange, LaunchName, Request, RequestId, ServiceName, Source, Timestamp, decode_any,
    encode, topics,
};
use tempfile::TempDir;

/// Share of the records in each partition. Three replayers hold two each, next to each other.
const FILLS: [(&str, [f64; 6]); 2] = [("even", [1.0 / 6.0; 6]), ("uneven", [0.55, 0.25, 0.12, 0.06, 0.02, 0.0])];
const RATES: [f64; 5] = [1.0, 10.0, 100.0, 1000.0, 5000.0];
/// Not measured: joining, the first look at the backlogs.
const WARM_UP: Duration = Duration::from_secs(6);
const WINDOW: Duration = Duration::from_secs(10);
/// Records beyond those that the rate takes.
const SPARE: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == "replayer") {
        return replayer::main_with(args);
    }
    let numbers: Vec<f64> = args.iter().filter_map(|arg| arg.to_str()?.parse().ok()).collect();
    let measured = Duration::from_secs_f64(numbers.first().copied().unwrap_or(24.0)).max(WINDOW);
    let rates = if numbers.len() > 1 { numbers[1..].to_vec() } else { RATES.to_vec() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(run(measured, &rates));
    ExitCode::SUCCESS
}

async fn run(measured: Duration, rates: &[f64]) {
    let stack = Devstack::builder().kafka(KafkaChoice::Apache).start().await.expect("the stack starts");
    let bench = Bench::new(stack.brokers(), candidate().await).await;
    let most = rates.iter().copied().fold(1000.0, f64::max);
    let seconds = (WARM_UP + measured + SPARE).as_secs_f64();
    let mut ends = BTreeMap::new();
    for (fill, shares) in FILLS {
        ends.insert(fill, bench.fill(fill, &shares, most * seconds).await);
    }
    println!(
        "| requests/s | replayers | partitions filled | worst 10 s window | allowed | late p50 | late p99 | failed |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for members in [1, 3] {
        let replayers: Vec<_> = (0..members).map(|n| Replayer::start(stack.brokers(), n)).collect();
        for (fill, shares) in FILLS {
            for &rate in rates {
                let name: LaunchName = format!("{fill}-{members}-{}", rate as u64).parse().unwrap();
                let start = starts(&ends[fill], &shares, rate * seconds);
                bench.rate(fill, &name, rate).await;
                bench.launch(fill, &name, start).await;
                bench.first_outcome(fill, &name).await;
                tokio::time::sleep(WARM_UP + measured).await;
                let sends = bench.end(fill, &name).await;
                say_rate(rate, members, fill, measured, &sends);
            }
        }
        if members > 1 {
            let seconds = 40.0;
            let start = starts(&ends["even"], &FILLS[0].1, most.min(1000.0) * seconds);
            changes(&bench, members, start).await;
        }
        drop(replayers);
    }
    stack.stop().await;
}

/// Offsets that leave so many records behind them.
fn starts(ends: &[i64], shares: &[f64], records: f64) -> BTreeMap<i32, i64> {
    let start = |(end, share): (&i64, &f64)| (end - (records * share).ceil() as i64).max(0);
    (0..).zip(ends.iter().zip(shares).map(start)).collect()
}

/// When one request was meant to be sent and was.
struct Sent {
    replayer: String,
    intended: i64,
    at: i64,
    failed: bool,
}

fn say_rate(rate: f64, members: usize, fill: &str, measured: Duration, sends: &[Sent]) {
    let second = 1_000_000;
    let from = sends[0].at + WARM_UP.as_micros() as i64;
    let to = from + measured.as_micros() as i64;
    let expected = rate * WINDOW.as_secs_f64();
    let windows = (from..=to - WINDOW.as_micros() as i64).step_by(second);
    let count = |from: i64| {
        let until = |at: i64| sends.partition_point(|sent| sent.at < at);
        (until(from + WINDOW.as_micros() as i64) - until(from)) as f64
    };
    let worst = windows.map(count).max_by(|a, b| (a - expected).abs().total_cmp(&(b - expected).abs())).unwrap();
    let measured: Vec<_> = sends.iter().filter(|sent| (from..to).contains(&sent.at)).collect();
    let mut late: Vec<_> = measured.iter().map(|sent| (sent.at - sent.intended).max(0)).collect();
    late.sort_unstable();
    let quantile = |q: f64| late[((late.len() - 1) as f64 * q) as usize] as f64 / 1000.0;
    let failed = measured.iter().filter(|sent| sent.failed).count();
    let allowed = (expected * 0.01).max(members as f64);
    println!(
        "| {rate} | {members} | {fill} | {:+.0} of {expected:.0} ({:+.2} %) | {allowed:.0} | {:.1} ms | {:.1} ms | {failed} |",
        worst - expected,
        (worst / expected - 1.0) * 100.0,
        quantile(0.5),
        quantile(0.99)
    );
}

/// From the moment a changed rate is written until the slowest member keeps it: cut to a tenth, and raised again.
async fn changes(bench: &Bench, members: usize, start: BTreeMap<i32, i64>) {
    const HIGH: f64 = 1000.0;
    let name: LaunchName = "changes".parse().unwrap();
    bench.rate("even", &name, HIGH).await;
    bench.launch("even", &name, start).await;
    bench.first_outcome("even", &name).await;
    tokio::time::sleep(WARM_UP).await;
    let mut made = Vec::new();
    for rate in [HIGH / 10.0, HIGH].repeat(3) {
        made.push((rate, Timestamp::now().micros()));
        bench.rate("even", &name, rate).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    let sends = bench.end("even", &name).await;
    // A third of the interval at the low rate, and three times that at the high one.
    let close = (members as f64 / HIGH * 3.3e6) as i64;
    for (rate, at) in made {
        let effects = (0..members).map(|n| {
            let name = format!("r{n}");
            let own: Vec<_> = sends.iter().filter(|sent| sent.replayer == name).map(|sent| sent.at).collect();
            let within = |pair: &&[i64]| pair[1] > at && pair[1] < at + 3_000_000 && pair[1] - pair[0] < close;
            let pairs = || own.windows(2).filter(within);
            let effect = if rate < HIGH { pairs().next_back() } else { pairs().next() };
            effect.map_or(0, |pair| pair[1] - at)
        });
        let slowest = effects.max().unwrap_or(0) as f64 / 1000.0;
        println!("change to {rate}/s over {members} replayers: in effect everywhere after {slowest:.0} ms");
    }
}

struct Bench {
    kafka: KafkaConfig,
    admin: Admin,
    producer: Producer,
    control: ControlWriter,
    candidate: String,
}

impl Bench {
    async fn new(brokers: &str, candidate: String) -> Self {
        let kafka = KafkaConfig::at(brokers);
        let admin = Admin::new(&kafka).unwrap();
        ensure_shared_topics(&admin).await.unwrap();
        let producer = Producer::new(&kafka, &ProducerLimits::default()).unwrap();
        let control = ControlWriter::new(&kafka).unwrap();
        Self { kafka, admin, producer, control, candidate }
    }

    /// Writes so many captured requests and gives the partitions' ends.
    async fn fill(&self, service: &str, shares: &[f64], records: f64) -> Vec<i64> {
        const AT_ONCE: usize = 5000;
        let service: ServiceName = service.parse().unwrap();
        let topic = topics::captured(&service);
        self.admin.ensure_topic(&TopicSpec::deleting(&topic, shares.len() as i32)).await.unwrap();
        let mut ends = Vec::new();
        for (partition, share) in (0..).zip(shares) {
            let count = (records * share).ceil() as usize;
            for from in (0..count).step_by(AT_ONCE) {
                let written = (from..count.min(from + AT_ONCE)).map(|_| {
                    let (producer, topic, payload) = (self.producer.clone(), &topic, encode(&captured(&service)));
                    async move {
                        let out = Outgoing { topic, partition: Some(partition), key: None, payload: &payload };
                        producer.publish(out).await
                    }
                });
                for delivery in futures::future::join_all(written).await {
                    assert!(matches!(delivery, Delivery::Acknowledged { .. }), "{delivery:?}");
                }
            }
            ends.push(count as i64);
        }
        ends
    }

    async fn rate(&self, service: &str, launch: &LaunchName, rate: f64) {
        let (topic, change) = (topics::captured(&service.parse().unwrap()), Change::by("bench", "bench"));
        let rate = Rate { topic, launch: Some(launch.clone()), per_second: Some(rate), change };
        self.control.put(&ControlRecord::Rate(rate)).await.unwrap();
    }

    async fn launch(&self, service: &str, name: &LaunchName, start: BTreeMap<i32, i64>) {
        let (service, candidate) = (service.parse().unwrap(), self.candidate.parse().unwrap());
        let mut launch = Launch::of(name.clone(), service, candidate, Change::by("bench", "bench"));
        launch.start = start;
        launch.limits.max_in_flight = 512;
        // What is measured is the pacing, not the protection of a machine that everything here shares.
        (launch.replay.adaptive, launch.replay.breaker.enabled) = (false, false);
        self.control.put(&ControlRecord::Launch(Box::new(launch))).await.unwrap();
    }

    async fn first_outcome(&self, service: &str, launch: &LaunchName) {
        let topic = topics::replayed(&service.parse().unwrap(), launch);
        // The topic is made when the launch begins, and has no leader for a moment.
        let tail = loop {
            match Tail::open(&self.kafka, &topic, TailFrom::Start).await {
                Ok(tail) => break tail,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        while !matches!(tail.recv().await.unwrap(), TailEvent::Record(_)) {}
    }

    /// Ends the launch and gives what it sent, by time.
    async fn end(&self, service: &str, launch: &LaunchName) -> Vec<Sent> {
        self.control.delete(&ControlRecord::launch_key(launch)).await.unwrap();
        self.control.delete(&ControlRecord::shares_key(launch)).await.unwrap();
        // Outcomes of what was in flight; what comes later is not measured.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let topic = topics::replayed(&service.parse().unwrap(), launch);
        let tail = Tail::open(&self.kafka, &topic, TailFrom::Start).await.unwrap();
        let mut sends = Vec::new();
        while let TailEvent::Record(record) = tail.recv().await.unwrap() {
            let AnyRecord::ReplayedExchange(outcome) = decode_any(&record.payload).unwrap() else { continue };
            if let (Some(intended), Some(at)) = (outcome.intended_at, outcome.sent_at) {
                let failed = !matches!(outcome.outcome, shadow_record::Outcome::Completed(_));
                let replayer = outcome.replayer.clone();
                sends.push(Sent { replayer, intended: intended.micros(), at: at.micros(), failed });
            }
        }
        sends.sort_by_key(|sent| sent.at);
        sends
    }
}

/// A server that answers at once.
async fn candidate() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(|| async { "{}" });
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn captured(service: &ServiceName) -> CapturedExchange {
    CapturedExchange {
        request_id: RequestId::generate(),
        correlation_id: None,
        agent: "a1".to_owned(),
        epoch: 1,
        sequence: 0,
        service: service.clone(),
        source: Source::Proxy,
        captured_at: Timestamp::now(),
        route: "GET /items/{id}".to_owned(),
        request: Request {
            method: "GET".to_owned(),
            scheme: "http".to_owned(),
            authority: "shop.example".to_owned(),
            path: "/items/1".to_owned(),
            query: None,
            headers: vec![],
            body: Body { content: Some(Bytes::new()), length: 0, digest: Bytes::new(), withheld: None },
        },
        response: None,
        error: None,
        first_byte_us: None,
        total_us: 1,
        ruleset: "1".to_owned(),
        key_id: "k".to_owned(),
        sampling_rate: 1.0,
        effects_recorded: false,
    }
}

/// A replayer process; it ends with its handle.
struct Replayer {
    child: Child,
    _dir: TempDir,
}

impl Replayer {
    fn start(brokers: &str, number: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("replayer.toml");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let key = dir.path().join("key");
        std::fs::write(&key, "k".repeat(32)).unwrap();
        let text = format!(
            "[service]\ninstance = \"r{number}\"\n[kafka]\nbrokers = \"{brokers}\"\n[masking]\nkey = {{ file = {key:?} }}\n\
             [admin]\nlisten = \"127.0.0.1:{port}\"\n[log]\nlevel = \"error\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("replayer").arg("--config").arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: command.spawn().unwrap(), _dir: dir }
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
