//! The control leg on a real broker: who is asked, and that nothing the control does changes the candidate's outcome.

use std::collections::BTreeSet;

use shadow_control::{Control, Launch, LaunchStatus, Leg, Mark};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::{ControlAnswer, FailureClass, Outcome, RouteTable, State};
use url::Url;

use crate::bench::{Answers, Bench, Candidate};

fn with_control(bench: &Bench, candidate: &Candidate, url: Url, sample: f64) -> Launch {
    Launch { control: Some(Control { url, sample }), ..bench.launch(candidate) }
}

fn failure(control: &ControlAnswer) -> Option<FailureClass> {
    control.answer.as_ref().err().copied()
}

pub(crate) async fn the_control_is_asked_for_its_sample_and_beside_the_candidate(brokers: &str) {
    let mut bench = Bench::new(brokers, "sampled", 2).await;
    let (candidate, control) = (Candidate::start(Answers::AtOnce).await, Candidate::start(Answers::AtOnce).await);
    let mut launch = with_control(&bench, &candidate, control.url(), 0.3);
    // So that there is a place for each of the sample.
    launch.limits.max_in_flight = 1000;
    bench.put(launch.clone()).await;
    bench.capture_requests(200).await;
    let replayer = bench.replayer("sampled-1");
    let account = bench.outcomes().await;
    replayer.stop().await;

    assert_eq!((account.counts()["completed"], candidate.asked()), (200, 200));
    let (mut asked, mut chosen, mut control_first) = (BTreeSet::new(), BTreeSet::new(), 0);
    for record in &account.records {
        let id = record.request_id.unwrap();
        chosen.extend(launch.control_of(&id, &[]).map(|_| id));
        let Some(answered) = &record.control else { continue };
        asked.insert(id);
        assert!(answered.total_us.is_some());
        control_first += usize::from(answered.sent_at < record.sent_at.unwrap());
        let Outcome::Completed(of_candidate) = &record.outcome else { panic!("{:?}", record.outcome) };
        assert_eq!(answered.answer.as_ref().unwrap().body, of_candidate.body, "both are masked under one key");
    }
    assert_eq!((&asked, asked.len()), (&chosen, control.asked()));
    assert!((30..=90).contains(&asked.len()), "{} of 200 at a share of 0.3", asked.len());
    assert!((1..asked.len()).contains(&control_first), "{control_first} of {} left first", asked.len());

    let key = MaskKey::parse(&"k".repeat(32)).unwrap();
    let masker = Masker::new(key, Ruleset::default(), RouteTable::default());
    let legs = |marks: Vec<String>| -> Vec<Leg> {
        marks.iter().map(|mark| Mark::verify(mark, |body| masker.mark_tag(body)).expect("a signed mark").leg).collect()
    };
    assert!(legs(control.marks()).iter().all(|leg| *leg == Leg::Control));
    assert!(legs(candidate.marks()).iter().all(|leg| *leg == Leg::Candidate));
}

pub(crate) async fn a_control_that_fails_changes_no_outcome(brokers: &str) {
    let mut bench = Bench::new(brokers, "down", 1).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    // Nothing listens on port 1.
    let down = with_control(&bench, &candidate, "http://127.0.0.1:1/".parse().unwrap(), 1.0);
    bench.put(down.clone()).await;
    bench.capture_requests(5).await;
    let replayer = bench.replayer("down-1");
    let account = bench.outcomes().await;
    assert_eq!(account.counts()["completed"], 5);
    let classes: Vec<_> = account.records.iter().filter_map(|r| failure(r.control.as_ref().unwrap())).collect();
    assert_eq!(classes, [FailureClass::Connect; 5]);
    bench.heartbeat("down-1", |s| s.counters.get("control_failed_connect") == Some(&5)).await;

    let silent = Candidate::start(Answers::Held).await;
    let mut slow = with_control(&bench, &candidate, silent.url(), 1.0);
    slow.limits.timeout_ms = 2000;
    bench.put(slow).await;
    bench.capture_requests(5).await;
    let account = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!(account.counts()["completed"], 10);
    for record in &account.records[5..] {
        let control = record.control.as_ref().unwrap();
        assert_eq!(failure(control), Some(FailureClass::Timeout));
        assert!(record.total_us < control.total_us, "the candidate's time ends with its own answer: {record:?}");
    }
}

pub(crate) async fn a_pause_kills_the_control_too(brokers: &str) {
    let mut bench = Bench::new(brokers, "both-killed", 1).await;
    let (candidate, control) = (Candidate::start(Answers::Held).await, Candidate::start(Answers::Held).await);
    let mut launch = with_control(&bench, &candidate, control.url(), 1.0);
    bench.put(launch.clone()).await;
    bench.capture_requests(4).await;
    let replayer = bench.replayer("both-killed-1");
    candidate.asked_at_least(4).await;
    control.asked_at_least(4).await;
    launch.status = LaunchStatus::Paused;
    let version = bench.put(launch).await;
    bench.acknowledged("both-killed-1", version, State::Paused).await;
    let account = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!(account.counts(), [("killed", 4)].into());
    for record in &account.records {
        let control = record.control.as_ref().unwrap();
        assert_eq!((failure(control), control.total_us), (Some(FailureClass::Killed), None));
    }
}

pub(crate) async fn a_control_that_hangs_holds_up_no_partition(brokers: &str) {
    let mut bench = Bench::new(brokers, "hanging", 2).await;
    let (candidate, control) = (Candidate::start(Answers::AtOnce).await, Candidate::start(Answers::Held).await);
    let mut launch = with_control(&bench, &candidate, control.url(), 1.0);
    launch.limits.timeout_ms = 600_000;
    bench.put(launch).await;
    bench.capture_requests(6).await;
    let replayer = bench.replayer("hanging-1");
    candidate.asked_at_least(6).await;
    control.asked_at_least(6).await;
    replayer.stop().await;
    let account = bench.outcomes().await;
    assert_eq!(account.counts(), [("completed", 6)].into());
    assert!(account.records.iter().all(|r| failure(r.control.as_ref().unwrap()) == Some(FailureClass::Killed)));

    // What it had settled is not sent again.
    let replayer = bench.replayer("hanging-1");
    bench.heartbeat("hanging-1", |s| s.state == State::Running).await;
    let again = bench.outcomes().await;
    replayer.stop().await;
    assert_eq!((again.duplicates, candidate.asked()), (0, 6));
}

pub(crate) async fn a_control_that_hangs_takes_no_place_from_the_candidate(brokers: &str) {
    let mut bench = Bench::new(brokers, "crowded", 1).await;
    let (candidate, control) = (Candidate::start(Answers::AtOnce).await, Candidate::start(Answers::Held).await);
    let mut launch = with_control(&bench, &candidate, control.url(), 1.0);
    launch.limits.max_in_flight = 2;
    launch.limits.timeout_ms = 600_000;
    bench.put(launch).await;
    bench.capture_requests(40).await;
    let replayer = bench.replayer("crowded-1");
    candidate.asked_at_least(40).await;
    bench.heartbeat("crowded-1", |s| s.counters.get("control_crowded") == Some(&38)).await;
    replayer.stop().await;
    assert_eq!(control.asked(), 2);
    assert_eq!(bench.outcomes().await.counts(), [("completed", 40)].into());
}
