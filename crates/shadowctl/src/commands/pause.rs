//! `shadowctl pause` and `resume`: the kill switch, and proof that it took hold.
//!
//! The record is written first, before anyone is looked for: nothing may delay a stop. Then the status topic tells who was
//! there at that moment, and each of them must acknowledge the record's version in the state it asks for.

mod roll;

use std::time::Duration;

use serde::Serialize;
use shadow_control::{ControlRecord, ControlState, ControlWriter, Launch, LaunchStatus, Pause, ensure_shared_topics};
use shadow_kafka::{KafkaConfig, Tail, TailEvent};
use shadow_record::{LaunchName, Status, decode, topics};
use shadow_runtime::units::HumanDuration;
use tokio::time::Instant;

use self::roll::{Answered, Confirmation, Roll};
use super::launch::{change, status_word};
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of, recent};
use crate::output::Output;
use crate::table::Table;
use crate::words;

/// What the operator wants members to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wanted {
    Paused,
    Running,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --launch it is the kill switch of every launch; with it, that of one. Paused stays paused, whoever restarts.

Examples:
  shadowctl pause --why 'shadow database is filling up'
  shadowctl pause --launch checkout-v2
  shadowctl resume")]
pub(crate) struct PauseArgs {
    /// Only this launch
    #[arg(long)]
    launch: Option<LaunchName>,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfirmArgs {
    /// How long members may take to confirm
    #[arg(long, default_value = "10s")]
    timeout: HumanDuration,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl PauseArgs {
    pub(crate) fn for_launch(launch: LaunchName, confirm: ConfirmArgs) -> Self {
        Self { launch: Some(launch), confirm }
    }
}

pub(crate) async fn run(kafka: &Kafka, wanted: Wanted, args: PauseArgs) -> Result<(), Failure> {
    let ConfirmArgs { timeout, why, output } = args.confirm;
    let record = record(kafka, wanted, args.launch.as_ref(), why).await?;
    ensure_shared_topics(&kafka.admin).await?;
    let version = ControlWriter::new(&kafka.config)?.put(&record).await?;

    let mut roll = Roll::new(args.launch.clone(), wanted, version, kafka.control_with(version).await?);
    let heard = tokio::time::timeout_at(Instant::now() + timeout.get(), listen(&kafka.config, &mut roll)).await;
    heard.unwrap_or(Ok(()))?;
    if !roll.caught_up() {
        // Without the heartbeats nobody knows who is there, least of all that nobody is.
        return Err(Failure::unreachable(
            format!(
                "control version {version} is written, but the heartbeats could not be read within {}: nothing is confirmed",
                words::duration(timeout.get())
            ),
            "ask again with a longer --timeout",
        ));
    }
    let (members, state) = roll.into_members();
    let answer = Answer { wanted, launch: args.launch, control_version: version, members };
    output.show(&answer, |answer| answer.render(&state))?;
    answer.verdict(timeout.get())
}

/// The control record that asks for it.
async fn record(
    kafka: &Kafka,
    wanted: Wanted,
    launch: Option<&LaunchName>,
    why: Option<String>,
) -> Result<ControlRecord, Failure> {
    let Some(name) = launch else {
        let paused = wanted == Wanted::Paused;
        return Ok(ControlRecord::Pause(Pause { instance: None, paused, change: change(why) }));
    };
    let state = kafka.control().await?;
    let launch = launch_of(&state, name)?;
    if matches!(launch.status, LaunchStatus::Promoted | LaunchStatus::RolledBack) {
        return Err(Failure::negative(
            format!("launch {name} has ended: {}", status_word(launch.status)),
            "create another launch",
        ));
    }
    let status = if wanted == Wanted::Paused { LaunchStatus::Paused } else { LaunchStatus::Active };
    Ok(ControlRecord::Launch(Box::new(Launch { status, change: change(why), ..launch.clone() })))
}

/// Reads heartbeats until everyone has answered.
async fn listen(kafka: &KafkaConfig, roll: &mut Roll) -> Result<(), Failure> {
    let tail = Tail::open(kafka, topics::STATUS, recent()).await?;
    while !(roll.caught_up() && roll.is_complete()) {
        match tail.recv().await? {
            TailEvent::CaughtUp => roll.catch_up(),
            TailEvent::Record(record) => {
                if let Ok(status) = decode::<Status>(&record.payload) {
                    roll.take(record.appended_at, status);
                }
            }
        }
    }
    Ok(())
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Answer {
    wanted: Wanted,
    /// `null` for every launch.
    launch: Option<LaunchName>,
    control_version: i64,
    members: Vec<Confirmation>,
}

impl Answer {
    fn render(&self, state: &ControlState) -> String {
        let subject = match &self.launch {
            Some(name) => format!("launch {name}"),
            None => "every launch".to_owned(),
        };
        let verb = if self.wanted == Wanted::Paused { "paused" } else { "resumed" };
        let mut text = format!("{subject} {verb} (control version {})\n", self.control_version);
        if self.members.is_empty() {
            let nobody = match self.wanted {
                Wanted::Paused => "no live replayers: nothing is being sent, and whoever starts stays paused",
                Wanted::Running => "no live replayers: whoever starts begins to send",
            };
            text.push_str(nobody);
            return text;
        }
        let mut table = Table::new(&["instance", "launch", "answer", ">acknowledged after", ">last send after"]);
        for member in &self.members {
            let after = |ms: Option<f64>| ms.map_or("-".to_owned(), words::millis);
            table.row([
                member.instance.clone(),
                member.launch.to_string(),
                member.answered.word().to_owned(),
                after(member.acknowledged_after_ms),
                match member.last_send_after_ms {
                    Some(ms) if ms <= 0.0 => "none".to_owned(),
                    other => after(other),
                },
            ]);
        }
        text.push_str(&table.render());
        if self.wanted == Wanted::Running {
            text.push_str(&self.what_else_holds(state));
        }
        text
    }

    /// Why members stay paused although they were told to go on.
    fn what_else_holds(&self, state: &ControlState) -> String {
        if !self.members.iter().any(|member| member.answered == Answered::HeldByControl) {
            return String::new();
        }
        let mut causes = Vec::new();
        if state.pauses.get(&None).is_some_and(|pause| pause.paused) {
            causes.push("the kill switch of every launch is on: `shadowctl resume`".to_owned());
        }
        let instances =
            state.pauses.iter().filter(|(_, pause)| pause.paused).filter_map(|(instance, _)| instance.as_ref());
        causes.extend(instances.map(|i| format!("instance {i} was paused at its admin endpoint: POST /resume there")));
        let paused = state.launches.values().filter(|launch| launch.status == LaunchStatus::Paused);
        causes.extend(paused.map(|l| format!("launch {0} is paused: `shadowctl launch resume {0}`", l.name)));
        causes.iter().map(|cause| format!("still held: {cause}\n")).collect()
    }

    fn verdict(&self, patience: Duration) -> Result<(), Failure> {
        let of = |answered: Answered| {
            let names = self.members.iter().filter(|m| m.answered == answered);
            let names: Vec<String> = names.map(|m| format!("{} (launch {})", m.instance, m.launch)).collect();
            names.join(", ")
        };
        let (silent, by_itself) = (of(Answered::Silent), of(Answered::HeldByItself));
        if !silent.is_empty() {
            let cause = format!("not confirmed within {}: {silent}", words::duration(patience));
            let remedy = match self.wanted {
                Wanted::Paused => {
                    "stop those processes or cut their network: a replayer that cannot reach Kafka stops \
                                   sending when its lease of 3 s runs out, but nothing has confirmed it"
                }
                Wanted::Running => "look at their logs; `shadowctl status` tells whether they are still there",
            };
            return Err(Failure::negative(cause, remedy));
        }
        if by_itself.is_empty() {
            return Ok(());
        }
        Err(Failure::negative(
            format!("still paused: {by_itself}"),
            "its admin endpoint (POST /resume), a refused target or a lost lease holds it; its log says which",
        ))
    }
}

#[cfg(test)]
mod tests;
