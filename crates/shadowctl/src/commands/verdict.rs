//! `shadowctl verdict`: whether a candidate may go live. Asks ClickHouse for the evidence, the pure `shadow-verdict` judges it.

pub(crate) mod effects;
mod evidence;
pub(crate) mod render;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;
use shadow_verdict::{Decision, Gates, Reference, State, Verdict, judge};

use crate::failure::Failure;
use crate::output::Output;
use crate::sql::Sql;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Look whenever you like, and as often: the intervals stay true however often one looks.

Exit codes:
    0  pass: every required gate is shown to hold
    1  fail: some gate is shown to be violated
    2  insufficient: neither is shown yet
    3  unbalanced: requests are unaccounted for, so nothing is shown
   64  wrong command line, or a gates file that cannot be used
   66  no such launch or table
   69  ClickHouse did not answer")]
pub(crate) struct VerdictArgs {
    /// The launch
    launch: LaunchName,
    /// Gates (TOML) to judge by instead of the launch's own
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// A verdict, and by what.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) launch: String,
    pub(crate) gates_from: GatesFrom,
    /// What latency is held against.
    pub(crate) reference: Reference,
    /// Where the launch stands.
    pub(crate) state: State,
    /// Of how many exchanges the outbound calls were compared.
    pub(crate) effects: effects::Effects,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

impl Answer {
    /// The verdict in one line, for a report.
    pub(crate) fn line(&self) -> String {
        let Self { launch, verdict, .. } = self;
        let word = verdict.decision.as_str();
        format!("verdict {word}: {} (`shadowctl verdict {launch}` tells more)\n", verdict.reason)
    }
}

/// Where the gates came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GatesFrom {
    /// `--gates`
    File,
    /// `shadowctl launch create --gates`
    Launch,
    /// Neither.
    Defaults,
}

/// What a verdict needs of a launch.
#[derive(Debug, Deserialize)]
struct Launch {
    gates: String,
    control: String,
    status: String,
    halted: Option<u8>,
}

/// A replayer that lives and is paused while the launch is not was stopped by the kill switch or a guard. Heartbeats a minute older
/// than the newest are of instances that are gone.
const LAUNCH: &str = "\
SELECT gates, control, toString(status) AS status,
    (SELECT toUInt8(arrayExists(beat -> beat.1 = 'paused' AND beat.2 >= newest - INTERVAL 1 MINUTE, groupArray(beat)))
        FROM (SELECT argMax((state, at), (epoch, sequence)) AS beat, max(max(at)) OVER () AS newest FROM instance_status
              WHERE role = 'replayer' AND launch = {launch:String} GROUP BY instance)
        GROUP BY newest) AS halted
FROM launches FINAL WHERE launch = {launch:String}";

impl Launch {
    fn state(&self) -> State {
        match self.status.as_str() {
            "paused" => State::Paused,
            "promoted" => State::Promoted,
            "rolled_back" => State::RolledBack,
            _ if self.halted == Some(1) => State::Halted,
            _ => State::Active,
        }
    }
}

pub(crate) async fn run(sql: impl FnOnce() -> Result<Sql, Failure>, args: VerdictArgs) -> Result<ExitCode, Failure> {
    let gates = args.gates.as_deref().map(read_gates).transpose()?;
    let answer = gather(&sql()?, &args.launch, gates).await.map_err(Failure::without_answer)?;
    args.output.show(&answer, render::people)?;
    Ok(exit_code(answer.verdict.decision))
}

fn exit_code(decision: Decision) -> ExitCode {
    ExitCode::from(match decision {
        Decision::Pass => 0,
        Decision::Fail => 1,
        Decision::Insufficient => 2,
        Decision::Unbalanced => 3,
    })
}

/// Judges a launch by `gates`, or by its own.
///
/// # Errors
/// When ClickHouse does not answer, does not know the launch, or holds gates of it that this version cannot read.
pub(crate) async fn gather(sql: &Sql, name: &LaunchName, gates: Option<Gates>) -> Result<Answer, Failure> {
    let rows: Vec<Launch> = sql.rows(LAUNCH, &[("launch", name.as_str())]).await?;
    let Some(launch) = rows.into_iter().next() else {
        return Err(Failure::negative(
            format!("ClickHouse knows no launch {name}"),
            "is the comparator running? `shadowctl launch list` and `shadowctl status` tell",
        ));
    };
    let state = launch.state();
    let (gates, gates_from) = match gates {
        Some(gates) => (gates, GatesFrom::File),
        None if launch.gates.is_empty() => (Gates::default(), GatesFrom::Defaults),
        None => (Gates::parse(&launch.gates).map_err(unreadable)?, GatesFrom::Launch),
    };
    let reference = if launch.control.is_empty() { Reference::Primary } else { Reference::Control };
    let (mut evidence, effects) =
        tokio::try_join!(evidence::gather(sql, name, &gates, reference, state), effects::gather(sql, name))?;
    evidence.effects = effects.evidence();
    let verdict = judge(&gates, &evidence);
    Ok(Answer { launch: name.to_string(), gates_from, reference, state, effects, verdict })
}

fn unreadable(error: shadow_verdict::GatesError) -> Failure {
    Failure::usage(format!("the launch's own {error}"), "name others with --gates FILE")
}

/// # Errors
/// When the file cannot be read or holds no gates.
pub(crate) fn read_gates(path: &Path) -> Result<Gates, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the gates file {shown}: {error}"), "check the path"))?;
    Gates::parse(&text).map_err(|error| Failure::usage(format!("{shown}: {error}"), "correct that line"))
}
