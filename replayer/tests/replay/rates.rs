//! Rates: how members share one, and what is too old.

use std::collections::BTreeMap;
use std::time::Duration;

use shadow_control::{ControlFeed, Standing};
use shadow_record::{Timestamp, encode};
use tokio_util::sync::CancellationToken;

use crate::bench::{Answers, Bench, Candidate};

/// One partition has the backlog; its holder gets nearly all of the rate, and loses it when the other partition has more.
pub(crate) async fn members_share_a_rate_by_backlog(brokers: &str) {
    let mut bench = Bench::new(brokers, "shares", 2).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.rate(Some(10.0)).await;
    bench.put(bench.launch(&candidate)).await;
    let exchange = encode(&bench.exchange("GET", "/items/1"));
    for _ in 0..300 {
        bench.capture(0, &exchange).await;
    }
    let (first, second) = (bench.replayer("shares-1"), bench.replayer("shares-2"));
    let most_in_0 = shares(&bench, |weights| weights[&0] > 0.95).await;
    assert_eq!(most_in_0.shares.before, most_in_0.shares.weights);
    for instance in ["shares-1", "shares-2"] {
        let follows = most_in_0.version;
        bench.heartbeat(instance, |s| s.counters.get("shares").is_some_and(|version| *version >= follows)).await;
    }
    for _ in 0..4 {
        let many = futures::future::join_all((0..500).map(|_| bench.capture_in(1, &exchange))).await;
        bench.ends.insert(1, many.into_iter().max().unwrap_or_default() + 1);
    }
    let most_in_1 = shares(&bench, |weights| weights[&1] > 0.8).await;
    assert!(most_in_1.shares.after > most_in_0.version);
    bench.rate(None).await;
    let account = bench.outcomes().await;
    assert_eq!((account.duplicates, account.counts()["completed"]), (0, 2300));
    first.stop().await;
    second.stop().await;
}

/// Waits for shares that all follow and that are as wanted.
async fn shares(bench: &Bench, wanted: impl Fn(&BTreeMap<i32, f64>) -> bool) -> Standing {
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let mut control = ControlFeed::spawn(&bench.kafka, stop);
    let found = control.wait_for(|state| {
        let shares = state.shares.get(&bench.launch).map(|standing| &standing.shares);
        shares.is_some_and(|shares| shares.before == shares.weights && wanted(&shares.weights))
    });
    let state = tokio::time::timeout(Duration::from_secs(60), found).await.expect("shares are moved in time").unwrap();
    state.shares[&bench.launch].clone()
}

/// Some are too old when they are read, others only when their turn comes.
pub(crate) async fn what_is_too_old_is_skipped_as_a_range(brokers: &str) {
    let mut bench = Bench::new(brokers, "ages", 1).await;
    let candidate = Candidate::start(Answers::Held).await;
    let mut launch = bench.launch(&candidate);
    launch.limits.max_in_flight = 1;
    launch.replay.max_age_s = Some(3600);
    let aged = |bench: &Bench, seconds: i64| {
        let mut exchange = bench.exchange("GET", "/items/1");
        exchange.captured_at = Timestamp(Timestamp::now().micros() - seconds * 1_000_000);
        encode(&exchange)
    };
    for seconds in [4000, 4000, 0, 600, 600, -9000] {
        let exchange = aged(&bench, seconds);
        bench.capture(0, &exchange).await;
    }
    bench.put(launch.clone()).await;
    let replayer = bench.replayer("ages-1");
    candidate.asked_at_least(1).await;
    launch.replay.max_age_s = Some(300);
    let version = bench.put(launch).await;
    bench.heartbeat("ages-1", |s| s.control_version >= version).await;
    // Until then the first one has held the only place.
    let let_go = async {
        loop {
            candidate.let_go();
            tokio::task::yield_now().await;
        }
    };
    let account = tokio::select! { account = bench.outcomes() => account, () = let_go => unreachable!() };
    assert_eq!(account.counts(), [("completed", 2), ("too_old", 4)].into());
    assert_eq!((account.label(0, 2), account.label(0, 4), account.label(0, 5)), ("completed", "too_old", "completed"));
    assert_eq!((account.records.len(), candidate.asked()), (2, 2));
    replayer.stop().await;
}
