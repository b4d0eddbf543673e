//! Services killed (-9) mid-stream again and again: every captured offset is covered exactly once, and every view equals that
//! of an undisturbed run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use support::{Rig, sql};

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
        stored = progress(&rig, stored).await;
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
    let resent = i64::try_from(rig.candidate.requests()).unwrap()
        - 2 * rig
            .number(
                "SELECT countIf(outcome IN ('completed', 'failed')) FROM shadow.exchanges FINAL WHERE launch = 'calm'",
            )
            .await;
    let rows = rig.number("SELECT count() FROM shadow.exchanges WHERE launch = 'stormy'").await;
    println!(
        "{KILLS} kills: {resent} requests sent again, {} rows inserted again and merged away",
        rows - rig.number("SELECT count() FROM shadow.exchanges FINAL WHERE launch = 'stormy'").await
    );
    assert!(resent > 0, "no kill hit a request in flight or uncommitted: the storm was too mild to show anything");
    rig.stack.stop().await;
}

/// Waits until some more rows are stored, or all are.
async fn progress(rig: &Rig, before: i64) -> i64 {
    let query = "SELECT count() FROM shadow.exchanges FINAL WHERE launch = 'stormy'";
    let enough = tokio::time::timeout(
        Duration::from_secs(20),
        support::until("more rows", || async {
            let stored: i64 = sql(&rig.stack, query).await.trim().parse().unwrap();
            (stored >= (before + 150).min(RECORDS * 8 / 10)).then_some(stored)
        }),
    );
    enough.await.expect("the stream goes on between kills")
}
