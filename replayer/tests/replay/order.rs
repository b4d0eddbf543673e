//! Sessions on a real broker: in order, side by side, and none held up by another.

use std::collections::BTreeMap;
use std::time::Duration;

use shadow_control::{Change, Launch, Order};
use shadow_kafka::{Delivery, Outgoing};
use shadow_record::{HeldBy, encode, topics};

use crate::bench::Bench;
use crate::service::{Manners, Service};

impl Bench {
    pub(crate) fn launch_of(&self, service: &Service) -> Launch {
        Launch::of(self.launch.clone(), self.service.clone(), service.url(), Change::by("test", "test"))
    }

    /// Appends request `number` of a session.
    pub(crate) async fn capture_of(&mut self, partition: i32, session: &str, number: usize) -> i64 {
        let payload = encode(&self.exchange("GET", &format!("/{session}/{number}")));
        let topic = topics::captured(&self.service);
        let key = Some(session.as_bytes());
        let record = Outgoing { topic: &topic, partition: Some(partition), key, payload: &payload };
        let Delivery::Acknowledged { offset, .. } = self.producer.publish(record).await else { panic!("not written") };
        self.ends.insert(partition, offset + 1);
        offset
    }
}

pub(crate) async fn requests_of_a_session_leave_one_after_the_other(brokers: &str) {
    let mut bench = Bench::new(brokers, "sessions", 3).await;
    let service = Service::start(Manners { works: Duration::from_millis(3), ..Manners::default() }).await;
    for number in 1..=30 {
        for session in 0..12 {
            bench.capture_of(session % 3, &format!("{session:02}-session"), number).await;
        }
    }
    bench.rate(Some(60.0)).await;
    bench.put(bench.launch_of(&service)).await;
    // The work moves while sessions are under way.
    let first = bench.replayer("sessions-1");
    bench.heartbeat("sessions-1", |s| s.counters.get("completed").is_some_and(|n| *n >= 20)).await;
    let second = bench.replayer("sessions-2");
    bench.heartbeat("sessions-2", |s| s.counters.get("completed").is_some_and(|n| *n >= 5)).await;
    first.stop().await;
    bench.rate(None).await;
    let account = bench.outcomes().await;
    second.stop().await;

    assert_eq!((account.duplicates, account.counts()["completed"], service.asked()), (0, 360, 360));
    let (wrong, side_by_side) = service.order();
    assert_eq!(wrong, [""; 0]);
    assert!(side_by_side >= 2, "one session at a time");
    let mut ended: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    let mut records: Vec<_> = account.records.iter().collect();
    records.sort_by_key(|record| (record.partition, record.offset));
    for record in &records {
        let (sent, total) = (record.sent_at.unwrap().micros(), record.total_us.unwrap());
        let session = record.session.clone().expect("it has a session");
        let (offset, before) = ended.insert(session, (record.offset, sent + total)).unwrap_or((-1, i64::MIN));
        assert!(sent >= before, "offset {} left {} us before {offset} had ended", record.offset, before - sent);
        if record.held_by == Some(HeldBy::Session) {
            assert!(record.intended_at < record.sent_at, "{record:?}");
        }
    }
    assert_eq!(ended.len(), 12);
    let held = records.iter().filter(|record| record.held_by == Some(HeldBy::Session)).count();
    assert!(held > 0, "none was held by its session");
}

pub(crate) async fn a_stuck_session_delays_only_itself(brokers: &str) {
    let mut bench = Bench::new(brokers, "stuck", 2).await;
    let service = Service::start(Manners { hangs_on: Some("ill/1"), ..Manners::default() }).await;
    let mut launch = bench.launch_of(&service);
    launch.limits.timeout_ms = 600_000;
    launch.replay.session_limit_ms = 4000;
    bench.put(launch).await;
    let mut stuck = Vec::new();
    for number in 1..=5 {
        stuck.push(bench.capture_of(0, "ill", number).await);
        for session in 0..4 {
            bench.capture_of(session % 2, &format!("well-{session}"), number).await;
        }
    }
    let replayer = bench.replayer("stuck-1");
    let has = |name: &'static str, count| move |s: &shadow_record::Status| s.counters.get(name) == Some(&count);
    bench.heartbeat("stuck-1", has("skipped_session_stuck", 4)).await;
    bench.heartbeat("stuck-1", has("completed", 20)).await;
    service.let_go();
    bench.heartbeat("stuck-1", has("completed", 21)).await;
    // It is no longer stuck.
    bench.capture_of(0, "ill", 6).await;
    let account = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!((account.duplicates, account.counts()), (0, [("completed", 22), ("session_stuck", 4)].into()));
    assert!(stuck[1..].iter().all(|offset| account.label(0, *offset) == "session_stuck"));
    assert_eq!((service.order().0, service.asked()), (vec![], 22));
}

pub(crate) async fn a_session_that_is_too_fast_does_not_hold_up_its_partition(brokers: &str) {
    let mut bench = Bench::new(brokers, "crowded", 1).await;
    let service = Service::start(Manners { works: Duration::from_millis(100), ..Manners::default() }).await;
    let mut launch = bench.launch_of(&service);
    launch.replay.session_limit_ms = 10_000;
    bench.put(launch).await;
    let mut others = Vec::new();
    for number in 1..=60 {
        bench.capture_of(0, "busy", number).await;
        others.push(bench.capture_of(0, &format!("other-{number}"), 1).await);
    }
    // Half of it waits for the busy session, two seconds at most: less than the limit.
    let replayer = bench.replayer_with("crowded-1", |config| config.replay.window_records = 40);
    let account = bench.outcomes().await;
    replayer.stop().await;
    let counts = account.counts();
    assert!(counts.get("session_stuck").is_some_and(|stuck| *stuck >= 5), "{counts:?}");
    assert!(others.iter().all(|offset| account.label(0, *offset) == "completed"), "{counts:?}");
    assert_eq!((account.duplicates, service.order().0), (0, vec![]));
}

pub(crate) async fn what_waits_for_its_session_is_the_next_owners(brokers: &str) {
    let mut bench = Bench::new(brokers, "inherited", 1).await;
    let service = Service::start(Manners { hangs_on: Some("one/1"), ..Manners::default() }).await;
    let mut launch = bench.launch_of(&service);
    launch.limits.timeout_ms = 600_000;
    bench.put(launch).await;
    for number in 1..=5 {
        bench.capture_of(0, "one", number).await;
    }
    bench.capture_of(0, "two", 1).await;
    let drain = |config: &mut replayer::config::Config| {
        config.replay.drain = shadow_runtime::units::HumanDuration::from_secs(1);
    };
    let replayer = bench.replayer_with("inherited-1", drain);
    bench.heartbeat("inherited-1", |s| s.counters.get("session_waiting") == Some(&4)).await;
    replayer.stop().await;
    assert_eq!(service.asked(), 2, "nothing of the session left");

    service.let_go();
    let replayer = bench.replayer("inherited-2");
    let account = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!(account.counts(), [("completed", 6)].into());
    assert!(account.duplicates <= 1, "only what had overtaken the request that hung is sent again");
}

pub(crate) async fn with_a_rate_what_was_overtaken_leaves_before_its_partition(brokers: &str) {
    let mut bench = Bench::new(brokers, "overtaken", 1).await;
    let service = Service::start(Manners { hangs_on: Some("one/1"), ..Manners::default() }).await;
    let mut launch = bench.launch_of(&service);
    launch.limits.timeout_ms = 600_000;
    bench.rate(Some(50.0)).await;
    bench.put(launch).await;
    for number in 1..=5 {
        bench.capture_of(0, "one", number).await;
    }
    bench.capture_of(0, "two", 1).await;
    // Long enough for the heartbeat that is waited for below on a busy machine.
    let drain = |config: &mut replayer::config::Config| {
        config.replay.drain = shadow_runtime::units::HumanDuration::from_secs(5);
    };
    let replayer = bench.replayer_with("overtaken-1", drain);
    bench.heartbeat("overtaken-1", |s| s.counters.get("completed") == Some(&1)).await;
    let stopping = tokio::spawn(replayer.stop());
    bench.heartbeat("overtaken-1", |s| s.counters.contains_key("shares") && !s.counters.contains_key("lag.0")).await;
    service.let_go();
    stopping.await.expect("it stops");
    let replayer = bench.replayer("overtaken-2");
    let account = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!((account.duplicates, account.counts()["completed"], service.asked()), (0, 6, 6));
}

pub(crate) async fn without_an_order_nothing_waits_for_a_session(brokers: &str) {
    let mut bench = Bench::new(brokers, "disorder", 1).await;
    let service = Service::start(Manners { hangs_on: Some("one/1"), ..Manners::default() }).await;
    let mut launch = bench.launch_of(&service);
    launch.limits.timeout_ms = 600_000;
    launch.replay.order = Order::None;
    bench.put(launch).await;
    for number in 1..=5 {
        bench.capture_of(0, "one", number).await;
    }
    let replayer = bench.replayer("disorder-1");
    bench.heartbeat("disorder-1", |s| s.counters.get("completed") == Some(&4)).await;
    service.let_go();
    assert_eq!(bench.outcomes().await.counts(), [("completed", 5)].into());
    replayer.stop().await;
}
