//! The kill switch's answers, from heartbeats alone.

use std::collections::BTreeMap;

use shadow_control::{ControlRecord, ControlState};
use shadow_record::{Role, State, Status, Timestamp};

use super::roll::{Answered, Roll};
use super::{Answer, Wanted};
use crate::failure::Kind;

const COMMANDED: i64 = 100_000_000;

fn status(instance: &str, state: State, version: i64) -> Status {
    Status {
        instance: instance.to_owned(),
        role: Role::Replayer,
        service: "shop".to_owned(),
        launch: Some("v2".parse().unwrap()),
        epoch: 1,
        sequence: 0,
        at: Timestamp(0),
        state,
        control_version: version,
        heard_at: None,
        last_send_at: None,
        counters: BTreeMap::new(),
    }
}

/// A control topic with one launch, in this state.
fn control(status: &str) -> ControlState {
    let json = format!(
        r#"{{"launch":{{"name":"v2","service":"shop","candidate":"http://c:1/","start":{{}},"status":"{status}",
            "change":{{"by":"ann","why":"","at":0}}}}}}"#
    );
    let record: ControlRecord = serde_json::from_str(&json).unwrap();
    let mut state = ControlState::empty();
    state.apply(7, &record.key(), &record.encode()).unwrap();
    state
}

/// A roll for control version 7 and heartbeats given as (ms after the command, status); their order is their sequence.
fn answers(wanted: Wanted, heartbeats: &[(i64, Status)]) -> (bool, Answer) {
    answers_under(control("active"), wanted, heartbeats)
}

fn answers_under(state: ControlState, wanted: Wanted, heartbeats: &[(i64, Status)]) -> (bool, Answer) {
    let mut roll = Roll::new(None, wanted, 7, (state, Some(Timestamp(COMMANDED))));
    for (sequence, (ms, status)) in heartbeats.iter().enumerate() {
        let seen = Timestamp(COMMANDED + ms * 1000);
        roll.take(seen, Status { sequence: sequence as i64, ..status.clone() });
    }
    let complete = roll.is_complete();
    let (members, state) = roll.into_members();
    let patience = std::time::Duration::from_secs(10);
    (
        complete,
        Answer { wanted, launch: None, control_version: 7, members, appended_after_ms: Some(30.0), state, patience },
    )
}

#[test]
fn a_pause_is_complete_when_every_live_member_is_paused_at_its_version() {
    let running = status("r1", State::Running, 6);
    let (complete, answer) = answers(Wanted::Paused, &[(-400, running.clone())]);
    assert!(!complete);
    let failure = answer.verdict().unwrap_err();
    assert_eq!(failure.kind, Kind::Negative);
    assert!(failure.cause.contains("r1 (launch v2)") && failure.remedy.contains("lease"), "{failure:?}");

    let (complete, answer) = answers(
        Wanted::Paused,
        &[
            (-400, running.clone()),
            (-300, status("r2", State::Running, 6)),
            (20, status("r2", State::Paused, 6)),
            (38, status("r1", State::Paused, 7)),
            (45, status("r2", State::Paused, 7)),
        ],
    );
    assert!(complete);
    assert!(answer.verdict().is_ok());
    assert_eq!(answer.members[1].acknowledged_after_ms, Some(45.0));
}

#[test]
fn the_last_send_is_told_in_the_brokers_time_although_clocks_differ() {
    let hour = 3_600_000_000;
    let at = Timestamp(COMMANDED + 40_000 + hour);
    let last_send_at = Some(Timestamp(COMMANDED + 12_000 + hour));
    let paused = Status { at, last_send_at, ..status("r1", State::Paused, 7) };
    let (_, answer) = answers(Wanted::Paused, &[(-100, status("r1", State::Running, 6)), (40, paused)]);
    assert_eq!(answer.members[0].last_send_after_ms, Some(12.0));
    insta::assert_snapshot!(answer.render());
}

#[test]
fn members_that_left_before_the_command_are_not_waited_for_and_those_after_it_have_answered() {
    let (complete, answer) = answers(
        Wanted::Paused,
        &[
            (-60_000, status("long-gone", State::Running, 3)),
            (-100, status("goodbye", State::Stopped, 6)),
            (-50, status("leaving", State::Running, 6)),
            (30, status("leaving", State::Stopped, 6)),
        ],
    );
    assert!(complete);
    let seen: Vec<_> = answer.members.iter().map(|m| (m.instance.as_str(), m.answered)).collect();
    assert_eq!(seen, [("leaving", Answered::Stopped)]);
}

#[test]
fn a_member_that_another_record_holds_is_not_waited_for_after_a_resume() {
    let heartbeats = [(-100, status("r1", State::Paused, 6)), (30, status("r1", State::Paused, 7))];
    let (complete, answer) = answers_under(control("paused"), Wanted::Running, &heartbeats);
    assert!(complete && answer.verdict().is_ok());
    assert_eq!(answer.members[0].answered, Answered::HeldByControl);
    assert!(answer.render().contains("launch v2 is paused: `shadowctl launch resume v2`"));
}

#[test]
fn a_member_that_holds_itself_is_waited_for_and_then_named() {
    let paused = [(30, status("r1", State::Paused, 7))];
    let (complete, answer) = answers(Wanted::Running, &paused);
    assert!(!complete);
    assert_eq!(answer.members[0].answered, Answered::HeldByItself);
    assert!(answer.verdict().unwrap_err().cause.contains("still paused: r1"));

    let (complete, answer) = answers(Wanted::Running, &[paused[0].clone(), (60, status("r1", State::Running, 7))]);
    assert!(complete);
    assert_eq!(answer.members[0].answered, Answered::Confirmed);
    assert_eq!(answer.members[0].acknowledged_after_ms, Some(60.0));
}

#[test]
fn without_members_it_says_so_and_succeeds() {
    let (complete, answer) = answers(Wanted::Paused, &[]);
    assert!(complete && answer.verdict().is_ok());
    assert!(answer.render().contains("no live replayers"));
}

#[test]
fn a_launch_has_ended_when_every_member_has_stopped_and_is_changed_when_every_member_has_heard() {
    let draining = [(-100, status("r1", State::Running, 3)), (80, status("r1", State::Paused, 7))];
    let (complete, answer) = answers(Wanted::Ended, &draining);
    assert!(!complete, "it may still have requests in flight");
    assert!(answer.verdict().unwrap_err().cause.contains("not confirmed within 10.0 s: r1"));
    let stopped = [&draining[..], &[(900, status("r1", State::Stopped, 7))]].concat();
    let (complete, answer) = answers(Wanted::Ended, &stopped);
    assert!(complete && answer.verdict().is_ok());

    let (complete, _) = answers(Wanted::Changed, &[(-100, status("r1", State::Running, 6))]);
    assert!(!complete);
    let (complete, answer) = answers(Wanted::Changed, &draining);
    assert!(complete && answer.verdict().is_ok(), "paused or not, it has heard");
}
