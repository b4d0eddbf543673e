//! `shadowctl report`: what a launch has found so far, read from ClickHouse's views.

mod query;
mod render;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use super::ledger::LaunchLedger;
use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;

pub(crate) use query::gather;

/// A route is called slower when its median pair is slower by this much more than that of the median route, milliseconds,
pub(crate) const SLOWER_MS: f64 = 20.0;
/// and the candidate's median is this many times the primary's, put where the median route is. The primary is measured at the
/// agent and earlier, the candidate at the replayer and later: what that alone makes of the difference shows on every route
/// alike and is no route's fault.
pub(crate) const SLOWER_FACTOR: f64 = 2.0;
/// With fewer routes there is no telling what is common to all.
const SHIFT_ROUTES: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The launch
    launch: LaunchName,
    /// Most signatures to list
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: u32,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(sql: &Sql, args: ReportArgs) -> Result<(), Failure> {
    let report = gather(sql, &args.launch, args.top).await?;
    args.output.show(&report, Report::render)
}

/// What a launch has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) launch: LaunchRow,
    pub(crate) ledger: LaunchLedger,
    pub(crate) coverage: Vec<Coverage>,
    pub(crate) match_rate: Vec<MatchRate>,
    pub(crate) latency: Vec<Latency>,
    pub(crate) errors: Vec<ErrorCount>,
    pub(crate) signatures: Vec<SignatureRow>,
    /// Signatures in all, of which `signatures` lists the most frequent.
    pub(crate) signatures_total: u64,
}

/// The launch as the comparator knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaunchRow {
    pub(crate) launch: String,
    pub(crate) service: String,
    pub(crate) candidate: String,
    pub(crate) status: String,
    pub(crate) sample: f64,
}

/// Outcomes by reason, over all routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Coverage {
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) offsets: i64,
}

/// How often a route's answers were equal; `match_rate` is `null` where nothing could be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MatchRate {
    pub(crate) route: String,
    pub(crate) completed: u64,
    pub(crate) matched: u64,
    pub(crate) differing: u64,
    pub(crate) noise: u64,
    pub(crate) expected: u64,
    pub(crate) compared: u64,
    pub(crate) match_rate: Option<f64>,
}

/// Latency of a route on both sides, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(clippy::struct_field_names)]
pub(crate) struct Latency {
    pub(crate) route: String,
    pub(crate) pairs: u64,
    pub(crate) primary_p50_ms: f64,
    pub(crate) primary_p90_ms: f64,
    pub(crate) primary_p99_ms: f64,
    pub(crate) candidate_p50_ms: f64,
    pub(crate) candidate_p90_ms: f64,
    pub(crate) candidate_p99_ms: f64,
    pub(crate) difference_p50_ms: f64,
    pub(crate) difference_p90_ms: f64,
    pub(crate) difference_p99_ms: f64,
}

impl Report {
    /// What is common to all routes of candidate minus primary: the median of their median pairs, milliseconds.
    pub(crate) fn shift_ms(&self) -> f64 {
        let mut medians: Vec<f64> = self.latency.iter().map(|latency| latency.difference_p50_ms).collect();
        if medians.len() < SHIFT_ROUTES {
            return 0.0;
        }
        medians.sort_by(f64::total_cmp);
        medians[(medians.len() - 1) / 2]
    }

    /// Whether the candidate is slower on a route beyond doubt; the rule is [`SLOWER_MS`] and [`SLOWER_FACTOR`].
    pub(crate) fn is_slower(&self, latency: &Latency) -> bool {
        let shift = self.shift_ms();
        latency.difference_p50_ms - shift >= SLOWER_MS
            && latency.candidate_p50_ms >= SLOWER_FACTOR * (latency.primary_p50_ms + shift)
    }
}

/// How often a side answered a route with a status class, or failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ErrorCount {
    pub(crate) route: String,
    pub(crate) side: String,
    pub(crate) class: String,
    pub(crate) exchanges: u64,
}

/// One fault with its earliest example.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SignatureRow {
    pub(crate) signature: String,
    pub(crate) route: String,
    pub(crate) place: String,
    pub(crate) kind: String,
    pub(crate) transition: String,
    pub(crate) exchanges: u64,
    pub(crate) example_request_ids: Vec<Option<String>>,
    pub(crate) example_primary: String,
    pub(crate) example_candidate: String,
}
