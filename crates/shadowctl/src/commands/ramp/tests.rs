//! What a ramp does in every standing.

use shadow_control::{Change, ControlState, Launch, LaunchStatus, OnFail, Pause, Ramp, RampState};
use shadow_record::{LaunchName, Timestamp};
use shadow_verdict::Decision as Word;

use super::decide::{Action, Judged, applied, began, decide};
use super::steps::Steps;

const BEGAN: Timestamp = Timestamp(1_000_000_000);

fn minutes(minutes: i64) -> Timestamp {
    Timestamp(BEGAN.micros() + minutes * 60_000_000)
}

/// At step `at` of 1 %, 10 % and 100 %, ten minutes each; `None` before the first.
fn launch(at: Option<usize>) -> Launch {
    let (name, service) = ("v2".parse().unwrap(), "shop".parse().unwrap());
    let Steps(steps) = "1%:10m,10%:10m,100%:10m".parse().unwrap();
    let ramp = Ramp { at: at.unwrap_or(0), since: at.map(|_| BEGAN), ..Ramp::of(steps) };
    let sample = ramp.steps[ramp.at].sample;
    let plain = Launch::of(name, service, "http://c:1".parse().unwrap(), Change::by("ann", "rehearsal"));
    Launch { sample, ramp: Some(ramp), ..plain }
}

fn judged(word: Word) -> Judged {
    Judged::Verdict { word, reason: "for a reason.".to_owned(), fresh: 7 }
}

fn switch(paused: bool, at: Timestamp) -> ControlState {
    let mut state = ControlState::empty();
    let change = Change { by: "ann".to_owned(), why: "fire".to_owned(), at };
    state.pauses.insert(None, Pause { instance: None, launch: None, paused, change });
    state
}

fn pause_of_launch(paused: bool, at: Timestamp) -> ControlState {
    let mut state = ControlState::empty();
    let change = Change { by: "ann".to_owned(), why: "fire".to_owned(), at };
    let name: LaunchName = "v2".parse().unwrap();
    state.launch_pauses.insert(name.clone(), (0, Pause::of_launch(name, paused, change)));
    state
}

#[test]
fn verdict_and_time_decide_at_each_step() {
    let unknown = Judged::Unknown("ClickHouse is away".to_owned());
    for (at, judged, minute, action, why) in [
        (None, unknown.clone(), 0, Action::Begin, "the first step of 3: 1 %"),
        (None, judged(Word::Fail), 0, Action::Begin, "the first step"),
        (Some(0), unknown, 11, Action::Hold, "no verdict: ClickHouse is away"),
        (Some(0), judged(Word::Insufficient), 11, Action::Hold, "verdict insufficient: for a reason."),
        (Some(0), judged(Word::Unbalanced), 11, Action::Hold, "verdict unbalanced: for a reason."),
        (Some(0), judged(Word::Pass), 0, Action::Hold, "stays at 1 % for 10 min more"),
        (Some(0), judged(Word::Pass), 9, Action::Hold, "stays at 1 % for 60 s more"),
        (
            Some(0),
            judged(Word::Pass),
            10,
            Action::Advance,
            "from 1 % to 10 %: verdict pass after 10 min: for a reason.",
        ),
        (Some(1), judged(Word::Pass), 200, Action::Advance, "from 10 % to 100 %: verdict pass after 3 h 20 min"),
        (Some(2), judged(Word::Pass), 9, Action::Hold, "stays at 100 %"),
        (Some(2), judged(Word::Pass), 10, Action::Finish, "verdict pass after 10 min at 100 %, the last step"),
        (Some(0), judged(Word::Fail), 0, Action::RollBack, "verdict fail at 1 %: for a reason."),
        (Some(2), judged(Word::Fail), 99, Action::RollBack, "verdict fail at 100 %"),
    ] {
        let launch = launch(at);
        let decision = decide(&ControlState::empty(), &launch, &judged, minutes(minute));
        assert_eq!(decision.action, action, "{at:?} {judged:?}: {decision:?}");
        assert!(decision.why.contains(why), "{decision:?}");
    }
}

#[test]
fn a_launch_that_has_passed_but_stands_still_does_not_climb() {
    let still = Judged::Verdict { word: Word::Pass, reason: String::new(), fresh: 0 };
    let decision = decide(&ControlState::empty(), &launch(Some(0)), &still, minutes(60));
    assert_eq!(decision.action, Action::Hold);
    assert!(decision.why.contains("nothing was sent at 1 % yet"), "{decision:?}");
}

#[test]
fn what_a_person_stopped_is_left_alone_and_a_sample_set_by_hand_is_no_step() {
    let act = |launch: &Launch, state: &ControlState, word| decide(state, launch, &judged(word), minutes(60));
    let none = ControlState::empty();
    let paused = Launch { status: LaunchStatus::Paused, ..launch(Some(0)) };
    let of_launch = pause_of_launch(true, BEGAN);
    for word in [Word::Pass, Word::Fail] {
        assert_eq!(act(&launch(Some(0)), &of_launch, word).why, "the launch is paused by ann (fire)");
        let decision = act(&paused, &none, word);
        assert_eq!((decision.action, decision.why.as_str()), (Action::Hold, "the launch is paused by ann (rehearsal)"));
        assert_eq!(act(&launch(Some(0)), &switch(true, BEGAN), word).why, "the kill switch is on by ann (fire)");
    }
    let by_hand = Launch { sample: 0.3, ..launch(Some(1)) };
    let decision = act(&by_hand, &none, Word::Pass);
    assert!(decision.action == Action::Hold && decision.why.contains("set by hand"), "{decision:?}");
    assert_eq!(act(&by_hand, &none, Word::Fail).action, Action::RollBack, "it climbs no more, but it still protects");
    assert_eq!(act(&Launch { sample: 0.3, ..launch(None) }, &none, Word::Pass).action, Action::Hold);
    for status in [LaunchStatus::Promoted, LaunchStatus::RolledBack] {
        assert_eq!(act(&Launch { status, ..launch(Some(1)) }, &none, Word::Fail).action, Action::Over);
    }
}

#[test]
fn a_stay_begins_anew_when_a_pause_is_lifted() {
    for lifted in [switch(false, minutes(5)), pause_of_launch(false, minutes(5))] {
        let at = |minute| decide(&lifted, &launch(Some(0)), &judged(Word::Pass), minutes(minute)).action;
        assert_eq!((at(14), at(15)), (Action::Hold, Action::Advance));
        assert_eq!(began(&lifted, &launch(Some(0))), Some(minutes(5)), "what was sent before does not count either");
    }
}

#[test]
fn a_decision_is_written_with_its_author_and_reason_and_ends_what_failed() {
    let after = |launch: &Launch, word, minute| {
        let decision = decide(&ControlState::empty(), launch, &judged(word), minutes(minute));
        applied(launch, &decision, minutes(minute))
    };
    let begun = after(&launch(None), Word::Pass, 1);
    assert_eq!((begun.sample, begun.ramp.as_ref().unwrap().since), (0.01, Some(minutes(1))));
    let climbed = after(&launch(Some(0)), Word::Pass, 10);
    let ramp = climbed.ramp.as_ref().unwrap();
    assert_eq!((climbed.sample, ramp.at, ramp.since, climbed.change.by.as_str()), (0.1, 1, Some(minutes(10)), "ramp"));
    assert_eq!(climbed.change.why, ramp.why);

    let done = after(&launch(Some(2)), Word::Pass, 10);
    assert_eq!((done.status, done.ramp.as_ref().unwrap().state), (LaunchStatus::Active, RampState::Done));
    let again = decide(&ControlState::empty(), &done, &judged(Word::Fail), minutes(11));
    assert_eq!((again.action, again.why), (Action::Over, done.ramp.unwrap().why));

    let failed = after(&launch(Some(1)), Word::Fail, 3);
    assert_eq!((failed.status, failed.ramp.as_ref().unwrap().state), (LaunchStatus::RolledBack, RampState::Failed));
    assert!(failed.change.why.contains("verdict fail at 10 %"), "{:?}", failed.change);
    let ramp = launch(Some(1)).ramp.map(|ramp| Ramp { on_fail: OnFail::Pause, ..ramp });
    let paused = after(&Launch { ramp, ..launch(Some(1)) }, Word::Fail, 3);
    assert_eq!(
        (paused.status, paused.ramp.unwrap().state),
        (LaunchStatus::Active, RampState::Failed),
        "the pause is a record"
    );
    let by_hand = after(&Launch { sample: 0.3, ..launch(Some(1)) }, Word::Fail, 3);
    assert_eq!((by_hand.sample, by_hand.status), (0.3, LaunchStatus::RolledBack), "what a person set stays");
}

#[test]
fn a_ramp_is_rejoined_at_the_highest_step_that_is_not_above_the_sample() {
    for (sample, at) in [(0.005, 0), (0.01, 0), (0.05, 0), (0.1, 1), (0.3, 1), (1.0, 2)] {
        let mut ramp = launch(Some(2)).ramp.unwrap();
        ramp.rejoin(sample, minutes(4));
        assert_eq!((ramp.at, ramp.since, ramp.state), (at, Some(minutes(4)), RampState::Climbing), "{sample}");
    }
}
