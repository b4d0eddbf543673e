//! The figures of the whole pipeline on this machine: `cargo bench -p shadow-tests --bench pipeline -- latency|throughput|unlimited|fresh|behind|outage`.
//!
//! Every service is a process of its own; Kafka and ClickHouse are the real ones. `docs/benchmarks.md` says what each figure
//! means and quotes a run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

#[path = "../support.rs"]
mod support;
#[path = "pipeline/unlimited.rs"]
mod unlimited;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use shadow_kafka::{Event, FetchLimits, GroupConsumer, Start};
use shadow_record::{CapturedExchange, Timestamp, decode, topics};
use shadow_shop::{Build, Load, Shop};
use support::{Rig, Service, free_port, sql, test_service, until};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let name = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    match name.as_deref() {
        Some("latency") => latency(Duration::from_secs(60)).await,
        Some("throughput") => throughput().await,
        Some("unlimited") => unlimited::unlimited().await,
        Some("fresh") => unlimited::fresh(Duration::from_secs(60)).await,
        Some("behind") => behind().await,
        Some("outage") => {
            let minutes = std::env::args().skip_while(|arg| arg != "outage").nth(1).and_then(|arg| arg.parse().ok());
            outage(minutes.unwrap_or(10)).await;
        }
        // Plain `cargo bench` runs what takes a minute or two.
        _ => {
            latency(Duration::from_secs(30)).await;
            throughput().await;
        }
    }
}

/// Most and current resident memory of a process in MiB.
fn memory(service: &Service) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (of("VmHWM:"), of("VmRSS:"))
}

fn say_memory(what: &str, services: &[(&str, &Service)]) {
    for (name, service) in services {
        let (most, now) = memory(service);
        println!("{what}: {name}: {now} MiB resident, {most} MiB at most");
    }
}

async fn shop(build: Build) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(Shop::new(build).serve(listener, CancellationToken::new()));
    url
}

/// An agent in front of the shop; its own URL and its process.
async fn agent(rig: &Rig, primary: &str) -> (String, Service) {
    let dir = std::env::temp_dir().join(format!("shadowline-bench-{}.toml", std::process::id()));
    std::fs::write(&dir, shadow_shop::MASKING_RULES).unwrap();
    let port = free_port();
    let config = format!(
        "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"127.0.0.1:{port}\"\n[primary]\nurl = \"{primary}\"\n\
         [capture]\npartitions = 4\nlatency_budget = \"off\"\nlag_budget = \"off\"\n[masking]\nrules_file = {dir:?}\nroutes = {:?}\n[kafka]\nbrokers = \"{}\"\n",
        shadow_shop::ROUTES,
        rig.kafka.brokers
    );
    let service = Service::start("capture-agent", &config);
    let url = format!("http://127.0.0.1:{port}");
    until("the agent to serve", || async { reqwest::get(format!("{url}/health")).await.is_ok().then_some(()) }).await;
    (url, service)
}

fn load(url: &str, rate: u32, seconds: u64) -> Load {
    let mut load = Load::new(url).unwrap();
    (load.rate, load.requests) = (NonZeroU32::new(rate).unwrap(), u64::from(rate) * seconds);
    load
}

/// Capture to queryable row at 500 requests/s, and each service's memory at that load.
async fn latency(length: Duration) {
    let rig = Rig::start().await;
    let (primary, candidate) = (shop(Build::Primary).await, shop(Build::Candidate).await);
    rig.launch("bench", |launch| {
        launch.candidate = candidate.parse().unwrap();
        launch.rules = Some(shadow_shop::COMPARISON_RULES.to_owned());
    })
    .await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    let (url, agent) = agent(&rig, &primary).await;
    let load = load(&url, 500, length.as_secs());
    let sending = tokio::spawn(async move { load.run(CancellationToken::new(), |_| {}).await });

    // A row is queryable when a query finds it; polling makes the figure an upper bound.
    let (mut seen, mut delays) = (HashSet::new(), Vec::new());
    let mut poll = tokio::time::interval(Duration::from_millis(50));
    let mut quiet = Instant::now();
    while !sending.is_finished() || quiet.elapsed() < Duration::from_secs(5) {
        poll.tick().await;
        let rows = sql(
            &rig.stack,
            "SELECT partition, captured_offset, toUnixTimestamp64Micro(captured_at) FROM shadow.exchanges WHERE captured_at > now64() - 20",
        )
        .await;
        let now = Timestamp::now().micros();
        for row in rows.lines() {
            let mut columns = row.split('\t').map(|c| c.parse::<i64>().unwrap());
            let (partition, offset, at) = (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
            if seen.insert((partition, offset)) {
                delays.push(now - at);
                quiet = Instant::now();
            }
        }
    }
    let report = sending.await.unwrap();
    delays.sort_unstable();
    let quantile = |q: f64| delays[((delays.len() - 1) as f64 * q) as usize] as f64 / 1e6;
    println!(
        "latency: {} sent at 500/s, {} failed, {} rows; capture to queryable row p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, most {:.2} s",
        report.sent,
        report.failed,
        delays.len(),
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0)
    );
    say_memory("at 500/s", &[("capture-agent", &agent), ("replayer", &replayer), ("comparator", &comparator)]);
    rig.stack.stop().await;
}

/// Records a second through replayer and comparator, each pinned to core 0 with everything else on the other, beside what one
/// core takes to read and decode the same records.
async fn throughput() {
    const RECORDS: i64 = 60_000;
    pin_self("1");
    let mut rig = Rig::start().await;
    rig.traffic.write(RECORDS).await;

    let started = Instant::now();
    let group =
        GroupConsumer::subscribe(&rig.kafka, "bench", &[topics::captured(&test_service())], FetchLimits::default())
            .unwrap();
    let mut read = 0;
    let mut reading = started;
    while read < RECORDS {
        match group.recv().await.unwrap() {
            Event::Assigned(list) => {
                let starts: Vec<_> = list.into_iter().map(|at| Start { at, otherwise: 0 }).collect();
                group.start(&starts).await.unwrap();
                reading = Instant::now();
            }
            Event::Record(record) => {
                decode::<CapturedExchange>(&record.payload).unwrap();
                read += 1;
            }
            _ => {}
        }
    }
    let plain = RECORDS as f64 / reading.elapsed().as_secs_f64();
    println!("throughput: reading and decoding alone: {plain:.0} records/s");
    group.close().await;

    // The replayer first, alone; the comparator then finds every outcome waiting.
    let launch = rig.launch("bench", |launch| launch.limits.max_in_flight = 128).await;
    let replayer = rig.replayer("r1");
    pin(replayer.id(), "0");
    let replayer = replayer.ready().await;
    let topic = topics::replayed(&test_service(), &launch);
    let admin = shadow_kafka::Admin::new(&rig.kafka).unwrap();
    let outcomes = async || {
        let mut sum = 0;
        for partition in 0..4 {
            sum += admin.watermarks(&topic, partition).await.unwrap().1;
        }
        sum
    };
    let (first, begun) = until("the first outcomes", || async {
        let n = outcomes().await;
        (n > 500).then(|| (n, Instant::now()))
    })
    .await;
    until("all outcomes", || async { (outcomes().await >= RECORDS * 95 / 100).then_some(()) }).await;
    let replayed = (outcomes().await - first) as f64 / begun.elapsed().as_secs_f64();
    println!("throughput: replayer on one core: {replayed:.0} records/s, {:.2} of reading alone", replayed / plain);
    until("the rest", || async { (outcomes().await >= RECORDS).then_some(()) }).await;
    say_memory("at full speed", &[("replayer", &replayer)]);
    replayer.stop();

    let comparator = rig.comparator("c1");
    pin(comparator.id(), "0");
    let begun = Instant::now();
    let comparator = comparator.ready().await;
    rig.settled(&launch, RECORDS).await;
    let compared = RECORDS as f64 / begun.elapsed().as_secs_f64();
    println!("throughput: comparator on one core: {compared:.0} records/s, {:.2} of reading alone", compared / plain);
    say_memory("at full speed", &[("comparator", &comparator)]);
    rig.stack.stop().await;
}

fn pin(process: u32, cpu: &str) {
    let done = std::process::Command::new("taskset").args(["-a", "-p", "-c", cpu, &process.to_string()]).output();
    assert!(done.is_ok_and(|o| o.status.success()), "taskset (util-linux) pins the process");
}

/// Children inherit it: Kafka, ClickHouse and the candidate.
fn pin_self(cpu: &str) {
    pin(std::process::id(), cpu);
}

/// Memory while a launch stands a million records behind, paused and then catching up.
async fn behind() {
    const RECORDS: i64 = 1_000_000;
    let mut rig = Rig::start().await;
    let launch = rig.launch("bench", |launch| launch.status = shadow_control::LaunchStatus::Paused).await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    while rig.traffic.written() < RECORDS {
        rig.traffic.write(20_000).await;
    }
    let both = [("replayer", &replayer), ("comparator", &comparator)];
    say_memory("paused, a million records behind", &both);
    rig.shadowctl(&["launch", "resume", launch.as_str()]).await;
    until("the launch to catch up a little", || async { (rig.candidate.requests() > 30_000).then_some(()) }).await;
    say_memory("catching up from a million behind", &both);
    rig.stack.stop().await;
}

/// Memory of every service through minutes without Kafka, with 500 requests/s through the agent.
async fn outage(minutes: u64) {
    let mut rig = Rig::start().await;
    let (primary, candidate) = (shop(Build::Primary).await, shop(Build::Candidate).await);
    rig.launch("bench", |launch| launch.candidate = candidate.parse().unwrap()).await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    let (url, agent) = agent(&rig, &primary).await;
    let services = [("capture-agent", &agent), ("replayer", &replayer), ("comparator", &comparator)];
    load(&url, 500, 20).run(CancellationToken::new(), |_| {}).await;
    say_memory("before the outage", &services);
    rig.stack.kafka().kill().unwrap();
    for minute in 1..=minutes {
        let report = load(&url, 500, 60).run(CancellationToken::new(), |_| {}).await;
        assert_eq!(report.failed, 0, "production must not notice");
        if [1, minutes / 2, minutes].contains(&minute) {
            say_memory(&format!("{minute} min without Kafka"), &services);
        }
    }
    rig.stack.kafka().restart().await.unwrap();
    load(&url, 500, 20).run(CancellationToken::new(), |_| {}).await;
    // Records that waited longer than the delivery time-out are in doubt; what found no room was dropped.
    let account = "SELECT balanced, dropped + in_doubt > 0 FROM shadow.ledger_agent WHERE instance = 'agent-1'";
    until("the agent's account to balance", || async {
        (sql(&rig.stack, account).await.trim() == "1\t1").then_some(())
    })
    .await;
    say_memory("after the outage", &services);
    let counts =
        "SELECT seen, acknowledged, in_doubt, dropped, in_flight FROM shadow.ledger_agent WHERE instance = 'agent-1'";
    let counts = sql(&rig.stack, counts).await;
    println!(
        "outage: all requests answered; the account balances: seen, acknowledged, in doubt, dropped, in flight: {counts}"
    );
    rig.stack.stop().await;
}
