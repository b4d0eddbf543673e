//! What a launch has shown so far: counts and order statistics, from deduplicated rows.

use crate::paired::PairedErrors;
use crate::proportion::Proportion;
use crate::ranks::Ranked;

/// Everything a verdict rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Whether every captured request is accounted for exactly once; `None` while there is no account.
    pub balanced: Option<bool>,
    /// Requests that the launch has to account for.
    pub captured: u64,
    /// Where the launch stands.
    pub state: State,
    /// Versions of the comparison rules that decided any row.
    pub rules_versions: u64,
    /// What the versions asked of others.
    pub effects: EffectEvidence,
    /// All routes together, and requests without a route.
    pub launch: ScopeEvidence,
    /// Each route of which a request was captured, whether any was sent or not, in any order.
    pub routes: Vec<(String, ScopeEvidence)>,
}

/// Of which requests the outbound calls were compared. Those that differ count as differing requests; this tells what was not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectEvidence {
    /// Requests of which both sides' calls were compared.
    pub compared: u64,
    /// Requests of which they could not be, by reason, most frequent first.
    pub incomparable: Vec<(String, u64)>,
    /// Calls of the candidate that were recorded.
    pub recorded: u64,
    /// Of those, the ones that cannot be said to belong to any request.
    pub uncorrelated: u64,
}

impl EffectEvidence {
    /// Requests of which calls could not be compared.
    pub(crate) fn not_compared(&self) -> u64 {
        self.incomparable.iter().map(|(_, requests)| requests).sum()
    }

    /// Whether the candidate made calls, and nobody compared any.
    pub(crate) fn ignored(&self) -> bool {
        self.recorded > self.uncorrelated && self.compared + self.not_compared() == 0
    }

    /// Whether there are calls about which nothing can be said.
    pub(crate) fn incomplete(&self) -> bool {
        self.not_compared() > 0 || self.uncorrelated > 0 || self.ignored()
    }
}

/// Where a launch stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Replaying.
    #[default]
    Active,
    /// Stopped by a person.
    Paused,
    /// Stopped by the kill switch, which an agent turns too when a replayed request reached production, or by a guard.
    Halted,
    /// Ended: the candidate went live.
    Promoted,
    /// Ended: the candidate was withdrawn.
    RolledBack,
}

/// What a route, or all of them together, has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopeEvidence {
    /// Requests that were captured one by one, whatever became of them: also those that were not sent.
    pub captured: u64,
    /// Requests of which an outcome of the candidate is known: answered or failed.
    pub sent: u64,
    /// Of those, answered in some way.
    pub answered: u64,
    /// Answers that could be compared in full.
    pub compared: u64,
    /// Answers that nothing was done to compare.
    pub uncompared: u64,
    /// Answers to another request than the one that was captured.
    pub conflicts: u64,
    /// Of the compared ones, those with a difference that is neither noise nor expected.
    pub differing: u64,
    /// Of those, the ones with a difference that is proven to be a fault.
    pub faulty: u64,
    /// Of the differing ones, those of which every unexpected difference may still turn out to be noise.
    pub undecided: u64,
    /// Of the compared ones, those that differ in nothing but noise.
    pub noise: u64,
    /// What the control has shown; `None` for a launch without one.
    pub control: Option<ControlEvidence>,
    /// Errors of both sides, request by request.
    pub pairs: Pairs,
    /// How the candidate failed where the primary did not: classes and how often, most frequent first.
    pub failures: Vec<(String, u64)>,
    /// Latencies; `None` when no request has both.
    pub latencies: Option<Latencies>,
    /// Agreement of a model's classes, by the primary's class.
    pub classes: Vec<ClassCounts>,
    /// Differences of a model's scores.
    pub scores: Scores,
}

/// What a second copy of the live build has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlEvidence {
    /// Requests of which its outcome and the primary's status are known.
    pub asked: u64,
    /// Of those, the ones that it did not answer.
    pub failed: u64,
    /// Of those, the ones that it answered with another class of status than the primary.
    pub other_status: u64,
    /// Exchanges that were compared in full with both the candidate and the control.
    pub pairs: u64,
    /// Of those, only the candidate differs unexpectedly from the primary, whether in noise or not.
    pub only_candidate: u64,
    /// Only the control does.
    pub only_control: u64,
    /// Errors of candidate and control; `only_primary` counts the control's.
    pub errors: Pairs,
}

/// Errors of both sides: server errors, and requests without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Requests of which both sides' outcome is known.
    pub pairs: u64,
    /// Only the candidate erred.
    pub only_candidate: u64,
    /// Only the primary erred.
    pub only_primary: u64,
}

/// What the candidate's latency is held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    /// Production's own latency: measured at another place and time than the candidate's.
    #[default]
    Primary,
    /// The control's: measured at the same place and moment.
    Control,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Control => "control",
        })
    }
}

/// Order statistics of the latencies of requests that have both, milliseconds. What timed out is infinitely slow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latencies {
    /// Whose latency `reference` is.
    pub against: Reference,
    /// The primary's own median of the same requests, where that is not the reference.
    pub primary_p50_ms: Option<f64>,
    /// The candidate's.
    pub candidate: Ranked,
    /// The primary's or the control's.
    pub reference: Ranked,
    /// Candidate minus reference, request by request.
    pub difference: Ranked,
}

/// Agreement on one class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// The primary's class.
    pub class: String,
    /// Answers with it.
    pub pairs: u64,
    /// Of those, the ones to which the candidate gave the same class.
    pub agreeing: u64,
}

/// Differences of scores between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Answers with a score on both sides.
    pub pairs: u64,
    /// Sum of the differences' absolute values, each cut at 1.
    pub absolute_sum: f64,
    /// How many were cut.
    pub cut: u64,
}

/// A control that answers otherwise than the primary more often than this tells nothing about the candidate.
pub(crate) const CONTROL_MAY_DEVIATE: f64 = 0.01;

impl ControlEvidence {
    /// Unexpected differences of both sides, request by request.
    pub(crate) fn excess(&self) -> PairedErrors {
        PairedErrors::new(self.pairs, self.only_candidate, self.only_control)
    }

    /// Requests that it did not answer as the primary did.
    pub(crate) fn deviations(&self) -> Proportion {
        Proportion::new(self.asked, self.failed + self.other_status)
    }

    /// Whether it is shown not to be a copy of the live build, or not to work.
    pub(crate) fn deviates(&self, alpha: f64) -> bool {
        self.deviations().is_above(CONTROL_MAY_DEVIATE, alpha)
    }
}

impl ScopeEvidence {
    /// Whether its control is no measure of anything.
    pub(crate) fn control_deviates(&self, alpha: f64) -> bool {
        self.control.is_some_and(|control| control.deviates(alpha))
    }

    /// Without what only the control of `part` would prove.
    pub(crate) fn without_proof_of(&mut self, part: &Self) {
        self.faulty = self.faulty.saturating_sub(part.faulty);
        if let (Some(own), Some(part)) = (&mut self.control, &part.control) {
            own.pairs = own.pairs.saturating_sub(part.pairs);
            own.only_candidate = own.only_candidate.saturating_sub(part.only_candidate);
            own.only_control = own.only_control.saturating_sub(part.only_control);
        }
    }

    pub(crate) fn mismatches(&self) -> Proportion {
        Proportion::new(self.compared, self.differing)
    }

    /// Answers with a difference that is a fault for sure.
    pub(crate) fn faults(&self) -> Proportion {
        Proportion::new(self.compared, self.faulty)
    }

    /// What is left if everything that is undecided turns out to be noise.
    pub(crate) fn decided_mismatches(&self) -> Proportion {
        Proportion::new(self.compared, self.differing.saturating_sub(self.undecided))
    }

    pub(crate) fn unanswered(&self) -> Proportion {
        Proportion::new(self.sent, self.sent.saturating_sub(self.answered))
    }

    pub(crate) fn errors(&self) -> PairedErrors {
        let Pairs { pairs, only_candidate, only_primary } = self.pairs;
        PairedErrors::new(pairs, only_candidate, only_primary)
    }

    pub(crate) fn disagreements(&self) -> (u64, Proportion) {
        let pairs = self.classes.iter().map(|class| class.pairs).sum();
        let agreeing: u64 = self.classes.iter().map(|class| class.agreeing).sum();
        (pairs, Proportion::new(pairs, pairs.saturating_sub(agreeing)))
    }

    pub(crate) fn score_differences(&self) -> Proportion {
        Proportion::of_sum(self.scores.pairs, self.scores.absolute_sum)
    }
}
