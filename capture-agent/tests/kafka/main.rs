//! The agent on a real broker: what it publishes, and what a broker that goes away costs.
//!
//! One stack for all scenarios, each on a service of its own. Without the usual harness, because the stack is started through
//! this very executable. `cargo test -p capture-agent --test kafka NAME` runs the scenarios whose name contains NAME.

#![allow(clippy::unwrap_used, reason = "the lint allows it in tests, but knows them by their attribute")]

#[path = "../agent/support.rs"]
#[allow(dead_code, reason = "shared between test binaries; each uses a part")]
mod support;
#[path = "../agent/wire.rs"]
#[allow(dead_code, reason = "shared between test binaries; each uses a part")]
mod wire;

mod egress;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use capture_agent::{Account, Config};
use shadow_control::{ControlFeed, ControlState, Leg, Mark};
use shadow_devstack::{Devstack, KafkaChoice};
use shadow_kafka::{Admin, Consumed, KafkaConfig, KafkaError, Tail, TailEvent, TailFrom, partition_for};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::{CapturedExchange, RequestId, Role, RouteTable, Source, State, Status, Withheld, decode, topics};
use tokio_util::sync::CancellationToken;

use support::Running;
use wire::{Origin, ask};

/// Longest wait for anything; a scenario that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{\"email\":\"ann@shop.test\"}";

macro_rules! scenarios {
    ($stack:expr, $only:expr; $($name:path),* $(,)?) => {
        $(if stringify!($name).contains($only.as_str()) {
            let start = Instant::now();
            tokio::time::timeout(PATIENCE, $name($stack)).await.expect(stringify!($name));
            println!("scenario {} ... ok ({:.1} s)", stringify!($name), start.elapsed().as_secs_f64());
        })*
    };
}

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    support::run(async {
        let mut stack = Devstack::builder().kafka(KafkaChoice::Apache).start().await.expect("the stack starts");
        scenarios!(&mut stack, only;
            exchanges_arrive_masked_and_keyed_by_session,
            heartbeats_carry_the_account_and_end_with_the_last_word,
            production_is_announced_and_a_replayed_request_pauses_everything,
            a_watchdog_that_trips_pauses_every_launch_once_and_traffic_flows_on,
            a_frozen_broker_delays_nobody_and_loses_nothing,
            a_broker_frozen_at_the_stop_leaves_its_records_in_doubt,
            a_broker_that_comes_late_gets_what_waited,
            a_broker_that_dies_leaves_every_request_accounted_for,
            egress::calls_arrive_masked_with_the_request_that_they_were_made_for,
            egress::a_call_without_a_trace_is_told_by_the_clients_id_or_by_being_alone,
            egress::a_destination_that_is_down_is_recorded_as_the_primary_was_told,
            egress::calls_of_requests_outside_the_sample_are_not_recorded,
            egress::an_exchange_says_when_not_every_call_of_its_time_was_recorded,
            egress::a_call_of_the_shadow_pauses_every_launch,
            egress::a_frozen_broker_delays_no_call_and_loses_none,
            egress::a_broker_that_dies_breaks_no_call_and_every_one_is_accounted_for,
        );
        stack.stop().await;
    });
    ExitCode::SUCCESS
}

fn config(stack: &Devstack, origin: &Origin, service: &str) -> Config {
    let mut config = support::config_with(origin.address, stack.brokers(), &[]);
    config.service.name = Some(service.parse().unwrap());
    config.capture.flush = "40s".parse().unwrap();
    config
}

async fn get(running: &Running, path: &str, lines: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n{lines}\r\n");
    assert!(ask(running.address(), request.as_bytes()).await.start.contains(" 200 "));
}

/// Waits until the account satisfies `enough`.
async fn until(running: &Running, enough: impl Fn(&Account) -> bool) {
    while !enough(&running.agent.account()) {
        tokio::task::yield_now().await;
    }
}

/// Everything in a topic now.
async fn records(brokers: &str, topic: &str) -> Vec<Consumed> {
    let kafka = KafkaConfig::at(brokers);
    // A broker that has just come back answers before its partitions have a leader.
    let tail = loop {
        match Tail::open(&kafka, topic, TailFrom::Start).await {
            Ok(tail) => break tail,
            Err(KafkaError::Client(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let mut records = Vec::new();
    loop {
        match tail.recv().await.unwrap() {
            TailEvent::Record(record) => records.push(record),
            TailEvent::CaughtUp => return records,
        }
    }
}

async fn captured(stack: &Devstack, service: &str) -> Vec<(Consumed, CapturedExchange)> {
    let topic = topics::captured(&service.parse().unwrap());
    let records = records(stack.brokers(), &topic).await;
    records.into_iter().map(|record| (record.clone(), decode(&record.payload).unwrap())).collect()
}

/// How many records can be read once `expected` can. A broker that has just created a topic, or was fenced while it was frozen, may
/// show an acknowledged record a moment later; a lost one would never show.
async fn readable(stack: &Devstack, service: &str, expected: usize) -> usize {
    let shown = async {
        loop {
            let count = captured(stack, service).await.len();
            if count >= expected {
                return count;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shown).await.expect("every acknowledged record can be read")
}

fn masker() -> Masker {
    Masker::new(MaskKey::parse(&"5".repeat(64)).unwrap(), Ruleset::default(), RouteTable::default())
}

async fn exchanges_arrive_masked_and_keyed_by_session(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let mut settings = config(stack, &origin, "arrive");
    settings.sampling.session_cookie = Some("sid".into());
    settings.sampling.exclude = vec!["GET /health".into()];
    settings.capture.body_limit = "30B".parse().unwrap();
    let running = Running::with(settings).await;
    for number in 0..30 {
        let session = number % 3;
        get(
            &running,
            &format!("/items/{number}"),
            &format!("Cookie: sid=secret{session}\r\nX-Request-Id: client-{number}\r\n"),
        )
        .await;
    }
    get(&running, "/health", "").await;
    let big =
        b"POST /items/1 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 31\r\n\r\n{\"name\":\"a name of thirty-one\"}";
    ask(running.address(), big).await;
    let account = running.stop().await;
    assert_eq!((account.seen, account.acknowledged, account.excluded_total()), (32, 31, 1), "{account:?}");

    let admin = Admin::new(&KafkaConfig::at(stack.brokers())).unwrap();
    assert_eq!(admin.partitions("shadow.captured.arrive").await.unwrap(), Some(12));
    assert_eq!(readable(stack, "arrive", 31).await, 31);
    let found = captured(stack, "arrive").await;
    let sequences: BTreeSet<_> = found.iter().map(|(_, exchange)| exchange.sequence).collect();
    assert_eq!(sequences, (0..32).filter(|s| *s != 30).collect());
    let mut keys = BTreeSet::new();
    for (record, exchange) in &found {
        let raw = String::from_utf8_lossy(&record.payload).into_owned();
        for private in ["secret", "ann@shop.test", "client-", "thirty-one"] {
            assert!(!raw.contains(private), "{private} left the agent");
        }
        let key: [u8; 16] = record.key.as_deref().unwrap().try_into().unwrap();
        assert_eq!(record.partition, partition_for(&key, 12));
        assert_eq!(
            (exchange.source, exchange.agent.as_str(), exchange.epoch),
            (Source::Proxy, "agent-under-test", account.epoch.micros())
        );
        assert_eq!((exchange.error, exchange.response.as_ref().unwrap().status), (None, 200));
        assert!(exchange.first_byte_us.unwrap() <= exchange.total_us);
        if exchange.request.method == "POST" {
            assert_eq!((exchange.request.body.withheld, exchange.request.body.length), (Some(Withheld::Truncated), 31));
            assert_eq!(key, masker().record_key(exchange.request_id.0.as_bytes()));
        } else {
            assert_eq!(exchange.route, "GET /items/{id}");
            assert!(exchange.correlation_id.is_some());
            keys.insert(key);
        }
    }
    let expected = (0..3).map(|s| masker().record_key(format!("secret{s}").as_bytes())).collect();
    assert_eq!(keys, expected);
}

async fn heartbeats_carry_the_account_and_end_with_the_last_word(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let running = Running::with(config(stack, &origin, "beats")).await;
    get(&running, "/items/1", "").await;
    until(&running, |account| account.acknowledged == 1).await;
    let account = running.stop().await;
    let beats: Vec<Status> = records(stack.brokers(), topics::STATUS)
        .await
        .iter()
        .map(|record| decode(&record.payload).unwrap())
        .filter(|status: &Status| status.service == "beats")
        .collect();
    let last = beats.last().unwrap();
    assert_eq!((last.role, last.state, last.epoch), (Role::CaptureAgent, State::Stopped, account.epoch.micros()));
    assert_eq!(last.counters, account.counters());
    assert!(beats[..beats.len() - 1].iter().all(|beat| beat.state == State::Running));
}

async fn production_is_announced_and_a_replayed_request_pauses_everything(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let mut settings = config(stack, &origin, "announced");
    settings.primary.url = Some(format!("http://localhost:{}", origin.address.port()).parse().unwrap());
    let running = Running::with(settings).await;
    let stop = CancellationToken::new();
    let mut control = ControlFeed::spawn(&KafkaConfig::at(stack.brokers()), stop.clone());
    let upstream = |state: &ControlState| state.upstreams.values().find(|u| u.service.as_str() == "announced").cloned();
    let state = control.wait_for(|state| upstream(state).is_some()).await.unwrap().clone();
    let told: BTreeSet<_> = upstream(&state).unwrap().addresses.into_iter().collect();
    let port = origin.address.port();
    for address in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), running.address().to_string()] {
        assert!(told.contains(&address), "{address} is not in {told:?}");
    }
    assert!(!state.pauses.contains_key(&None), "nothing is paused yet");
    let (launch, request_id) = ("v2".parse().unwrap(), RequestId::generate());
    let mark = Mark { launch, request_id, attempt: 1, leg: Leg::Candidate, send: 0 };
    let value = mark.sign(|body| masker().mark_tag(body));
    get(&running, "/items/1", &format!("{}: {value}\r\n", shadow_control::MARK_HEADER)).await;
    let state = control.wait_for(|s| s.pauses.get(&None).is_some_and(|pause| pause.paused)).await.unwrap().clone();
    let change = state.pauses[&None].change.clone();
    assert_eq!((change.by.as_str(), change.why.contains("reached production")), ("agent-under-test", true));
    stop.cancel();
    let account = running.stop().await;
    assert_eq!((account.seen, account.excluded_for(capture_agent::Exclusion::Replayed)), (1, 1));
}

async fn a_watchdog_that_trips_pauses_every_launch_once_and_traffic_flows_on(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let mut settings = config(stack, &origin, "felt");
    // Whatever is added to a request is more than this.
    settings.capture.latency_budget = "1us".parse().unwrap();
    let running = Running::with(settings).await;
    let stop = CancellationToken::new();
    let mut control = ControlFeed::spawn(&KafkaConfig::at(stack.brokers()), stop.clone());
    let traffic = async {
        for number in 0.. {
            get(&running, &format!("/items/{number}"), "").await;
        }
    };
    let felt = |state: &ControlState| {
        state.pauses.get(&None).filter(|pause| pause.paused && pause.change.why.contains("being slowed")).cloned()
    };
    let pause = tokio::select! {
        () = traffic => unreachable!("it never ends"),
        state = control.wait_for(|state| felt(state).is_some()) => felt(&state.unwrap()).unwrap(),
    };
    assert_eq!(pause.change.by, "agent-under-test");
    assert!(pause.change.why.contains("(allowed 1us)"), "{}", pause.change.why);
    // It is a person who resumes, and the same trip does not pause again.
    let version = control.borrow().version;
    for number in 0..200 {
        get(&running, &format!("/items/{number}"), "").await;
    }
    stop.cancel();
    let account = running.stop().await;
    let overload = account.excluded_for(capture_agent::Exclusion::Overload);
    assert!(overload >= 200 && account.excluded_for(capture_agent::Exclusion::Replayed) == 0, "{account:?}");
    let written = records(stack.brokers(), topics::CONTROL).await;
    assert_eq!(written.iter().filter(|r| r.offset > version && r.key.as_deref() == Some(b"pause/all")).count(), 0);
}

async fn a_frozen_broker_delays_nobody_and_loses_nothing(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let running = Running::with(config(stack, &origin, "frozen")).await;
    get(&running, "/items/0", "").await;
    until(&running, |account| account.acknowledged == 1).await;
    stack.kafka().freeze().unwrap();
    for number in 1..50 {
        get(&running, &format!("/items/{number}"), "").await;
    }
    let meanwhile = running.agent.account();
    stack.kafka().thaw().unwrap();
    let account = running.stop().await;
    assert_eq!((meanwhile.seen, meanwhile.acknowledged), (50, 1), "answered while the broker was frozen");
    assert_eq!((account.acknowledged, account.dropped_total()), (50, 0), "{account:?}");
    assert_eq!(readable(stack, "frozen", 50).await, 50);
}

async fn a_broker_frozen_at_the_stop_leaves_its_records_in_doubt(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let mut settings = config(stack, &origin, "stuck");
    settings.capture.flush = "200ms".parse().unwrap();
    let running = Running::with(settings).await;
    get(&running, "/items/0", "").await;
    until(&running, |account| account.acknowledged == 1).await;
    stack.kafka().freeze().unwrap();
    for number in 1..=5 {
        get(&running, &format!("/items/{number}"), "").await;
    }
    let account = running.stop().await;
    stack.kafka().thaw().unwrap();
    assert_eq!((account.acknowledged, account.in_doubt, account.in_flight), (1, 5, 0), "{account:?}");
}

async fn a_broker_that_comes_late_gets_what_waited(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let settings = config(stack, &origin, "late");
    stack.kafka().kill().unwrap();
    let running = Running::with(settings).await;
    for number in 0..20 {
        get(&running, &format!("/items/{number}"), "").await;
    }
    assert_eq!(running.agent.account().in_flight, 20);
    stack.kafka().restart().await.unwrap();
    let account = running.stop().await;
    assert_eq!(account.acknowledged, 20, "{account:?}");
    assert_eq!(readable(stack, "late", 20).await, 20);
}

async fn a_broker_that_dies_leaves_every_request_accounted_for(stack: &mut Devstack) {
    let (origin, _) = Origin::canned(OK).await;
    let mut settings = config(stack, &origin, "dies");
    settings.capture.delivery = "2s".parse().unwrap();
    let running = Running::with(settings).await;
    get(&running, "/items/0", "").await;
    until(&running, |account| account.acknowledged == 1).await;
    stack.kafka().kill().unwrap();
    for number in 1..50 {
        get(&running, &format!("/items/{number}"), "").await;
    }
    let account = running.stop().await;
    assert_eq!(account.seen, 50);
    assert_eq!(account.acknowledged + account.in_doubt + account.dropped_total(), 50, "{account:?}");
    stack.kafka().restart().await.unwrap();
    let written = captured(stack, "dies").await.len() as i64;
    assert!((account.acknowledged..=account.acknowledged + account.in_doubt).contains(&written), "{account:?}");
}
