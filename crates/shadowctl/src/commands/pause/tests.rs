//! The kill switch's answers, from heartbeats alone.

use std::collections::BTreeMap;

use shadow_control::ControlState;
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

/// A roll for control version 7 and heartbeats given as (ms after the command, status); their order is their sequence.
fn answers(wanted: Wanted, heartbeats: &[(i64, Status)]) -> (bool, Answer) {
    let mut roll = Roll::new(None, wanted, 7, Some(Timestamp(COMMANDED)));
    for (sequence, (ms, status)) in heartbeats.iter().enumerate() {
        let seen = Timestamp(COMMANDED + ms * 1000);
        roll.take(seen, Status { sequence: sequence as i64, ..status.clone() });
    }
    let complete = roll.is_complete();
    let members = roll.into_members(&ControlState::empty());
    (complete, Answer { wanted, launch: None, control_version: 7, members })
}

#[test]
fn a_pause_is_complete_when_every_live_member_is_paused_at_its_version() {
    let running = status("r1", State::Running, 6);
    let (complete, answer) = answers(Wanted::Paused, &[(-400, running.clone())]);
    assert!(!complete);
    let failure = answer.verdict(std::time::Duration::from_secs(10)).unwrap_err();
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
    assert!(answer.verdict(std::time::Duration::from_secs(10)).is_ok());
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
    insta::assert_snapshot!(answer.render(&ControlState::empty()));
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
fn a_member_that_stays_paused_after_a_resume_is_named_with_what_may_hold_it() {
    let (complete, answer) =
        answers(Wanted::Running, &[(-100, status("r1", State::Paused, 6)), (30, status("r1", State::Paused, 7))]);
    assert!(complete);
    // The control state knows no launch v2, and an unknown launch is paused.
    assert_eq!(answer.members[0].answered, Answered::HeldByControl);
    let (_, answer) =
        answers(Wanted::Running, &[(30, status("r1", State::Paused, 7)), (60, status("r1", State::Running, 7))]);
    assert_eq!(answer.members[0].answered, Answered::Confirmed);
}

#[test]
fn without_members_it_says_so_and_succeeds() {
    let (complete, answer) = answers(Wanted::Paused, &[]);
    assert!(complete && answer.verdict(std::time::Duration::from_secs(1)).is_ok());
    assert!(answer.render(&ControlState::empty()).contains("no live replayers"));
}
