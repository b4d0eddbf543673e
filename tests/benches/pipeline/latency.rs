//! How soon after its capture a request can be found in ClickHouse.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use shadow_record::Timestamp;
use shadow_shop::Build;
use tokio_util::sync::CancellationToken;

use super::process::say_memory;
use super::setup::{agent, load, shop};
use super::support::{Rig, sql};

/// Capture to queryable row at 500 requests/s, and each service's memory at that load.
pub(super) async fn latency(length: Duration) {
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
