//! Says from counts whether a launch may go live, or that the evidence is not enough.
//!
//! In the flow this stands last: `shadowctl verdict` reads [`Evidence`] from ClickHouse's deduplicated rows and hands it to
//! [`judge`] together with the launch's [`Gates`]. The steps are the files: [`Gates`] says what is asked, [`Wanted`] which
//! order statistics of the latencies are needed for it, [`Spending`] how the risk of a false alarm is shared, `proportion`,
//! `paired` and `quantile` are the intervals, `judge` puts them against the gates.
//!
//! Guarantees: pure and deterministic; no floating point trap up to 10^12 requests; every interval is a *confidence sequence*,
//! valid at any time, so whoever looks as often as they like, and stops when they like what they see, is wrong no more often
//! than the gates' confidence allows. What that rests on is said in `docs/verdict.md`.

mod evidence;
mod gates;
mod interval;
mod judge;
mod mixture;
mod paired;
mod proportion;
mod quantile;
mod ranks;
mod spending;

pub use evidence::{
    ClassCounts, ControlEvidence, EffectEvidence, Evidence, Latencies, Pairs, Reference, ScopeEvidence, Scores, State,
};
pub use gates::{ErrorRate, Gates, GatesError, LatencyGate, Limit, ScopeGates};
pub use interval::Interval;
pub use judge::{Asked, Decision, GateResult, Lacking, Measure, Needed, Unit, Verdict, judge};
pub use paired::PairedErrors;
pub use proportion::Proportion;
pub use quantile::{Quantile, Ranks};
pub use ranks::{Rank, Ranked, Wanted};
pub use spending::Spending;
