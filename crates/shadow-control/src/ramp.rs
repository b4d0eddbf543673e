//! A ramp: the share of traffic that a launch replays, raised step by step while its gates hold.

use serde::{Deserialize, Serialize};
use shadow_record::Timestamp;

/// A launch's ramp and how far it has come. Whoever holds the ramp (`shadowctl ramp run`) writes it; the launch's `sample` is what
/// replayers follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// The steps, in order; not empty.
    pub steps: Vec<Step>,
    /// What is done when the verdict of a step is `fail`.
    #[serde(default)]
    pub on_fail: OnFail,
    /// Index of the step it is at.
    #[serde(default)]
    pub at: usize,
    /// When it came to that step; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Where it stands.
    #[serde(default)]
    pub state: RampState,
    /// Why it stands there, in words.
    #[serde(default)]
    pub why: String,
}

impl Ramp {
    /// A ramp of these steps, before the first; a failed verdict withdraws the candidate.
    pub fn of(steps: Vec<Step>) -> Self {
        let (on_fail, state) = (OnFail::RollBack, RampState::Climbing);
        Self { steps, on_fail, at: 0, since: None, state, why: String::new() }
    }

    /// The step it is at.
    pub fn step(&self) -> Option<&Step> {
        self.steps.get(self.at)
    }

    /// Back onto the ramp from `sample`, which a person chose: at the highest step that is not above it, as if it had just come
    /// there.
    pub fn rejoin(&mut self, sample: f64, now: Timestamp) {
        self.at = self.steps.iter().rposition(|step| step.sample <= sample).unwrap_or(0);
        (self.since, self.state) = (Some(now), RampState::Climbing);
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Share of the captured exchanges, above 0 to 1.
    pub sample: f64,
    /// Shortest stay before the next step, seconds.
    pub at_least_s: u64,
}

/// What is done when the gates are failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// Withdraw the candidate.
    #[default]
    RollBack,
    /// Pause the launch for a person to look at.
    Pause,
}

/// Where a ramp stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RampState {
    /// On its way: waits for time, or for its gates.
    #[default]
    Climbing,
    /// At its last step with a passed verdict; what is left is to promote.
    Done,
    /// Ended by a failed verdict.
    Failed,
}
