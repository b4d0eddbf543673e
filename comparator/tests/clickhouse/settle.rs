//! Outbound calls in the rows of their exchanges, from topics to ClickHouse.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shadow_kafka::{Admin, KafkaError, TopicSpec};
use shadow_record::{
    Body, ControlAnswer, CorrelatedBy, Decision, Outcome, ReplayedExchange, Request, Side, SideEffect, SkipReason,
    Timestamp, encode, topics,
};
use shadow_runtime::units::HumanDuration;

use crate::pipeline::{Line, ONE_AT_A_TIME, until};
use crate::running::Running;
use crate::stack::Place;
use crate::support::{NOON, answer, captured, id, replayed};

/// What serving a request took.
const TOOK: i64 = 100_000;

/// When request `n` was captured: one each minute.
fn captured_at(n: i64) -> i64 {
    NOON + n * 60_000_000
}

/// An hour later.
fn sent_at(n: i64) -> i64 {
    captured_at(n) + 3_600_000_000
}

/// A charge for request `n`, as the primary makes it. Each request has a route of its own, so that none excuses another.
fn charge(n: i64, amount: i64) -> SideEffect {
    let body = format!(r#"{{"amount":{amount}}}"#);
    let (destination, route) = ("api.pay.example".to_owned(), format!("/v1/charges/of{n}"));
    SideEffect {
        service: "any".parse().unwrap(),
        side: Side::Primary,
        instance: "agent-1".to_owned(),
        epoch: 5,
        sequence: n,
        at: Timestamp(captured_at(n) + 1_000),
        total_us: 900,
        request_id: Some(id(n)),
        launch: None,
        attempt: 0,
        correlated_by: CorrelatedBy::Trace,
        trace_id: None,
        destination: destination.clone(),
        route: route.clone(),
        rule: None,
        decision: Decision::Forwarded,
        fault: None,
        request: Request {
            method: "POST".to_owned(),
            scheme: "https".to_owned(),
            authority: destination,
            path: route,
            query: None,
            headers: Vec::new(),
            body: Body { length: body.len() as i64, content: Some(body.into()), digest: Bytes::new(), withheld: None },
        },
        response: None,
        ruleset: "r1".to_owned(),
        key_id: "k1".to_owned(),
        send: None,
    }
}

/// The line of one service with outbound calls.
struct Calls {
    line: Line,
    /// Calls published so far.
    recorded: AtomicI64,
}

impl Calls {
    async fn lay(place: &Place, name: &str) -> Self {
        let line = Line::lay(place, name, 1).await;
        let admin = Admin::new(&line.kafka).unwrap();
        admin.ensure_topic(&TopicSpec::deleting(topics::effects(&line.launch.service), 3)).await.unwrap();
        Self { line, recorded: AtomicI64::new(0) }
    }

    fn start(&self, place: &Place, instance: &str, settle: Duration) -> Running {
        let mut config = self.line.config(place, instance);
        config.comparator.effects_settle = HumanDuration::from_millis(settle.as_millis() as u64);
        Running::of(config)
    }

    /// Publishes a call, to the partition of its request.
    fn call(&self, mut effect: SideEffect) {
        effect.service = self.line.launch.service.clone();
        let partition = (effect.sequence % 3) as i32;
        effect.sequence = self.recorded.fetch_add(1, Ordering::Relaxed);
        self.line.publish(&topics::effects(&self.line.launch.service), partition, &encode(&effect));
    }

    /// The call as this launch's candidate makes it for the send `n`.
    fn of_candidate(&self, n: i64, effect: SideEffect) -> SideEffect {
        SideEffect {
            side: Side::Candidate,
            instance: "stub-1".to_owned(),
            launch: Some(self.line.launch.name.clone()),
            at: Timestamp(effect.at.micros() - captured_at(n) + sent_at(n)),
            send: Some(n),
            decision: Decision::Answered,
            ..effect
        }
    }

    /// Publishes both records of request `n`, which has the offset `n`.
    fn exchange(&self, n: i64, recorded: bool, change: impl FnOnce(&mut ReplayedExchange)) {
        let Line { launch, .. } = &self.line;
        let mut record = captured(n, "POST /checkout", answer(200, "{}"));
        (record.captured_at, record.total_us, record.effects_recorded) = (Timestamp(captured_at(n)), TOOK, recorded);
        self.line.publish(&topics::captured(&launch.service), 0, &encode(&record));
        let mut outcome = replayed(launch.name.as_str(), 0, n, n, Outcome::Completed(answer(200, "{}")));
        (outcome.sent_at, outcome.total_us) = (Some(Timestamp(sent_at(n))), Some(TOOK));
        outcome.low_watermark = n;
        change(&mut outcome);
        self.line.publish(&topics::replayed(&launch.service, &launch.name), 0, &encode(&outcome));
    }

    fn same_of_both(&self, n: i64) {
        self.call(charge(n, 5));
        self.call(self.of_candidate(n, charge(n, 5)));
    }

    /// Lets the next comparator begin at the launch's start.
    async fn read_again(&self) {
        let group = topics::comparator_group(&self.line.launch.name);
        let mut polls = tokio::time::interval(Duration::from_millis(100));
        // The group empties a moment after its last member died.
        for _ in 0..600 {
            polls.tick().await;
            match Admin::new(&self.line.kafka).unwrap().delete_group(&group).await {
                Ok(()) => return,
                // A broker that has just begun looks for the group's coordinator first.
                Err(KafkaError::GroupInUse(_) | KafkaError::Delete { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the group keeps its members");
    }
}

/// Everything that is said of calls, by exchange.
const SAID: &str = "SELECT captured_offset, result, effects_result, effects_reason, primary_effects, candidate_effects, control_effects, \
    arrayStringConcat(arrayMap((p, k, t) -> concat(p, ' ', k, ' ', t), differences.place, differences.kind::Array(String), differences.transition), ';'), \
    arrayStringConcat(control.place, ';') FROM exchanges FINAL ORDER BY captured_offset";

fn stored(count: i64) -> String {
    format!("SELECT count() = {count} FROM exchanges FINAL")
}

pub(crate) async fn an_exchange_says_how_its_calls_compare(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let calls = Calls::lay(&place, "settling").await;
    let settle = Duration::from_secs(4);
    let running = calls.start(&place, "c1", settle);
    let candidate = |n: i64, amount: i64| calls.call(calls.of_candidate(n, charge(n, amount)));
    let to_control = |n: i64| {
        move |outcome: &mut ReplayedExchange| {
            let (sent_at, answer) = (Timestamp(sent_at(n)), Ok(answer(200, "{}")));
            outcome.control = Some(ControlAnswer { sent_at, first_byte_us: None, total_us: Some(TOOK), answer });
        }
    };
    let control = |n: i64, amount: i64| {
        calls.call(SideEffect { side: Side::Control, ..calls.of_candidate(n, charge(n, amount)) });
    };
    let untold = |n: i64| {
        let call = calls.of_candidate(n, charge(n, 5));
        calls.call(SideEffect {
            request_id: None,
            launch: None,
            send: None,
            correlated_by: CorrelatedBy::None,
            ..call
        });
    };
    // Before the exchange, in the order of partitions; after it; and none.
    calls.same_of_both(0);
    calls.exchange(0, true, |_| {});
    calls.exchange(1, true, |_| {});
    calls.same_of_both(1);
    calls.exchange(2, true, |_| {});
    // Twice, another amount, none.
    calls.exchange(3, true, |_| {});
    calls.same_of_both(3);
    candidate(3, 5);
    calls.exchange(4, true, |_| {});
    calls.call(charge(4, 5));
    candidate(4, 6);
    calls.exchange(5, true, |_| {});
    calls.call(charge(5, 5));
    // An earlier send, whose outcome was lost, made the call too.
    calls.exchange(6, true, |_| {});
    calls.same_of_both(6);
    calls.call(SideEffect { send: Some(600), ..calls.of_candidate(6, charge(6, 5)) });
    // Not recorded.
    calls.exchange(7, false, |_| {});
    calls.same_of_both(7);
    // Did not tell, among others and alone.
    calls.exchange(8, true, |_| {});
    calls.call(charge(8, 5));
    untold(8);
    calls.exchange(9, true, |outcome| outcome.alone = true);
    calls.call(charge(9, 5));
    untold(9);
    // The control charges as the candidate does, and only the control otherwise.
    calls.exchange(10, true, to_control(10));
    calls.same_of_both(10);
    candidate(10, 5);
    control(10, 5);
    control(10, 5);
    calls.exchange(11, true, to_control(11));
    calls.same_of_both(11);
    control(11, 7);
    // Only recorded.
    calls.exchange(12, true, |outcome| {
        outcome.outcome = Outcome::Skipped(SkipReason::RecordOnly);
        (outcome.sent_at, outcome.total_us, outcome.send) = (None, None, None);
    });
    calls.call(charge(12, 5));
    // A dry run that keeps still, and one that does not.
    calls.exchange(13, true, |outcome| outcome.rewritten = vec!["dry_run".to_owned()]);
    calls.call(charge(13, 5));
    // Mail: nothing of the primary's to compare it with.
    calls.exchange(14, true, |_| {});
    let mut mail = calls.of_candidate(14, charge(14, 0));
    mail.request.method = "MAIL".to_owned();
    calls.call(mail);

    until(&place, &stored(15), "1").await;
    let of = |n: i64, rest: &str| format!("effects POST api.pay.example/v1/charges/of{n}{rest}");
    let wanted = [
        "0\tmatched\tmatched\t\t1\t1\t0\t\t".to_owned(),
        "1\tmatched\tmatched\t\t1\t1\t0\t\t".to_owned(),
        "2\tmatched\t\t\t0\t0\t0\t\t".to_owned(),
        format!("3\tdiffering\tdiffering\t\t1\t2\t0\t{} added 1->2\t", of(3, "")),
        format!("4\tdiffering\tdiffering\t\t1\t1\t0\t{} value changed\t", of(4, " $.amount")),
        format!("5\tdiffering\tdiffering\t\t1\t0\t0\t{} missing 1->0\t", of(5, "")),
        "6\tmatched\tmatched\t\t1\t1\t0\t\t".to_owned(),
        "7\tmatched\tincomparable\tnot_recorded\t1\t1\t0\t\t".to_owned(),
        "8\tmatched\tincomparable\tuncorrelated\t1\t0\t0\t\t".to_owned(),
        "9\tmatched\tmatched\t\t1\t1\t0\t\t".to_owned(),
        format!("10\tdiffering\tdiffering\t\t1\t2\t2\t{} added 1->2\t{}", of(10, ""), of(10, "")),
        format!("11\tmatched\tmatched\t\t1\t1\t1\t\t{}", of(11, " $.amount")),
        "12\t\t\t\t1\t0\t0\t\t".to_owned(),
        "13\tmatched\t\t\t1\t0\t0\t\t".to_owned(),
        "14\tmatched\t\t\t0\t1\t0\t\t".to_owned(),
    ];
    let said = place.query(SAID).await;
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
    // Counted as the rows say it, calls included, once they are there.
    let counts = [
        r#"outcome="completed",result="differing"} 4"#,
        r#"outcome="completed",result="matched"} 10"#,
        r#"outcome="skipped",result=""} 1"#,
    ];
    running.until_counted(&counts).await;
    running.stop().await;

    // What comes after the window is too late, also for whoever reads everything again.
    candidate(5, 5);
    candidate(0, 5);
    calls.read_again().await;
    place.query("TRUNCATE TABLE exchanges").await;
    let again = calls.start(&place, "c2", settle);
    until(&place, &stored(15), "1").await;
    assert_eq!(place.query(SAID).await.lines().collect::<Vec<_>>(), wanted);
    again.stop().await;
    calls.line.lift().await;
}

pub(crate) async fn dying_while_calls_settle_changes_no_row(place: Place) {
    const EXCHANGES: i64 = 600;
    let _alone = ONE_AT_A_TIME.lock().await;
    let calls = Calls::lay(&place, "unsettled").await;
    let settle = Duration::from_millis(1_500);
    let publish = |from: i64, to: i64| {
        for n in from..to {
            calls.exchange(n, true, |_| {});
            calls.same_of_both(n);
            match n % 10 {
                3 => calls.call(calls.of_candidate(n, charge(n, 5))),
                7 => calls.call(SideEffect { send: Some(-n), ..calls.of_candidate(n, charge(n, 5)) }),
                _ => {}
            }
        }
    };
    for life in 0..4 {
        publish(EXCHANGES * life / 4, EXCHANGES * (life + 1) / 4);
        let running = calls.start(&place, &format!("c{life}"), settle);
        // It dies while some rows are stored and others wait for their calls.
        let some = format!("SELECT count() > {} FROM exchanges FINAL", EXCHANGES * life / 4);
        until(&place, &some, "1").await;
        running.die().await;
    }
    let running = calls.start(&place, "last", settle);
    until(&place, &stored(EXCHANGES), "1").await;
    until(&place, "SELECT captured, pending, balanced FROM ledger_launch WHERE launch = 'unsettled'", "600\t0\t1")
        .await;
    running.stop().await;
    let tally = "SELECT result, effects_result, primary_effects, candidate_effects, count() FROM exchanges FINAL GROUP BY ALL ORDER BY ALL";
    assert_eq!(place.query(tally).await, "differing\tdiffering\t1\t2\t60\nmatched\tmatched\t1\t1\t540\n");
    // From the start again, under the same topics: the same rows.
    let rows = place.query(SAID).await;
    place.query("TRUNCATE TABLE exchanges").await;
    calls.read_again().await;
    let again = calls.start(&place, "again", settle);
    until(&place, &stored(EXCHANGES), "1").await;
    assert_eq!(place.query(SAID).await, rows);
    again.stop().await;
    calls.line.lift().await;
}

pub(crate) async fn a_service_without_calls_waits_for_none(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let calls = Calls { line: Line::lay(&place, "silent", 1).await, recorded: AtomicI64::new(0) };
    let running = calls.start(&place, "c1", Duration::from_secs(300));
    calls.exchange(0, true, |_| {});
    // This is less patient than the window.
    until(&place, SAID, "0\tmatched\t\t\t0\t0\t0\t\t".trim()).await;
    running.stop().await;
    calls.line.lift().await;
}

pub(crate) async fn a_stop_stores_what_has_no_calls_to_wait_for(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let calls = Calls { line: Line::lay(&place, "quiet", 1).await, recorded: AtomicI64::new(0) };
    let mut config = calls.line.config(&place, "quiet-1");
    // No batch is stored before the stop.
    config.comparator.flush = HumanDuration::from_millis(600_000);
    let running = Running::of(config);
    calls.exchange(0, true, |_| {});
    let settled =
        "SELECT counters['settled'] FROM instance_status FINAL WHERE instance = 'quiet-1' AND role = 'comparator'";
    until(&place, settled, "1").await;
    running.stop().await;
    assert_eq!(place.query(&stored(1)).await, "1\n");
    calls.line.lift().await;
}

pub(crate) async fn a_stop_waits_for_no_calls_and_loses_nothing(place: Place) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let calls = Calls::lay(&place, "stopped").await;
    calls.exchange(0, true, |_| {});
    calls.same_of_both(0);
    let running = calls.start(&place, "stopped-1", Duration::from_secs(300));
    let settled =
        "SELECT counters['settled'] FROM instance_status FINAL WHERE instance = 'stopped-1' AND role = 'comparator'";
    until(&place, settled, "1").await;
    assert_eq!(running.counted().await, [""; 0], "what waits for its calls will be read again");
    let ended = tokio::time::timeout(Duration::from_secs(60), running.stop()).await;
    ended.expect("stopped before the window passed");
    assert_eq!(place.query(&stored(0)).await, "1\n", "nothing is stored before it has settled");
    let running = calls.start(&place, "c2", Duration::from_secs(2));
    until(&place, "SELECT effects_result FROM exchanges FINAL", "matched").await;
    running.stop().await;
    calls.line.lift().await;
}

/// Prints how fast a backlog is compared with its calls and without.
#[allow(clippy::print_stdout, reason = "figures for whoever runs it by hand")]
pub(crate) async fn what_catching_up_with_calls_takes(place: Place) {
    const EXCHANGES: i64 = 40_000;
    let _alone = ONE_AT_A_TIME.lock().await;
    let calls = Calls::lay(&place, "backlog").await;
    for n in 0..EXCHANGES {
        calls.exchange(n, true, |_| {});
        calls.same_of_both(n);
        // The producer's queue is bounded.
        if n % 2_000 == 0 {
            calls.line.flush().await;
        }
    }
    calls.line.flush().await;
    for (what, settle) in [("first", 5), ("with calls", 5), ("without", 0), ("with calls", 5), ("without", 0)] {
        place.query("TRUNCATE TABLE exchanges").await;
        calls.read_again().await;
        let begun = std::time::Instant::now();
        let mut config = calls.line.config(&place, what.split(' ').next().unwrap());
        config.comparator.batch_rows = 1_000;
        config.comparator.effects_settle = HumanDuration::from_millis(settle * 1_000);
        let running = Running::of(config);
        until(&place, &stored(EXCHANGES), "1").await;
        let took = begun.elapsed();
        println!("{what}: {EXCHANGES} exchanges, {} batches in {:.1} s", EXCHANGES / 1_000, took.as_secs_f64());
        running.stop().await;
    }
    assert_eq!(place.query("SELECT DISTINCT effects_result FROM exchanges FINAL").await, "\n");
    calls.line.lift().await;
}
