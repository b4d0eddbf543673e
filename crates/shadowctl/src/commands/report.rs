//! `shadowctl report`: what a launch has found so far, read from ClickHouse's views.

mod html;
mod query;
mod render;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use super::ledger::LaunchLedger;
use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;

pub(crate) use query::gather;

/// A route is called slower when the candidate is slower than the primary by this much, milliseconds, and
pub(crate) const SLOWER_MS: f64 = 20.0;
/// takes this many times as long. Either the medians must say so, or the fastest tenths: whatever else keeps a machine busy
/// adds to most answers, but hardly ever to the fastest tenth of them.
pub(crate) const SLOWER_FACTOR: f64 = 2.0;

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The launch
    launch: LaunchName,
    /// Most signatures to list
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: u32,
    /// Write one self-contained page with the verdict, plots and examples to this file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "top"])]
    html: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(sql: &Sql, args: ReportArgs) -> Result<(), Failure> {
    if let Some(path) = &args.html {
        return html::write(sql, &args.launch, path).await;
    }
    let report = gather(sql, &args.launch, args.top).await?;
    args.output.show(&report, Report::render)
}

/// What a launch has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) launch: LaunchRow,
    /// Left out while ClickHouse holds no account of the launch.
    #[serde(skip_serializing_if = "LaunchLedger::is_absent")]
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
    pub(crate) primary_p10_ms: f64,
    pub(crate) primary_p50_ms: f64,
    pub(crate) primary_p90_ms: f64,
    pub(crate) primary_p99_ms: f64,
    pub(crate) candidate_p10_ms: f64,
    pub(crate) candidate_p50_ms: f64,
    pub(crate) candidate_p90_ms: f64,
    pub(crate) candidate_p99_ms: f64,
    pub(crate) difference_p50_ms: f64,
    pub(crate) difference_p90_ms: f64,
    pub(crate) difference_p99_ms: f64,
}

impl Latency {
    /// Whether the candidate is slower beyond doubt; the rule is [`SLOWER_MS`] and [`SLOWER_FACTOR`].
    pub(crate) fn is_slower(&self) -> bool {
        let slower = |primary: f64, candidate: f64, difference: f64| {
            difference >= SLOWER_MS && candidate >= SLOWER_FACTOR * primary
        };
        let Self { primary_p10_ms, candidate_p10_ms, primary_p50_ms, candidate_p50_ms, difference_p50_ms, .. } = *self;
        slower(primary_p50_ms, candidate_p50_ms, difference_p50_ms)
            || slower(primary_p10_ms, candidate_p10_ms, candidate_p10_ms - primary_p10_ms)
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
