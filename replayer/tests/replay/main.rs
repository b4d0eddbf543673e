//! The replayer on a real broker: captured records in, outcomes out.
//!
//! One stack for all scenarios, each on a service of its own. Without the usual harness, because the stack is started through
//! this very executable. `cargo test -p replayer --test replay NAME` runs the scenarios whose name contains NAME.

#![allow(clippy::unwrap_used, reason = "the lint allows it in tests, but knows them by their attribute")]

mod bench;
mod captured;
mod control_leg;
mod handshake;
mod identity;
mod learning;
mod order;
mod protection;
mod rates;
mod sends;
mod service;

use std::process::ExitCode;
use std::time::Instant;

use bench::{Answers, Bench, Candidate, Log};
use control_leg::*;
use handshake::*;
use identity::*;
use learning::*;
use order::*;
use protection::*;
use rates::*;
use replayer::config::Config;
use sends::*;
use shadow_control::{Change, ControlRecord, LaunchStatus, Upstream};
use shadow_devstack::{Devstack, KafkaChoice};
use shadow_kafka::{Admin, TopicSpec};
use shadow_record::{State, Withheld, encode, topics};

/// What the log may say above `info`: what the scenarios provoke.
const PROVOKED: [&str; 6] = [
    "unreadable record goes to the dead-letter topic",
    "launch does not run",
    "the handshake failed",
    "retention took records before they were replayed",
    "the breaker opened",
    "drain took too long",
];

macro_rules! scenarios {
    ($brokers:expr, $log:expr, $only:expr; $($name:ident),* $(,)?) => {
        $(if stringify!($name).contains($only.as_str()) {
            let start = Instant::now();
            $name($brokers).await;
            $log.expect_only(&PROVOKED);
            println!("scenario {} ... ok ({:.1} s)", stringify!($name), start.elapsed().as_secs_f64());
        })*
    };
}

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    if let Some(code) = replayer_requested() {
        return code;
    }
    let log = Log::start();
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let stack = Devstack::builder().kafka(KafkaChoice::Apache).start().await.expect("the stack starts");
        let brokers = stack.brokers();
        scenarios!(brokers, log, only;
            every_captured_offset_is_covered_once,
            members_share_a_rate_by_backlog,
            what_is_too_old_is_skipped_as_a_range,
            a_launch_begins_at_its_start_offsets,
            nothing_is_sent_while_paused,
            requests_in_flight_are_killed_by_a_pause,
            a_pause_by_the_admin_endpoint_survives_a_restart,
            withdrawn_isolation_stops_what_was_admitted,
            it_stops_soon_at_any_moment,
            the_work_moves_with_its_partitions,
            a_production_target_is_refused_before_anything_is_consumed,
            a_target_outside_of_the_operators_limit_is_refused_whatever_the_launch_allows,
            nothing_is_sent_unless_the_handshake_holds,
            a_full_window_stops_reading_and_goes_on,
            what_retention_took_is_accounted_for,
            a_changed_candidate_goes_on_where_the_other_stopped,
            a_replayed_topic_of_another_shape_is_refused,
            the_control_is_asked_for_its_sample_and_beside_the_candidate,
            a_control_that_fails_changes_no_outcome,
            a_pause_kills_the_control_too,
            a_control_that_hangs_holds_up_no_partition,
            a_control_that_hangs_takes_no_place_from_the_candidate,
            targets_get_tokens_of_their_own_and_records_do_not,
            a_write_policy_decides_route_by_route,
            a_write_policy_changed_meanwhile_holds_for_what_was_admitted,
            a_replay_that_cannot_work_does_not_run,
            what_the_shadow_issues_is_put_into_later_requests_of_the_session,
            without_learning_a_session_fails_at_the_shadow,
            a_control_that_fails_once_is_out_of_the_session,
            a_session_whose_login_was_cancelled_is_not_held_against_the_candidate,
            requests_of_a_session_leave_one_after_the_other,
            a_stuck_session_delays_only_itself,
            a_session_that_is_too_fast_does_not_hold_up_its_partition,
            what_waits_for_its_session_is_the_next_owners,
            with_a_rate_what_was_overtaken_leaves_before_its_partition,
            without_an_order_nothing_waits_for_a_session,
            the_breaker_waits_until_an_ill_candidate_is_well,
            it_stops_soon_while_the_breaker_is_open,
            what_waits_for_a_place_says_so,
            hostile_targets_cost_an_outcome_each_and_nothing_else,
            what_is_sent_again_after_a_crash_has_another_number,
            a_request_is_alone_while_nobody_else_can_send,
        );
        stack.stop().await;
    });
    ExitCode::SUCCESS
}

/// Every kind of record, a poison record and a gap, over two partitions.
async fn every_captured_offset_is_covered_once(brokers: &str) {
    let mut bench = Bench::new(brokers, "kinds", 2).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    let mut expected = Vec::new();
    for n in 0..200 {
        let partition = n % 2;
        let (payload, label) = match n / 2 % 10 {
            3 => (encode(&bench.exchange("POST", "/items/1")), "unsafe_method"),
            5 => (b"not a record".to_vec().into(), "dead_lettered"),
            7 => {
                let mut exchange = bench.exchange("GET", "/items/1");
                exchange.request.body.content = None;
                exchange.request.body.withheld = Some(Withheld::Truncated);
                (encode(&exchange), "unreplayable_body")
            }
            8 => (encode(&bench.exchange("HEAD", "/items/1")), "filtered"),
            9 => (encode(&bench.exchange("GET", "/a/../b")), "request_invalid"),
            _ => (encode(&bench.exchange("GET", "/items/1")), "completed"),
        };
        let offset = bench.capture(partition, &payload).await;
        expected.push((partition, offset, label));
    }
    expected.push((0, append_gap(&mut bench).await, "no_record"));
    let exchange = encode(&bench.exchange("GET", "/last"));
    expected.push((0, bench.capture(0, &exchange).await, "completed"));

    let mut launch = bench.launch(&candidate);
    launch.filters.methods = vec!["GET".to_owned(), "POST".to_owned()];
    bench.put(launch).await;
    let replayer = bench.replayer("kinds-1");
    let account = bench.outcomes().await;
    for (partition, offset, label) in expected {
        assert_eq!(account.label(partition, offset), label, "partition {partition}, offset {offset}");
    }
    assert_eq!(account.duplicates, 0);
    assert_eq!(account.counts()["completed"], candidate.asked());
    replayer.stop().await;

    let replayer = bench.replayer("kinds-1");
    bench.heartbeat("kinds-1", |s| s.state == State::Running).await;
    let again = bench.outcomes().await;
    assert_eq!((again.duplicates, candidate.asked()), (0, account.counts()["completed"]));
    replayer.stop().await;
}

/// Leaves an offset without a record, as transactions and compaction do, and gives it.
async fn append_gap(bench: &mut Bench) -> i64 {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let exchange = encode(&bench.exchange("GET", "/in-transaction"));
    let topic = topics::captured(&bench.service);
    let brokers = bench.kafka.brokers.clone();
    let written = tokio::task::spawn_blocking(move || {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("transactional.id", "gap");
        let producer: BaseProducer = config.create().unwrap();
        let patience = std::time::Duration::from_secs(30);
        producer.init_transactions(patience).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), _>::to(&topic).partition(0).payload(&exchange[..])).unwrap();
        producer.commit_transaction(patience)
    });
    written.await.unwrap().unwrap();
    // The record and its marker; the broker writes the marker after it has answered.
    let gap = bench.ends[&0] + 1;
    let (admin, captured) = (Admin::new(&bench.kafka).unwrap(), topics::captured(&bench.service));
    while admin.watermarks(&captured, 0).await.unwrap().1 <= gap {
        tokio::task::yield_now().await;
    }
    gap
}

async fn a_launch_begins_at_its_start_offsets(brokers: &str) {
    let mut bench = Bench::new(brokers, "starts", 1).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.capture_requests(10).await;
    let mut launch = bench.launch(&candidate);
    launch.start = [(0, 7)].into();
    bench.put(launch).await;
    let replayer = bench.replayer("starts-1");
    candidate.asked_at_least(3).await;
    bench.heartbeat("starts-1", |s| s.counters.get("completed") == Some(&3)).await;
    replayer.stop().await;
    assert_eq!(candidate.asked(), 3);
}

async fn nothing_is_sent_while_paused(brokers: &str) {
    let mut bench = Bench::new(brokers, "pauses", 2).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.put(bench.launch(&candidate)).await;
    let replayer = bench.replayer("pauses-1");
    bench.capture_requests(20).await;
    candidate.asked_at_least(20).await;

    let version = bench.pause_all(true).await;
    let paused = bench.acknowledged("pauses-1", version, State::Paused).await;
    let heard = paused.heard_at.expect("it says when it heard");
    assert!(paused.last_send_at.unwrap() <= heard);
    let asked = candidate.asked();
    bench.capture_requests(100).await;
    let later = bench.heartbeat("pauses-1", |s| s.sequence > paused.sequence + 4).await;
    assert_eq!((later.last_send_at, candidate.asked()), (paused.last_send_at, asked));

    // A pause holds across a restart.
    replayer.stop().await;
    let replayer = bench.replayer("pauses-1");
    let restarted = bench.heartbeat("pauses-1", |s| s.epoch > paused.epoch && s.state == State::Paused).await;
    bench.heartbeat("pauses-1", |s| s.epoch == restarted.epoch && s.sequence > restarted.sequence + 4).await;
    assert_eq!(candidate.asked(), asked);

    bench.pause_all(false).await;
    let account = bench.outcomes().await;
    assert_eq!((account.duplicates, account.counts()["completed"], candidate.asked()), (0, 120, 120));
    replayer.stop().await;
}

async fn requests_in_flight_are_killed_by_a_pause(brokers: &str) {
    let mut bench = Bench::new(brokers, "kills", 1).await;
    let candidate = Candidate::start(Answers::Held).await;
    let mut launch = bench.launch(&candidate);
    launch.limits.max_in_flight = 5;
    bench.put(launch.clone()).await;
    let replayer = bench.replayer("kills-1");
    bench.capture_requests(8).await;
    candidate.asked_at_least(5).await;
    launch.status = LaunchStatus::Paused;
    let version = bench.put(launch.clone()).await;
    bench.acknowledged("kills-1", version, State::Paused).await;
    bench.heartbeat("kills-1", |s| s.counters.get("failed_killed") == Some(&5)).await;
    launch.status = LaunchStatus::Active;
    bench.put(launch).await;
    candidate.asked_at_least(8).await;
    candidate.let_go();
    let account = bench.outcomes().await;
    assert_eq!(account.counts(), [("completed", 3), ("killed", 5)].into());
    replayer.stop().await;
}

async fn a_pause_by_the_admin_endpoint_survives_a_restart(brokers: &str) {
    let mut bench = Bench::new(brokers, "admin", 1).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.put(bench.launch(&candidate)).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let replayer = bench.replayer_with("admin-1", |config| config.admin.listen = free);
    let running = bench.heartbeat("admin-1", |s| s.state == State::Running).await;
    let client = reqwest::Client::new();
    let post = async |path: &str| {
        let answer = client.post(format!("http://{free}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    };
    post("/pause").await;
    bench.capture_requests(5).await;
    // The control topic brings the pause back, so by then it has been written.
    bench.heartbeat("admin-1", |s| s.state == State::Paused && s.control_version > running.control_version).await;
    replayer.stop().await;

    let replayer = bench.replayer_with("admin-1", |config| config.admin.listen = free);
    let paused = bench.heartbeat("admin-1", |s| s.epoch > running.epoch && s.state == State::Paused).await;
    bench.heartbeat("admin-1", |s| s.sequence > paused.sequence + 4 && s.state == State::Paused).await;
    assert_eq!(candidate.asked(), 0);
    post("/resume").await;
    assert_eq!(bench.outcomes().await.counts(), [("completed", 5)].into());
    replayer.stop().await;
}

async fn withdrawn_isolation_stops_what_was_admitted(brokers: &str) {
    let mut bench = Bench::new(brokers, "withdraws", 1).await;
    let candidate = Candidate::start(Answers::Held).await;
    let mut launch = bench.launch(&candidate);
    launch.isolation = Some("own database".to_owned());
    launch.limits.max_in_flight = 1;
    for _ in 0..5 {
        let exchange = encode(&bench.exchange("POST", "/items/1"));
        bench.capture(0, &exchange).await;
    }
    bench.put(launch.clone()).await;
    let replayer = bench.replayer("withdraws-1");
    candidate.asked_at_least(1).await;
    launch.isolation = None;
    let version = bench.put(launch).await;
    bench.acknowledged("withdraws-1", version, State::Running).await;
    candidate.let_go();
    assert_eq!(bench.outcomes().await.counts(), [("completed", 1), ("unsafe_method", 4)].into());
    assert_eq!(candidate.asked(), 1);
    replayer.stop().await;
}

async fn it_stops_soon_at_any_moment(brokers: &str) {
    let mut bench = Bench::new(brokers, "stops", 2).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.put(bench.launch(&candidate)).await;
    bench.rate(Some(100.0)).await;
    bench.replayer("stops-0").stop().await;
    for n in 1..=6 {
        let instance = format!("stops-{n}");
        let replayer = bench.replayer(&instance);
        match n % 3 {
            0 => drop(bench.heartbeat(&instance, |_| true).await),
            1 => drop(bench.heartbeat(&instance, |s| s.state == State::Running).await),
            _ => {
                let asked = candidate.asked();
                bench.capture_requests(20).await;
                candidate.asked_at_least(asked + 5).await;
            }
        }
        replayer.stop().await;
    }
    let last = bench.replayer("stops-last");
    let account = bench.outcomes().await;
    assert_eq!((account.duplicates, account.counts()["completed"], candidate.asked()), (0, 40, 40));
    last.stop().await;
}

async fn the_work_moves_with_its_partitions(brokers: &str) {
    let mut bench = Bench::new(brokers, "moves", 4).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.put(bench.launch(&candidate)).await;
    bench.rate(Some(100.0)).await;
    bench.capture_requests(400).await;
    let first = bench.replayer("moves-1");
    candidate.asked_at_least(50).await;
    let second = bench.replayer("moves-2");
    bench.heartbeat("moves-2", |s| s.counters.get("completed").is_some_and(|n| *n >= 20)).await;
    first.stop().await;
    bench.rate(None).await;
    let account = bench.outcomes().await;
    assert_eq!((account.duplicates, account.counts()["completed"], candidate.asked()), (0, 400, 400));
    second.stop().await;
}

async fn a_production_target_is_refused_before_anything_is_consumed(brokers: &str) {
    let mut bench = Bench::new(brokers, "refused", 1).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    let upstream = ControlRecord::Upstream(Upstream {
        service: bench.service.clone(),
        instance: "a1".to_owned(),
        addresses: vec![candidate.address.to_string()],
        change: Change::by("a1", ""),
    });
    bench.control.put(&upstream).await.unwrap();
    bench.capture_requests(3).await;
    bench.put(bench.launch(&candidate)).await;
    let replayer = bench.replayer("refused-1");
    let shut = bench.heartbeat("refused-1", |s| s.state == State::Paused).await;
    bench.heartbeat("refused-1", |s| s.counters.get("target_refused").is_some_and(|tries| *tries >= 2)).await;
    let replayed = topics::replayed(&bench.service, &bench.launch);
    assert_eq!(Admin::new(&bench.kafka).unwrap().partitions(&replayed).await.unwrap(), None);
    assert_eq!(candidate.asked(), 0);

    bench.control.delete(&upstream.key()).await.unwrap();
    assert_eq!(bench.outcomes().await.counts()["completed"], 3);
    bench.control.put(&upstream).await.unwrap();
    bench.heartbeat("refused-1", |s| s.sequence > shut.sequence && s.state == State::Paused).await;
    replayer.stop().await;
}

async fn a_target_outside_of_the_operators_limit_is_refused_whatever_the_launch_allows(brokers: &str) {
    let mut bench = Bench::new(brokers, "outside", 1).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.capture_requests(3).await;
    let mut launch = bench.launch(&candidate);
    launch.allow = vec![candidate.address.to_string()];
    bench.put(launch).await;
    let limited = |to: String| move |config: &mut Config| config.replay.allow = vec![to.parse().unwrap()];
    let replayer = bench.replayer_with("outside-1", limited("192.0.2.0/24".to_owned()));
    bench.heartbeat("outside-1", |s| s.state == State::Paused).await;
    bench.heartbeat("outside-1", |s| s.counters.get("target_refused").is_some_and(|tries| *tries >= 2)).await;
    let replayed = topics::replayed(&bench.service, &bench.launch);
    assert_eq!(Admin::new(&bench.kafka).unwrap().partitions(&replayed).await.unwrap(), None);
    assert_eq!(candidate.asked(), 0);
    replayer.stop().await;

    let replayer = bench.replayer_with("outside-2", limited(candidate.address.to_string()));
    assert_eq!(bench.outcomes().await.counts()["completed"], 3);
    replayer.stop().await;
}

async fn a_full_window_stops_reading_and_goes_on(brokers: &str) {
    let mut bench = Bench::new(brokers, "windows", 2).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    let mut launch = bench.launch(&candidate);
    launch.sample = 0.5;
    bench.put(launch).await;
    bench.capture_requests(1000).await;
    let replayer = bench.replayer_with("windows-1", |config| config.replay.window_records = 8);
    let account = bench.outcomes().await;
    let counts = account.counts();
    assert_eq!((account.duplicates, counts["completed"] + counts[bench::SAMPLED_OUT]), (0, 1000));
    assert!((350..650).contains(&counts["completed"]), "{counts:?}");
    assert_eq!(account.attempts.len(), candidate.asked());
    replayer.stop().await;
}

async fn what_retention_took_is_accounted_for(brokers: &str) {
    let mut bench = Bench::new(brokers, "expires", 1).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.capture_requests(20).await;
    bench.delete_before(0, 8).await;
    bench.put(bench.launch(&candidate)).await;
    let replayer = bench.replayer("expires-1");
    let account = bench.outcomes().await;
    assert_eq!(account.counts(), [("completed", 12), ("expired", 8)].into());
    assert_eq!((account.label(0, 7), account.label(0, 8)), ("expired", "completed"));
    replayer.stop().await;
}

async fn a_changed_candidate_goes_on_where_the_other_stopped(brokers: &str) {
    let mut bench = Bench::new(brokers, "changes", 2).await;
    let (before, after) = (Candidate::start(Answers::AtOnce).await, Candidate::start(Answers::AtOnce).await);
    bench.put(bench.launch(&before)).await;
    let replayer = bench.replayer("changes-1");
    bench.capture_requests(20).await;
    before.asked_at_least(20).await;
    bench.put(bench.launch(&after)).await;
    bench.heartbeat("changes-1", |s| s.state == State::Stopped).await;
    bench.capture_requests(10).await;
    let account = bench.outcomes().await;
    assert_eq!((account.duplicates, before.asked(), after.asked()), (0, 20, 10));
    replayer.stop().await;
}

async fn a_replayed_topic_of_another_shape_is_refused(brokers: &str) {
    let mut bench = Bench::new(brokers, "shapes", 2).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    let replayed = topics::replayed(&bench.service, &bench.launch);
    Admin::new(&bench.kafka).unwrap().ensure_topic(&TopicSpec::deleting(replayed, 3)).await.unwrap();
    bench.capture_requests(2).await;
    bench.put(bench.launch(&candidate)).await;
    let replayer = bench.replayer("shapes-1");
    bench.heartbeat("shapes-1", |s| s.counters.get("launch_errors").is_some_and(|tries| *tries >= 2)).await;
    assert_eq!(candidate.asked(), 0);
    replayer.stop().await;
}
