//! `shadowctl noise`: what is known about noise in a launch, and what people decide about it. The evidence is the view `noise`; decisions
//! are rows of `noise_profiles`, which only this command writes.

mod profile;
mod render;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum NoiseCommand {
    /// What the control says about every signature, and what holds
    Show {
        /// The launch
        launch: LaunchName,
        #[command(flatten)]
        output: Output,
    },
    /// Keep the noise that this launch's evidence shows, for later launches of its service
    Freeze {
        /// The launch
        launch: LaunchName,
        #[command(flatten)]
        entry: EntryArgs,
    },
    /// Decide by hand whether a signature is noise or a fault
    #[command(after_help = "\
Example:
  shadowctl noise overrule checkout-v2 5b0f3a62c1d9e774 noise --why 'the search index reorders equal hits'

It holds for all launches of the service until it expires. `live` takes it back.")]
    Overrule {
        /// A launch that shows the signature
        launch: LaunchName,
        /// The signature, as `noise show` and `report --json` have it
        signature: String,
        /// What it is
        decision: Decision,
        #[command(flatten)]
        entry: EntryArgs,
    },
}

/// What goes with every entry of the profile.
#[derive(Debug, clap::Args)]
pub(crate) struct EntryArgs {
    /// How long it holds: exchanges that are sent later are judged without it
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// For whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What an overruling says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    /// It counts as a match
    Noise,
    /// It counts as a difference
    Fault,
    /// As the evidence says
    Live,
}

impl Decision {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Fault => "fault",
            Self::Live => "live",
        }
    }
}

pub(crate) async fn run(sql: &Sql, command: NoiseCommand) -> Result<(), Failure> {
    match command {
        NoiseCommand::Show { launch, output } => {
            let shown = Shown { launch: launch.to_string(), signatures: signatures(sql, &launch).await? };
            output.show(&shown, Shown::render)
        }
        NoiseCommand::Freeze { launch, entry } => {
            let output = entry.output;
            output.show(&profile::freeze(sql, &launch, &entry).await?, profile::Entered::render)
        }
        NoiseCommand::Overrule { launch, signature, decision, entry } => {
            let output = entry.output;
            let entered = profile::overrule(sql, &launch, &signature, decision, &entry).await?;
            output.show(&entered, profile::Entered::render)
        }
    }
}

/// What is known about the signatures of a launch.
#[derive(Debug, Serialize)]
struct Shown {
    launch: String,
    signatures: Vec<NoiseRow>,
}

/// A row of the view `noise`, whose comment in the schema explains the columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NoiseRow {
    pub(crate) signature: String,
    pub(crate) route: String,
    pub(crate) place: String,
    pub(crate) kind: String,
    pub(crate) transition: String,
    pub(crate) pairs: u64,
    pub(crate) control_differing: u64,
    pub(crate) candidate_differing: u64,
    pub(crate) only_candidate: u64,
    pub(crate) only_control: u64,
    /// `noise`, `fault` or `undecided`.
    pub(crate) decision: String,
    /// `live`, `frozen`, `overruled` or empty.
    pub(crate) basis: String,
    /// When the entry expires on which the decision rests; empty when it rests on none.
    pub(crate) until: String,
}

const NOISE: &str = "SELECT signature, route, place, kind, transition, pairs, control_differing, candidate_differing, only_candidate, \
     only_control, decision, basis, multiIf(basis = 'overruled', formatDateTime(overruled_until, '%FT%TZ'), \
     basis = 'frozen', formatDateTime(frozen_until, '%FT%TZ'), '') AS until \
     FROM noise WHERE launch = {launch:String} \
     ORDER BY decision = 'noise' DESC, control_differing DESC, candidate_differing DESC, route, place, kind, transition";

/// What is known about the signatures of a launch, noise first.
///
/// # Errors
/// When ClickHouse does not answer or refuses.
pub(crate) async fn signatures(sql: &Sql, launch: &LaunchName) -> Result<Vec<NoiseRow>, Failure> {
    sql.rows(NOISE, &[("launch", launch.as_str())]).await
}
