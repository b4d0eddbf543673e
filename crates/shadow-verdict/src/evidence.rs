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
    /// All routes together.
    pub launch: ScopeEvidence,
    /// Each route, in the order in which they first appeared: a route's share of the risk depends on its place, so a route
    /// keeps its place from look to look.
    pub routes: Vec<(String, ScopeEvidence)>,
}

/// What a route, or all of them together, has shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopeEvidence {
    /// Requests of which an outcome of the candidate is known: answered or failed.
    pub sent: u64,
    /// Of those, answered in some way.
    pub answered: u64,
    /// Answers that could be compared in full.
    pub compared: u64,
    /// Of those, the ones with a difference that is neither noise nor expected.
    pub differing: u64,
    /// Errors of both sides, request by request.
    pub pairs: Pairs,
    /// Latencies; `None` when no request has both.
    pub latencies: Option<Latencies>,
    /// Agreement of a model's classes, by the primary's class.
    pub classes: Vec<ClassCounts>,
    /// Differences of a model's scores.
    pub scores: Scores,
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

/// Order statistics of the latencies of requests that have both, milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latencies {
    /// Whose latency `reference` is.
    pub against: Reference,
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
}

impl ScopeEvidence {
    pub(crate) fn mismatches(&self) -> Proportion {
        Proportion::new(self.compared, self.differing)
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
