//! The kill switch under load, with three members on Apache Kafka: when the last request left, and that none leaves while paused,
//! through restarts, rebalances and the loss of Kafka.
//!
//! `SHADOW_TEST_TRIALS=100 cargo test --release -p shadow-tests --test kill_switch -- --nocapture` measures.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "../support.rs"]
mod support;

use std::time::Duration;

use serde_json::Value;
use shadow_record::Timestamp;
use support::{Rig, Service, until};

/// Without `SHADOW_TEST_TRIALS`.
const TRIALS: usize = 4;
const RATE: f64 = 600.0;
/// So many trials are disturbed by a crash and by members that come and go; the others only measure.
const DISTURBED: usize = 4;
/// What every replayer's lease lasts; see `shadow_control::HeartConfig`.
const LEASE: Duration = Duration::from_secs(3);
/// From passing the gate to the candidate's handler, on a machine that is busy with everything else.
const UNDER_WAY: Duration = Duration::from_secs(1);

fn trials() -> usize {
    std::env::var("SHADOW_TEST_TRIALS").map_or(TRIALS, |trials| trials.parse().expect("SHADOW_TEST_TRIALS is a number"))
}

async fn under_load(rig: &Rig) {
    let before = rig.candidate.requests();
    until("load on the candidate", || async { (rig.candidate.requests() > before + 100).then_some(()) }).await;
}

/// Waits until `instance` has published `more` heartbeats.
async fn heartbeats(rig: &Rig, instance: &str, more: i64) {
    let beats = format!("SELECT max(sequence) FROM shadow.instance_status FINAL WHERE instance = '{instance}'");
    let now = rig.number(&beats).await;
    until("a few heartbeats", || async { (rig.number(&beats).await > now + more).then_some(()) }).await;
}

/// A crash of one may cost another a commit, which is then tried again.
fn replayer(rig: &Rig, instance: &str) -> Service {
    rig.replayer(instance).expecting("commit refused; it is tried again")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_after_every_member_has_confirmed_the_pause() {
    let (mut rig, trials) = (Rig::start().await, trials());
    rig.traffic.write(4_000).await;
    rig.rate(Some(RATE)).await;
    let launch = rig.launch("v2", |_| {}).await;
    let comparator = rig.comparator("c1").ready().await;
    let mut first = replayer(&rig, "r1").ready().await;
    let others = [replayer(&rig, "r2").ready().await, replayer(&rig, "r3").ready().await];
    let (mut at_candidate, mut from_command, mut from_hearing) = (Vec::new(), Vec::new(), Vec::new());
    for trial in 0..trials {
        under_load(&rig).await;
        let command = Timestamp::now();
        let told = rig.shadowctl(&["pause", "--json"]).await;
        let confirmed = rig.candidate.requests();
        at_candidate.push((rig.candidate.last_at().micros() - command.micros()) as f64 / 1e3);
        let told: Value = serde_json::from_str(&told).unwrap();
        let members = told["members"].as_array().unwrap();
        assert_eq!(members.len(), 3, "{told}");
        for member in members {
            assert_eq!(member["answered"], "confirmed", "{told}");
            // One that has just joined may not have sent anything yet.
            let Some(last_send) = member["last_send_after_ms"].as_f64() else { continue };
            from_command.push(told["appended_after_ms"].as_f64().unwrap() + last_send);
            from_hearing.push(last_send - member["heard_after_ms"].as_f64().unwrap());
        }
        assert!(!from_command.is_empty(), "nobody sent anything: {told}");
        let disturbed = trial % (trials / DISTURBED).max(1) == 0;
        if disturbed {
            // A crash, a member that joins, a member that leaves: each moves partitions, and none begins to send.
            first.kill();
            first.restart();
            first = first.ready().await;
            let joining = replayer(&rig, "r4").ready().await;
            heartbeats(&rig, "r4", 4).await;
            joining.stop();
        }
        heartbeats(&rig, "r2", if disturbed { 4 } else { 1 }).await;
        assert_eq!(rig.candidate.requests(), confirmed, "a request left while paused");
        // Beside the load, not before it: an empty topic would stop by itself.
        rig.traffic.write(1_200).await;
        rig.shadowctl(&["resume"]).await;
    }
    println!("{trials} pauses at {RATE} requests/s with three members, milliseconds (p50, p99, most):");
    for (what, figures) in [
        ("last request at the candidate, from the start of shadowctl", at_candidate),
        ("last send of each member, from the start of the command", from_command),
        ("last send of each member, from its hearing of it", from_hearing),
    ] {
        println!("  {what}: {}", percentiles(figures));
    }
    rig.rate(None).await;
    let written = rig.traffic.written();
    rig.settled(&launch, written).await;
    assert_eq!(rig.number("SELECT min(balanced) FROM shadow.ledger_launch").await, 1);
    first.stop();
    for other in others {
        other.stop();
    }
    comparator.stop();
    rig.stack.stop().await;
}

fn percentiles(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let rank = |share: f64| figures[((figures.len() as f64 * share).ceil() as usize).max(1) - 1];
    format!("{:.1}, {:.1}, {:.1}", rank(0.5), rank(0.99), rank(1.0))
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_lose_kafka_stop_within_their_lease_and_go_on_when_it_is_back() {
    let mut rig = Rig::start().await;
    rig.traffic.write(12_000).await;
    rig.rate(Some(RATE)).await;
    rig.launch("v2", |_| {}).await;
    let members =
        [replayer(&rig, "r1").ready().await, replayer(&rig, "r2").ready().await, replayer(&rig, "r3").ready().await];
    // However long they took to come up, there is something left to send.
    rig.traffic.write(4_000).await;
    under_load(&rig).await;

    rig.stack.kafka().kill().unwrap();
    let lost = Timestamp::now();
    for member in &members {
        until("the lease to run out", || async {
            member.tail().contains("heartbeats do not come back from Kafka").then_some(())
        })
        .await;
    }
    let last = rig.candidate.last_at();
    assert!(last.since(lost) <= LEASE + UNDER_WAY, "a request left {:?} after Kafka was lost", last.since(lost));

    // They live and answer, and none of them sends.
    let silent = rig.candidate.requests();
    for _ in 0..20 {
        for member in &members {
            until("an answer of the member", || async {
                reqwest::get(format!("{}/healthz", member.admin()))
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
                    .then_some(())
            })
            .await;
        }
    }
    assert_eq!(rig.candidate.requests(), silent, "a request left without a lease");

    rig.stack.kafka().restart().await.unwrap();
    rig.traffic.write(4_000).await;
    under_load(&rig).await;
    rig.stack.stop().await;
}
