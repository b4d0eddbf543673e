//! Ill and hostile targets on a real broker: the breaker, the ceiling, and that every request gets its outcome.

use std::time::Duration;

use shadow_control::LaunchStatus;
use shadow_record::{HeldBy, Outcome, State};

use crate::bench::{Answers, Bench, Candidate};
use crate::service::{Hostile, Manners, Service, hostile};

pub(crate) async fn the_breaker_waits_until_an_ill_candidate_is_well(brokers: &str) {
    let mut bench = Bench::new(brokers, "ill", 2).await;
    let service = Service::start(Manners::default()).await;
    service.ill(true);
    let mut launch = bench.launch_of(&service);
    launch.limits.max_in_flight = 4;
    (launch.replay.breaker.least, launch.replay.breaker.open_s) = (10, 1);
    bench.put(launch.clone()).await;
    for number in 1..=100 {
        bench.capture_of(number % 2, &format!("session-{number}"), 1).await;
    }
    let replayer = bench.replayer("ill-1");
    // Single requests try, in vain.
    let again =
        |times: i64| move |s: &shadow_record::Status| s.counters.get("breaker_to_open").is_some_and(|n| *n >= times);
    bench.heartbeat("ill-1", again(1)).await;
    bench.heartbeat("ill-1", again(3)).await;
    let asked = service.asked();
    assert!((10..30).contains(&asked), "{asked} requests reached a candidate that was known to be ill");

    // The kill switch holds in every state.
    launch.status = LaunchStatus::Paused;
    let version = bench.put(launch.clone()).await;
    let paused = bench.acknowledged("ill-1", version, State::Paused).await;
    let asked = service.asked();
    bench.heartbeat("ill-1", |s| s.sequence > paused.sequence + 6).await;
    assert_eq!(service.asked(), asked);

    service.ill(false);
    launch.status = LaunchStatus::Active;
    bench.put(launch).await;
    let account = bench.outcomes().await;
    bench.heartbeat("ill-1", |s| s.counters.get("breaker_state") == Some(&0)).await;
    replayer.stop().await;
    assert_eq!((account.duplicates, account.counts()["completed"], service.asked()), (0, 100, 100));
    let ill = account.records.iter().filter(|r| matches!(&r.outcome, Outcome::Completed(a) if a.status == 503)).count();
    assert!((10..30).contains(&ill), "{ill} answers of an ill candidate");
    assert!(account.records.iter().any(|record| record.held_by == Some(HeldBy::Breaker)));
}

pub(crate) async fn it_stops_soon_while_the_breaker_is_open(brokers: &str) {
    let mut bench = Bench::new(brokers, "gone", 1).await;
    let service = Service::start(Manners::default()).await;
    service.ill(true);
    let mut launch = bench.launch_of(&service);
    (launch.replay.breaker.least, launch.replay.breaker.open_s) = (1, 3600);
    bench.put(launch.clone()).await;
    for number in 1..=20 {
        bench.capture_of(0, &format!("session-{number}"), 1).await;
    }
    let replayer = bench.replayer("gone-1");
    bench.heartbeat("gone-1", |s| s.counters.get("breaker_state") == Some(&1)).await;
    replayer.stop().await;

    service.ill(false);
    let replayer = bench.replayer("gone-2");
    let account = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!((account.duplicates, account.counts()["completed"], service.asked()), (0, 20, 20));
}

pub(crate) async fn what_waits_for_a_place_says_so(brokers: &str) {
    let mut bench = Bench::new(brokers, "places", 1).await;
    let service = Service::start(Manners { works: Duration::from_millis(20), ..Manners::default() }).await;
    let mut launch = bench.launch_of(&service);
    launch.limits.max_in_flight = 1;
    bench.put(launch).await;
    for number in 1..=10 {
        bench.capture_of(0, &format!("session-{number}"), 1).await;
    }
    let replayer = bench.replayer("places-1");
    let account = bench.outcomes().await;
    bench.heartbeat("places-1", |s| s.counters.get("ceiling") == Some(&1)).await;
    replayer.stop().await;
    let held = account.records.iter().filter(|record| record.held_by == Some(HeldBy::Concurrency)).count();
    assert!(held >= 5, "{held} of 10 waited for the only place");
    assert_eq!(service.order().1, 1);
}

pub(crate) async fn hostile_targets_cost_an_outcome_each_and_nothing_else(brokers: &str) {
    let elsewhere = Candidate::start(Answers::AtOnce).await;
    let kinds = [
        ("resets", Hostile::Resets, "reset"),
        ("halfway", Hostile::ResetsHalfway, "reset"),
        ("stalls", Hostile::Stalls, "timeout"),
        ("garbage", Hostile::Garbage, "protocol"),
        ("endless-head", Hostile::EndlessHead, "protocol"),
        ("endless-body", Hostile::EndlessBody, "timeout"),
        ("redirects", Hostile::Redirects(elsewhere.address), "completed"),
    ];
    for (name, how, label) in kinds {
        let mut bench = Bench::new(brokers, name, 1).await;
        let mut launch = bench.launch(&elsewhere);
        launch.candidate = hostile(how).await;
        launch.limits.timeout_ms = 1000;
        bench.put(launch).await;
        bench.capture_requests(6).await;
        let replayer = bench.replayer(&format!("{name}-1"));
        let account = bench.outcomes().await;
        replayer.stop().await;
        assert_eq!((account.duplicates, account.counts()), (0, [(label, 6)].into()), "{name}");
        if let Hostile::Redirects(_) = how {
            let statuses = account.records.iter().map(|record| match &record.outcome {
                Outcome::Completed(answer) => answer.status,
                other => panic!("{other:?}"),
            });
            assert!(statuses.eq([302; 6]));
        }
    }
    assert_eq!(elsewhere.asked(), 0, "a redirect was followed");
}
