//! `shadowctl ramp run`: judges every ramp, writes down what follows, and again.

use std::collections::BTreeMap;

use serde::Serialize;
use shadow_control::{ControlRecord, ControlWriter, Launch, Pause, RampState};
use shadow_record::{LaunchName, Timestamp};
use shadow_runtime::units::HumanDuration;
use tokio::signal::unix::SignalKind;

use super::decide::{Action, Decision, applied, decide, with_ramps};
use super::judged::judge;
use crate::commands::launch::{is_ended, rewrite};
use crate::failure::{Failure, Kind};
use crate::kafka::Kafka;
use crate::output::{self, Output};
use crate::signals::Told;
use crate::sql::Sql;
use crate::words;

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// These launches; all that have a ramp without it
    launches: Vec<LaunchName>,
    /// Judge each once and end
    #[arg(long)]
    once: bool,
    /// Time between judgements
    #[arg(long, default_value = "10s", value_parser = crate::commands::launch::timeout)]
    every: HumanDuration,
    #[command(flatten)]
    output: Output,
}

/// One line of the controller: what it did, or why it does nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    at: String,
    launch: LaunchName,
    /// `begins`, `climbs`, `done`, `rolls back`, `pauses`, `waits` or `over`.
    what: &'static str,
    /// The step it is at now, from 1.
    step: usize,
    sample: f64,
    why: String,
}

impl Line {
    fn of(launch: &Launch, decision: &Decision, now: Timestamp) -> Self {
        Self {
            at: words::when(now),
            launch: launch.name.clone(),
            what: decision.action.word(),
            step: launch.ramp.as_ref().map_or(0, |ramp| ramp.at + 1),
            sample: launch.sample,
            why: decision.why.clone(),
        }
    }

    fn people(&self) -> String {
        let Self { at, launch, what, sample, why, .. } = self;
        format!("{at} {launch} {what} ({}): {why}", words::share(*sample))
    }
}

pub(super) async fn run(kafka: &Kafka, sql: &Sql, args: RunArgs) -> Result<(), Failure> {
    let mut told = Told::by([SignalKind::interrupt(), SignalKind::terminate()])?;
    if args.once {
        let round = round(kafka, sql, &args.launches, &mut told).await?;
        let lines = round.ok_or_else(|| Failure::interrupted("interrupted; what was decided is written"))?;
        return args.output.show(&lines, |lines| people(lines));
    }
    let mut said: BTreeMap<LaunchName, Line> = BTreeMap::new();
    let mut trouble = String::new();
    let mut rounds = tokio::time::interval(args.every.get());
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // Where a ramp stands is on the control topic: whoever runs it next goes on from there.
        if told.unless(rounds.tick()).await.is_none() {
            return Ok(());
        }
        match round(kafka, sql, &args.launches, &mut told).await {
            Ok(None) => return Ok(()),
            Ok(Some(lines)) => {
                trouble.clear();
                for line in lines {
                    tell(&mut said, line, args.output)?;
                }
            }
            Err(failure) if failure.kind != Kind::Unreachable => return Err(failure),
            // Said once; a ramp that cannot be judged stays where it is.
            Err(failure) => {
                if failure.cause != trouble {
                    output::complain(&failure);
                }
                trouble = failure.cause;
            }
        }
        if !args.launches.is_empty()
            && let Some(ended) = ended(kafka, &args.launches).await
        {
            return ended;
        }
    }
}

/// Says what is new: what it did, and what it waits for when that is another thing than before (figures in it change with every
/// exchange).
fn tell(said: &mut BTreeMap<LaunchName, Line>, line: Line, output: Output) -> Result<(), Failure> {
    let kind = |line: &Line| (line.what, line.step, line.why.split([';', ':']).next().map(str::to_owned));
    let known = said.insert(line.launch.clone(), line.clone()).is_some_and(|before| kind(&before) == kind(&line));
    if known { Ok(()) } else { output.line(&line, Line::people) }
}

fn people(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "no launch has a ramp; `shadowctl launch create --ramp 1%:10m,100%:1h` makes one with".to_owned();
    }
    lines.iter().map(|line| line.people() + "\n").collect()
}

/// Judges each ramp once and writes down what follows; `None` when told to end meanwhile, which is never amid the writing.
async fn round(kafka: &Kafka, sql: &Sql, names: &[LaunchName], told: &mut Told) -> Result<Option<Vec<Line>>, Failure> {
    let state = kafka.control().await?;
    let mut lines = Vec::new();
    for launch in with_ramps(&state, names)? {
        let over = decide(&state, launch, &super::decide::Judged::Unknown(String::new()), Timestamp::now());
        // What is over, or stopped, is not worth the questions.
        let decision = if over.action == Action::Over {
            over
        } else {
            let Some(judged) = told.unless(judge(sql, &state, launch)).await else { return Ok(None) };
            decide(&state, launch, &judged, Timestamp::now())
        };
        let now = Timestamp::now();
        if !decision.action.writes() {
            lines.push(Line::of(launch, &decision, now));
            continue;
        }
        // Only over the very launch that was judged: whatever anybody changed since is judged in the next round.
        let after = applied(launch, &decision, now);
        if decision.action == Action::Pause {
            // First: a controller that ends between the two leaves a launch that stands, and not one that runs with a failed ramp.
            let pause = Pause::of_launch(launch.name.clone(), true, after.change.clone());
            ControlWriter::new(&kafka.config)?.put(&ControlRecord::Pause(pause)).await?;
        }
        match rewrite(kafka, &launch.name, |found| Ok((found == launch).then(|| after.clone()))).await {
            Ok(written) if written.after == after => lines.push(Line::of(&after, &decision, now)),
            Ok(_) => {}
            Err(failure) if failure.kind == Kind::Unreachable => return Err(failure),
            // One launch that cannot be written is no reason to leave the others.
            Err(failure) => {
                let decision = Decision { action: Action::Hold, why: failure.cause };
                lines.push(Line::of(launch, &decision, now));
            }
        }
    }
    Ok(Some(lines))
}

/// How it ended, when every one of the named ramps has.
async fn ended(kafka: &Kafka, names: &[LaunchName]) -> Option<Result<(), Failure>> {
    let state = kafka.control().await.ok()?;
    let launches = with_ramps(&state, names).ok()?;
    let at_end =
        |launch: &&Launch| is_ended(launch) || launch.ramp.as_ref().is_some_and(|r| r.state != RampState::Climbing);
    if !launches.iter().all(at_end) {
        return None;
    }
    let done = |launch: &&&Launch| launch.ramp.as_ref().is_some_and(|ramp| ramp.state == RampState::Done);
    let others: Vec<String> = launches.iter().filter(|launch| !done(launch)).map(|l| l.name.to_string()).collect();
    if others.is_empty() {
        return Some(Ok(()));
    }
    let cause = format!("not at the end of the ramp: {}", others.join(", "));
    Some(Err(Failure::negative(cause, "`shadowctl ramp show` and `shadowctl verdict` tell why")))
}
