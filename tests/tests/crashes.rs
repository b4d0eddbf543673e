//! Services killed (-9) mid-stream again and again: every captured offset is covered exactly once, and every view equals that
//! of an undisturbed run.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "../support.rs"]
mod support;

use std::time::Duration;

use support::{Rig, Service, until};

/// Captured records; at the storm's rate they last for about fifteen seconds.
const RECORDS: i64 = 9_000;
const STORM_RATE: f64 = 600.0;
const KILLS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn killing_replayers_and_comparators_changes_no_count() {
    let mut rig = Rig::start().await;
    rig.traffic.write(RECORDS).await;

    let calm = rig.launch("calm", |_| {}).await;
    let (replayer, comparator) = (rig.replayer("r0").ready().await, rig.comparator("c0").ready().await);
    rig.settled(&calm, RECORDS).await;
    let undisturbed = rig.views(&calm).await;
    assert_eq!(rig.claims(&calm).await, (RECORDS, 1));
    replayer.stop();
    comparator.stop();

    rig.rate(Some(STORM_RATE)).await;
    let stormy = rig.launch("stormy", |_| {}).await;
    let mut services = [rig.replayer("r1"), rig.comparator("c1"), rig.replayer("r2"), rig.comparator("c2")];
    // The storm is over when the kills are; each waits for progress, so that every kill hits a running stream.
    let mut stored = 0;
    for kill in 0..KILLS {
        stored = progress(&rig, stored, &services).await;
        let service = &mut services[kill % 4];
        service.kill();
        service.restart();
    }
    rig.rate(None).await;
    rig.settled(&stormy, RECORDS).await;

    assert_eq!(rig.claims(&stormy).await, (RECORDS, 1));
    let disturbed = rig.views(&stormy).await;
    for (calm, stormy) in undisturbed.0.iter().zip(&disturbed.0) {
        assert_eq!(calm, stormy);
    }
    // Rows that were inserted again cannot be counted: ClickHouse merges them away at any time. Requests can.
    let sent_once = "SELECT countIf(outcome IN ('completed', 'failed')) FROM shadow.exchanges FINAL";
    let sent_again = i64::try_from(rig.candidate.requests()).unwrap() - rig.number(sent_once).await;
    println!("{KILLS} kills: {sent_again} requests sent again, {RECORDS} records covered exactly once");
    assert!(sent_again > 0, "no kill hit a request in flight or uncommitted: the storm was too mild to show anything");
    rig.stack.stop().await;
}

/// Waits until some more rows are stored, or nearly all are.
async fn progress(rig: &Rig, before: i64, services: &[Service]) -> i64 {
    let query = "SELECT count() FROM shadow.exchanges FINAL WHERE launch = 'stormy'";
    let enough = until("more rows", || async {
        let stored = rig.number(query).await;
        (stored >= (before + 150).min(RECORDS * 8 / 10)).then_some(stored)
    });
    match tokio::time::timeout(Duration::from_secs(30), enough).await {
        Ok(stored) => stored,
        Err(_) => {
            services.iter().for_each(|service| println!("{}", service.tail()));
            panic!("the stream stands still between kills");
        }
    }
}
