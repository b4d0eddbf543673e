//! Members of a launch's group join, leave and are killed (-9), and the broker is killed under them: every captured offset is
//! covered exactly once, and the requests of every session left one after the other.
//!
//! By default a quarter of a minute with something every other second; `SHADOW_TEST_MINUTES=5` for that long with something every ten.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "../support.rs"]
mod support;

use std::time::{Duration, Instant};

use axum::extract::Path;
use axum::{Json, Router, routing::any};
use serde_json::json;
use shadow_record::LaunchName;
use support::{Rig, Service, sql, until};
use tokio::time::{MissedTickBehavior, interval};

/// Requests a second while members come and go; as many are captured as that makes.
const RATE: f64 = 200.0;
/// They take turns, over four partitions. No divisor is shared with the kinds of requests, so each has some that are sent.
const SESSIONS: i64 = 61;
/// Something happens to the broker every so many times.
const BROKER_EVERY: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_cover_every_offset_once_and_keep_sessions_in_order() {
    let minutes = std::env::var("SHADOW_TEST_MINUTES").ok().map(|minutes| minutes.parse::<u64>().expect("minutes"));
    let (lasts, every) = match minutes {
        Some(minutes) => (Duration::from_secs(60 * minutes), Duration::from_secs(10)),
        None => (Duration::from_secs(16), Duration::from_secs(2)),
    };
    let records = (lasts.as_secs_f64() * RATE) as i64;
    let mut rig = Rig::start().await;
    let candidate = candidate().await;
    rig.traffic.write_sessions(records, SESSIONS).await;
    rig.rate(Some(RATE)).await;
    let launch = rig.launch("shaken", |launch| launch.candidate = candidate.parse().unwrap()).await;
    let comparator = tolerant(rig.comparator("c1"));
    let mut members = Members { running: vec![], started: 0 };
    members.join(&rig);
    members.join(&rig);

    let began = Instant::now();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let (mut step, mut rebalances, mut kills, mut of_broker) = (0, 0, 0, 0);
    while began.elapsed() < lasts || of_broker == 0 {
        progress(&rig, &launch, records, &members).await;
        ticks.tick().await;
        step += 1;
        if step % BROKER_EVERY == 0 {
            rig.stack.kafka().restart().await.expect("the broker starts again on its data");
            of_broker += 1;
            continue;
        }
        match step % BROKER_EVERY {
            1 => members.join(&rig),
            2 => {
                members.running[0].kill();
                members.running[0].restart();
                kills += 1;
            }
            _ => drop(members.running.remove(0).stop()),
        }
        rebalances += 1;
    }
    rig.rate(None).await;
    rig.settled(&launch, records).await;
    let took = began.elapsed().as_secs();
    members.running.into_iter().for_each(|member| drop(member.stop()));
    comparator.stop();

    assert_eq!(rig.claims(&launch).await, (records, 1));
    let balanced = format!("SELECT countIf(NOT balanced) FROM shadow.ledger_launch WHERE launch = '{launch}'");
    assert_eq!(rig.number(&balanced).await, 0);
    let order = order(&rig, &launch).await;
    let outcomes = format!(
        "SELECT outcome, reason, count() FROM shadow.exchanges FINAL WHERE launch = '{launch}' GROUP BY ALL ORDER BY ALL"
    );
    let outcomes = sql(&rig.stack, &outcomes).await;
    println!(
        "{took} s, {rebalances} rebalances ({kills} members killed), the broker killed {of_broker} times: {records} offsets \
         covered exactly once; {} requests of {} sessions, {} out of order\n{}",
        order.sent, order.sessions, order.wrong, outcomes
    );
    assert_eq!((order.sessions, order.wrong), (SESSIONS, 0));
    assert!(kills > 0 && of_broker > 0, "nothing was shaken");
    assert!(order.sent > records / 2, "most requests were sent");
    rig.stack.stop().await;
}

/// The replayers of the group.
struct Members {
    running: Vec<Service>,
    started: usize,
}

impl Members {
    fn join(&mut self, rig: &Rig) {
        self.started += 1;
        self.running.push(tolerant(rig.replayer(&format!("r{}", self.started))));
    }
}

/// A service may complain about a broker that is gone.
fn tolerant(service: Service) -> Service {
    service.expecting("\"WARN\"").expecting("launch does not run").expecting("Kafka").expecting("kafka")
}

/// How the requests of the sessions left, by the outcomes that count.
struct Sequence {
    sent: i64,
    sessions: i64,
    wrong: i64,
}

/// A request is out of order when it left before the one before it in its session, or before that was answered.
async fn order(rig: &Rig, launch: &LaunchName) -> Sequence {
    let rows = format!(
        "SELECT partition, session, captured_offset, assumeNotNull(sent_at) AS sent,
                sent + toIntervalMicrosecond(ifNull(candidate_us, 0)) AS ended
         FROM shadow.exchanges FINAL WHERE launch = '{launch}' AND sent_at IS NOT NULL"
    );
    let before =
        "OVER (PARTITION BY partition, session ORDER BY captured_offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
    let query = format!(
        "SELECT count(), uniq(partition, session), countIf(sent < ended_before)
         FROM (SELECT partition, session, sent, lagInFrame(ended) {before} AS ended_before FROM ({rows}))"
    );
    let text = sql(&rig.stack, &query).await;
    let numbers: Vec<i64> = text.trim().split('\t').map(|number| number.parse().expect("a count")).collect();
    let [sent, sessions, wrong] = numbers[..] else { panic!("{text:?}") };
    Sequence { sent, sessions, wrong }
}

/// Waits until some more rows are stored, or nearly all are, so that whatever happens next hits a running stream.
async fn progress(rig: &Rig, launch: &LaunchName, records: i64, members: &Members) {
    let query = format!("SELECT count() FROM shadow.exchanges FINAL WHERE launch = '{launch}'");
    let before = rig.number(&query).await;
    let more = until("more rows", || async {
        (rig.number(&query).await >= (before + 50).min(records * 9 / 10)).then_some(())
    });
    if tokio::time::timeout(Duration::from_secs(60), more).await.is_err() {
        members.running.iter().for_each(|member| println!("{}", member.tail()));
        panic!("the stream stands still after {before} rows");
    }
}

/// Takes a few milliseconds for each answer, so that requests of many sessions are in flight whenever something happens.
async fn candidate() -> String {
    let answer = |Path(id): Path<i64>| async move {
        tokio::time::sleep(Duration::from_millis(2 + id.unsigned_abs() % 19)).await;
        Json(json!({"id": id, "total": id * 3}))
    };
    let app = Router::new().route("/orders/{id}", any(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}
