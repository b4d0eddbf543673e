//! What a ramp does next: a pure function of the control topic, the verdict and the time.
//!
//! The verdict is that of the whole launch, not of the step: its intervals hold however often and whenever one looks, so exchanges
//! of the steps before count as they are, and a step need not begin its evidence anew. What a step asks for besides is time, and
//! that something was sent since it began: a launch that has passed once and then stands still does not climb.

use std::time::Duration;

use shadow_control::{ControlState, Launch, LaunchStatus, OnFail, RampState};
use shadow_record::{LaunchName, Timestamp};
use shadow_verdict::Decision as Word;

use crate::commands::launch::{is_ended, status_word};
use crate::failure::Failure;
use crate::kafka::launch_of;
use crate::words;

/// What is known of a launch's evidence.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Judged {
    /// Its verdict, with its reason, and how many exchanges were sent since the stay at the step began.
    Verdict { word: Word, reason: String, fresh: u64 },
    /// There is none, and why.
    Unknown(String),
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The first step begins.
    Begin,
    /// The next step begins.
    Advance,
    /// The last step is passed.
    Finish,
    /// The candidate is withdrawn.
    RollBack,
    /// The launch is paused for a person to look at.
    Pause,
    /// Nothing yet.
    Hold,
    /// Nothing any more.
    Over,
}

impl Action {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Begin => "begins",
            Self::Advance => "climbs",
            Self::Finish => "done",
            Self::RollBack => "rolls back",
            Self::Pause => "pauses",
            Self::Hold => "waits",
            Self::Over => "over",
        }
    }

    /// Whether the launch is written back.
    pub(super) fn writes(self) -> bool {
        !matches!(self, Self::Hold | Self::Over)
    }
}

/// What is done, and why in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) action: Action,
    pub(super) why: String,
}

/// The launches called `names`, or all that have a ramp.
///
/// # Errors
/// When one of them does not exist or has no ramp.
pub(super) fn with_ramps<'a>(state: &'a ControlState, names: &[LaunchName]) -> Result<Vec<&'a Launch>, Failure> {
    if names.is_empty() {
        return Ok(state.launches.values().filter(|launch| launch.ramp.is_some()).collect());
    }
    names.iter().map(|name| launch_of(state, name).and_then(with_ramp)).collect()
}

/// # Errors
/// When the launch has no ramp.
pub(super) fn with_ramp(launch: &Launch) -> Result<&Launch, Failure> {
    match launch.ramp {
        Some(_) => Ok(launch),
        None => Err(Failure::negative(
            format!("launch {} has no ramp", launch.name),
            "`shadowctl launch create --ramp` gives one; `shadowctl launch set --sample` sets the sample of this one",
        )),
    }
}

/// What follows for `launch` from all that is known at `now`.
pub(super) fn decide(state: &ControlState, launch: &Launch, judged: &Judged, now: Timestamp) -> Decision {
    let of = |action, why: String| Decision { action, why };
    let hold = |why: String| of(Action::Hold, why);
    let Some(ramp) = &launch.ramp else { return of(Action::Over, "it has no ramp".to_owned()) };
    if is_ended(launch) {
        let why = if ramp.why.is_empty() { String::new() } else { format!(": {}", ramp.why) };
        return of(Action::Over, format!("the launch is {}{why}", status_word(launch.status)));
    }
    if ramp.state != RampState::Climbing {
        return of(Action::Over, ramp.why.clone());
    }
    if let Some(why) = stopped(state, launch) {
        return hold(why);
    }
    let Some(step) = ramp.step() else {
        return hold(format!("its record names step {}, of {}", ramp.at + 1, ramp.steps.len()));
    };
    let by_hand = (launch.sample != step.sample).then(|| {
        let (now, step, name) = (words::share(launch.sample), words::share(step.sample), &launch.name);
        hold(format!("the sample is {now}, not the step's {step}: set by hand; `shadowctl ramp resume {name}` goes on"))
    });
    let Some(since) = began(state, launch) else {
        let begin =
            || of(Action::Begin, format!("the first step of {}: {}", ramp.steps.len(), words::share(step.sample)));
        return by_hand.unwrap_or_else(begin);
    };
    let (word, reason, fresh) = match judged {
        Judged::Verdict { word, reason, fresh } => (*word, reason, *fresh),
        Judged::Unknown(why) => return by_hand.unwrap_or_else(|| hold(format!("no verdict: {why}"))),
    };
    let share = words::share(step.sample);
    if word == Word::Fail {
        let action = match ramp.on_fail {
            OnFail::RollBack => Action::RollBack,
            OnFail::Pause => Action::Pause,
        };
        return of(action, format!("verdict fail at {share}: {reason}"));
    }
    if let Some(by_hand) = by_hand {
        return by_hand;
    }
    let stayed = now.since(since);
    let left = Duration::from_secs(step.at_least_s).saturating_sub(stayed);
    match word {
        Word::Pass if !left.is_zero() => hold(format!("verdict pass; stays at {share} for {} more", whole(left))),
        Word::Pass if fresh == 0 => hold(format!("verdict pass, but nothing was sent at {share} yet")),
        Word::Pass => match ramp.steps.get(ramp.at + 1) {
            None => {
                of(Action::Finish, format!("verdict pass after {} at {share}, the last step: {reason}", whole(stayed)))
            }
            Some(next) => {
                let next = words::share(next.sample);
                of(Action::Advance, format!("from {share} to {next}: verdict pass after {}: {reason}", whole(stayed)))
            }
        },
        Word::Insufficient | Word::Unbalanced | Word::Fail => hold(format!("verdict {}: {reason}", word.as_str())),
    }
}

/// Why the launch sends nothing, when people or guards stopped it: then its ramp leaves it alone.
fn stopped(state: &ControlState, launch: &Launch) -> Option<String> {
    let because = |change: &shadow_control::Change| match change.why.as_str() {
        "" => format!("by {}", change.by),
        why => format!("by {} ({why})", change.by),
    };
    if state.status_of(launch) == LaunchStatus::Paused {
        let by = state.paused_by(launch).map_or("by a newer version".to_owned(), because);
        return Some(format!("the launch is paused {by}"));
    }
    let switch = state.pauses.get(&None).filter(|pause| pause.paused)?;
    Some(format!("the kill switch is on {}", because(&switch.change)))
}

/// When the stay at the step began: when it came to it, or when a pause, of the launch or of everything, was lifted after that.
pub(super) fn began(state: &ControlState, launch: &Launch) -> Option<Timestamp> {
    let of_launch = state.launch_pauses.get(&launch.name).map(|(_, pause)| pause);
    let lifted = state.pauses.get(&None).into_iter().chain(of_launch).map(|pause| pause.change.at);
    let since = launch.ramp.as_ref()?.since?;
    Some(lifted.fold(since, Timestamp::max))
}

/// A time in whole seconds.
fn whole(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The launch as the decision leaves it.
pub(super) fn applied(launch: &Launch, decision: &Decision, now: Timestamp) -> Launch {
    let mut after = launch.clone();
    let Some(ramp) = &mut after.ramp else { return after };
    ramp.why.clone_from(&decision.why);
    match decision.action {
        Action::Begin => ramp.since = Some(now),
        Action::Advance => (ramp.at, ramp.since) = (ramp.at + 1, Some(now)),
        Action::Finish => ramp.state = RampState::Done,
        Action::RollBack => (ramp.state, after.status) = (RampState::Failed, LaunchStatus::RolledBack),
        // That nothing is sent is said by the launch's pause, a record of its own.
        Action::Pause => ramp.state = RampState::Failed,
        Action::Hold | Action::Over => return launch.clone(),
    }
    // At an end the sample stays what it is: a person may have set it.
    let begins = matches!(decision.action, Action::Begin | Action::Advance);
    if let Some(step) = ramp.step().filter(|_| begins) {
        after.sample = step.sample;
    }
    after.change = shadow_control::Change { by: "ramp".to_owned(), why: decision.why.clone(), at: now };
    after
}
