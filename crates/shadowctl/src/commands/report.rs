//! `shadowctl report`: what a launch has found so far, read from ClickHouse's views.

mod html;
mod query;
mod render;
mod signatures;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use super::ledger::LaunchLedger;
use super::noise::NoiseRow;
use super::verdict::{self, effects::Effects};
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
    let said = verdict::gather(sql, &args.launch, None).await?;
    args.output.show(&report, |report| format!("{}\n{}", report.render(), said.line()))
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
    /// Signatures that count as a match, because two copies of the live build differ there too.
    pub(crate) noise: Vec<NoiseRow>,
    pub(crate) expected_changes: Vec<ExpectedChange>,
    /// Rules that decided nothing in any compared exchange, in words that let a person find them.
    pub(crate) unused_rules: Vec<String>,
    pub(crate) trend: Vec<TrendRow>,
    pub(crate) agreement: Vec<Agreement>,
    /// Of how many exchanges the outbound calls were compared.
    pub(crate) effects: Effects,
}

/// The launch as the comparator knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaunchRow {
    pub(crate) launch: String,
    pub(crate) service: String,
    pub(crate) candidate: String,
    pub(crate) status: String,
    pub(crate) sample: f64,
    /// Empty without a control.
    pub(crate) control: String,
    pub(crate) control_sample: f64,
    /// TOML, empty for the default ones.
    #[serde(skip_serializing)]
    pub(crate) rules: String,
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
    /// Of the differing ones: more evidence may show them to be noise.
    pub(crate) undecided: u64,
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
    /// `fault` when that is proven against the control, else `undecided`.
    pub(crate) standing: String,
    /// Exchanges of the route that were compared with the control too, and how many of these show the signature on the control.
    pub(crate) pairs: u64,
    pub(crate) control_differing: u64,
    /// 1 when only replays older than `stale_from_s` show it, and none of `fresh_exchanges` does.
    pub(crate) only_stale: u8,
    pub(crate) stale_from_s: u64,
    pub(crate) fresh_exchanges: u64,
    /// The request attribute that predicts it best.
    #[serde(default)]
    pub(crate) driver: Option<Driver>,
}

/// A request attribute that goes together with a signature: a row of the view `drivers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Driver {
    pub(crate) signature: String,
    pub(crate) attribute: String,
    /// `=`, `present` or `absent`.
    pub(crate) is: String,
    pub(crate) value: String,
    /// Part of the signature's exchanges that have it.
    pub(crate) share: f64,
    /// How many times more often those with it show the signature than all of the route.
    pub(crate) lift: f64,
}

/// How often an expected change showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExpectedChange {
    pub(crate) name: String,
    pub(crate) exchanges: u64,
}

/// What was compared of the traffic captured from `since` (seconds since 1970) to the next row's, and how much of it differed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrendRow {
    pub(crate) since: i64,
    pub(crate) compared: u64,
    pub(crate) differing: u64,
}

/// How often both sides name the same class, and how far their scores are apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Agreement {
    pub(crate) route: String,
    pub(crate) class: String,
    pub(crate) classified: u64,
    pub(crate) agreeing: u64,
    pub(crate) scored: u64,
    pub(crate) mean_absolute_score_difference: Option<f64>,
}
