//! How fast a replayer sends when nothing holds it back, beside a load generator on the same core against the same target; and how
//! soon after its capture a request is sent when nothing is waiting.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shadow_record::{AnyRecord, CapturedExchange, decode, decode_any, topics};
use shadow_shop::Build;
use tokio_util::sync::CancellationToken;

use super::process::cpu;
use super::setup::{agent, load, pin, pin_self, shop};
use super::support::{Rig, free_port, test_service, until};
use super::topic::{Topic, each_record};

/// Connections of the load generator, and requests in flight of the replayer.
const CONNECTIONS: usize = 64;
const RECORDS: i64 = 60_000;
/// Of the traffic's records one in forty has no body that could be replayed.
const SENT: f64 = 39.0 / 40.0;

/// Requests a second of one replayer on core 0, with everything else on core 1, between two runs of oha on core 0.
pub(super) async fn unlimited() {
    pin_self("1");
    let mut rig = Rig::start().await;
    let target = Nginx::start();
    until("nginx to serve", || async { reqwest::get(target.url()).await.is_ok().then_some(()) }).await;
    rig.traffic.write(RECORDS).await;
    let mut generator = vec![oha(&target).await];
    type Change = fn(&mut shadow_control::Launch);
    let variants: [(&str, Change); 2] = [
        ("as a launch is by default", |_| {}),
        ("without order, ceiling and breaker", |launch| {
            launch.replay.order = shadow_control::Order::None;
            launch.replay.adaptive = false;
            launch.replay.breaker.enabled = false;
        }),
    ];
    for (number, (what, change)) in variants.into_iter().enumerate() {
        let name = format!("bench-{number}");
        let launch = rig.launch(&name, |launch| {
            launch.candidate = target.url().parse().unwrap();
            launch.isolation = Some("an answer without a store".to_owned());
            launch.limits.max_in_flight = CONNECTIONS;
            change(launch);
        });
        let launch = launch.await;
        let replayer = rig.replayer(&format!("r{number}"));
        pin(replayer.id(), "0");
        let outcomes = Topic::of_outcomes(&rig, &launch);
        let begun = until("the first outcomes", || async {
            let sent = outcomes.records().await;
            (sent > RECORDS / 20).then(|| Sample { outcomes: sent, at: Instant::now(), cpu: cpu(replayer.id()) })
        });
        let begun = begun.await;
        let ended = until("nearly all outcomes", || async {
            let sent = outcomes.records().await;
            (sent >= RECORDS * 95 / 100).then(|| Sample { outcomes: sent, at: Instant::now(), cpu: cpu(replayer.id()) })
        });
        let ended = ended.await;
        until("all outcomes", || async { (outcomes.records().await >= RECORDS).then_some(()) }).await;
        replayer.stop();
        generator.push(oha(&target).await);
        let (took, reference) = ((ended.at - begun.at).as_secs_f64(), generator.iter().flatten().rev().take(2));
        let sent = (ended.outcomes - begun.outcomes) as f64 * SENT;
        let busy = (ended.cpu - begun.cpu).as_secs_f64();
        println!(
            "unlimited: {what}: {:.0} requests/s, {:.0} % of its core, {:.0} us of it for each request",
            sent / took,
            100.0 * busy / took,
            1e6 * busy / sent
        );
        let (sum, runs) = reference.fold((0.0, 0.0), |(sum, runs), rate| (sum + rate, runs + 1.0));
        if runs > 0.0 {
            println!(
                "unlimited: {what}: {:.3} of oha, {:.0} requests/s around it",
                sent / took / (sum / runs),
                sum / runs
            );
        }
    }
    rig.stack.stop().await;
}

struct Sample {
    outcomes: i64,
    at: Instant,
    cpu: Duration,
}

/// Requests a second of oha on core 0; `None` where there is no oha.
async fn oha(target: &Nginx) -> Option<f64> {
    let program = std::env::var("OHA").unwrap_or_else(|_| "oha".to_owned());
    let mut command = tokio::process::Command::new("taskset");
    command.args(["-c", "0", &program, "--no-tui", "-z", "5s", "--output-format", "json"]);
    let output = command.args(["-c", &CONNECTIONS.to_string(), &target.url()]).output().await.unwrap();
    if !output.status.success() {
        println!("unlimited: oha is missing: `cargo install oha`, or name it in OHA; no ratio");
        return None;
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rate = report["summary"]["requestsPerSec"].as_f64().unwrap();
    println!("unlimited: oha: {rate:.0} requests/s");
    Some(rate)
}

/// A target that only answers, with one worker, on the core of whoever starts it.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = format!(
            "daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path body;\n\
             proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n\
             server {{ listen {address}; default_type application/json; location / {{ return 200 '{{\"id\":1,\"total\":3}}'; }} }} }}\n"
        );
        let path = dir.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(&path).stdout(Stdio::null());
        let child = command.spawn().expect("nginx is installed; it is the target");
        Self { child, address, _dir: dir }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its worker when it is asked, and not when it is killed.
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.child.wait();
        }
    }
}

/// Capture to send at 500 requests/s through the agent, with a replayer that has caught up.
pub(super) async fn fresh(length: Duration) {
    let rig = Rig::start().await;
    let (primary, candidate) = (shop(Build::Primary).await, shop(Build::Primary).await);
    let launch = rig.launch("bench", |launch| launch.candidate = candidate.parse().unwrap()).await;
    let replayer = rig.replayer("r1").ready().await;
    let (url, agent) = agent(&rig, &primary).await;
    let report = load(&url, 500, length.as_secs()).run(CancellationToken::new(), |_| {}).await;
    let captured = topics::captured(&test_service());
    let mut at = HashMap::new();
    each_record(&rig, &captured, |record| {
        let captured_at = decode::<CapturedExchange>(&record.payload).unwrap().captured_at;
        at.insert((record.partition, record.offset), captured_at);
    })
    .await;
    let replayed = topics::replayed(&test_service(), &launch);
    let (outcomes, mut delays) = (Topic::of_outcomes(&rig, &launch), Vec::new());
    until("every outcome", || async { (outcomes.records().await as usize >= at.len()).then_some(()) }).await;
    each_record(&rig, &replayed, |record| {
        if let AnyRecord::ReplayedExchange(outcome) = decode_any(&record.payload).unwrap()
            && let Some(sent) = outcome.sent_at
        {
            delays.push(sent.since(at[&(outcome.partition, outcome.offset)]));
        }
    })
    .await;
    delays.sort_unstable();
    let quantile = |q: f64| delays[((delays.len() - 1) as f64 * q) as usize].as_secs_f64() * 1000.0;
    println!(
        "fresh: {} sent at 500/s, {} replayed; capture to send p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        report.sent,
        delays.len(),
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0)
    );
    drop((replayer, agent));
    rig.stack.stop().await;
}
