//! The kill switch under load: when the last request left, and that none leaves while paused, restarts included.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "../support.rs"]
mod support;

use serde_json::Value;
use shadow_record::Timestamp;
use support::{Rig, sql, until};

const TRIALS: usize = 5;
const RECORDS: i64 = 6_000;
const RATE: f64 = 400.0;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_after_every_member_has_confirmed_the_pause() {
    let mut rig = Rig::start().await;
    rig.traffic.write(RECORDS).await;
    rig.rate(Some(RATE)).await;
    let launch = rig.launch("v2", |_| {}).await;
    let comparator = rig.comparator("c1").ready().await;
    let (mut first, second) = (rig.replayer("r1").ready().await, rig.replayer("r2").ready().await);
    let mut slowest = 0;
    for _ in 0..TRIALS {
        let before = rig.candidate.requests();
        until("load on the candidate", || async { (rig.candidate.requests() > before + 100).then_some(()) }).await;
        let command = Timestamp::now();
        let told = rig.shadowctl(&["pause", "--json"]).await;
        let confirmed = rig.candidate.requests();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["members"].as_array().map(Vec::len), Some(2), "{told}");
        slowest = slowest.max(rig.candidate.last_at().since(command).as_millis());

        // Paused survives a crash: the member comes back, reads control to its end and sends nothing.
        first.kill();
        first.restart();
        first = first.ready().await;
        rig.traffic.write(10).await;
        let beats = "SELECT max(sequence) FROM shadow.instance_status FINAL WHERE instance = 'r2'";
        let now = rig.number(beats).await;
        until("a few heartbeats", || async { (rig.number(beats).await > now + 4).then_some(()) }).await;
        assert_eq!(rig.candidate.requests(), confirmed, "a request left while paused");
        rig.shadowctl(&["resume"]).await;
    }
    println!("{TRIALS} pauses under {RATE} requests/s: last request at most {slowest} ms after the command began");
    rig.rate(None).await;
    rig.settled(&launch, RECORDS + 10 * TRIALS as i64).await;
    let killed = sql(&rig.stack, "SELECT failed_by_class FROM shadow.coverage WHERE launch = 'v2'").await;
    println!("cancelled in flight: {killed}");
    assert_eq!(rig.number("SELECT min(balanced) FROM shadow.ledger_launch").await, 1);
    first.stop();
    second.stop();
    comparator.stop();
    rig.stack.stop().await;
}
