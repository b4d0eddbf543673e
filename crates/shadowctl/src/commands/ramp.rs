//! `shadowctl ramp`: raises a launch's sample step by step for as long as its gates hold, and withdraws the candidate when they do
//! not.
//!
//! The ramp stands in the launch's own record, so whoever runs the controller next goes on where it stands. What it does is
//! [`decide`]'s, a pure function of the control topic, the verdict and the time; a decision is written only over the very launch
//! that it was made for, so two controllers, or one and a person, do no harm to each other.

mod decide;
mod judged;
mod rejoin;
mod run;
mod steps;
#[cfg(test)]
mod tests;

use serde::Serialize;
use shadow_control::{Launch, Ramp, RampState};
use shadow_record::{LaunchName, Timestamp};

use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::output::Output;
use crate::sql::Sql;
use crate::table::Table;
use crate::words;

pub(crate) use steps::{OnFailArg, Steps};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum RampCommand {
    /// Climb: judge every launch with a ramp, again and again, and do what follows
    #[command(after_help = "\
At each step the launch stays for at least the step's time, and until its verdict is pass; then the next begins. Fail rolls the candidate
back, or pauses the launch (`launch create --on-fail`). Insufficient and unbalanced wait. With names it ends when each of these ramps
has: exit 0 when all are done, 1 when one is not. Without names it goes on until Ctrl-C, also with launches that are created later.

Examples:
  shadowctl launch create checkout-v2 --service checkout --candidate http://10.0.3.7:8080 --ramp 1%:10m,10%:30m,100%:1h
  shadowctl ramp run
  shadowctl ramp run checkout-v2 && shadowctl launch promote checkout-v2
  shadowctl ramp run --once --json")]
    Run(run::RunArgs),
    /// Where ramps stand, and what each waits for
    Show {
        /// These launches; all that have a ramp without it
        launches: Vec<LaunchName>,
        #[command(flatten)]
        output: Output,
    },
    /// Let a ramp climb again after its sample was set by hand, or after it failed
    #[command(after_help = "\
It goes on at the highest step that is not above the present sample, as if it had just come there. A paused launch stays paused:
`shadowctl launch resume` lets that go on.

Example:
  shadowctl launch set checkout-v2 --sample 0.05
  shadowctl ramp resume checkout-v2")]
    Resume(rejoin::ResumeArgs),
}

pub(crate) async fn run(kafka: &Kafka, sql: &Sql, command: RampCommand) -> Result<(), Failure> {
    match command {
        RampCommand::Run(args) => run::run(kafka, sql, args).await,
        RampCommand::Show { launches, output } => show(kafka, sql, &launches, output).await,
        RampCommand::Resume(args) => rejoin::run(kafka, args).await,
    }
}

/// A ramp as it stands.
#[derive(Debug, Serialize)]
struct Shown {
    launch: LaunchName,
    #[serde(flatten)]
    ramp: Ramp,
    sample: f64,
    /// What would be done now, or what it waits for.
    now: String,
}

async fn show(kafka: &Kafka, sql: &Sql, names: &[LaunchName], output: Output) -> Result<(), Failure> {
    let state = kafka.control().await?;
    let mut all = Vec::new();
    for launch in decide::with_ramps(&state, names)? {
        let now = decide::decide(&state, launch, &judged::judge(sql, &state, launch).await, Timestamp::now());
        if let Some(ramp) = launch.ramp.clone() {
            let now = format!("{}: {}", now.action.word(), now.why);
            all.push(Shown { launch: launch.name.clone(), ramp, sample: launch.sample, now });
        }
    }
    output.show(&all, |all| people(all))
}

fn people(all: &[Shown]) -> String {
    if all.is_empty() {
        return "no launch has a ramp; `shadowctl launch create --ramp 1%:10m,100%:1h` makes one with".to_owned();
    }
    let mut table = Table::new(&["launch", "step", ">sample", "since", "now"]);
    for shown in all {
        let since = shown.ramp.since.map(words::when).unwrap_or_default();
        let step = in_short(&shown.ramp);
        table.row([shown.launch.to_string(), step, words::share(shown.sample), since, shown.now.clone()]);
    }
    table.render()
}

/// Where a ramp stands, in a cell.
pub(crate) fn in_short(ramp: &Ramp) -> String {
    match ramp.state {
        RampState::Climbing => format!("{} of {}", ramp.at + 1, ramp.steps.len()),
        RampState::Done => "done".to_owned(),
        RampState::Failed => format!("FAILED at {} of {}", ramp.at + 1, ramp.steps.len()),
    }
}

/// A ramp in full, for one launch.
pub(crate) fn in_full(launch: &Launch) -> String {
    let Some(ramp) = &launch.ramp else { return "none: people set the sample".to_owned() };
    let steps: Vec<String> = ramp.steps.iter().map(steps::text).collect();
    let why = if ramp.why.is_empty() { "not begun: `shadowctl ramp run` climbs" } else { &ramp.why };
    format!("{} ({}): {why}", in_short(ramp), steps.join(", "))
}
