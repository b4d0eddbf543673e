//! `shadowctl pause` and `resume`: the kill switch, and proof that it took hold.
//!
//! The record is written first, before anyone is looked for: nothing may delay a stop. It stands under a key of its own, also for one
//! launch: who changes the launch at the same moment cannot undo it, and it can bring nothing back that has ended. Then the status topic tells who was
//! there at that moment, and each of them must acknowledge the record's version in the state it asks for.

pub(crate) mod roll;

use std::time::Duration;

use serde::Serialize;
use shadow_control::{ControlRecord, ControlState, ControlWriter, Launch, LaunchStatus, Pause, ensure_shared_topics};
use shadow_kafka::{KafkaConfig, Tail, TailEvent};
use shadow_record::{LaunchName, Status, decode, topics};
use shadow_runtime::units::HumanDuration;
use tokio::time::Instant;

use self::roll::{Answered, Confirmation, Roll};
use super::launch::{change, refuse_ended, rewrite};
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
    /// Stopped altogether: the launch has ended.
    Ended,
    /// To go on as they were, under what was changed.
    Changed,
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
    pub(crate) timeout: HumanDuration,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl PauseArgs {
    pub(crate) fn for_launch(launch: LaunchName, confirm: ConfirmArgs) -> Self {
        Self { launch: Some(launch), confirm }
    }
}

pub(crate) async fn run(kafka: &Kafka, wanted: Wanted, args: PauseArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    let ConfirmArgs { timeout, why, output } = args.confirm;
    // First of all, as it connects in the background while the rest is asked.
    let writer = ControlWriter::new(&kafka.config)?;
    let (record, topics) =
        tokio::join!(record(kafka, wanted, args.launch.as_ref(), why), ensure_shared_topics(&kafka.admin));
    topics?;
    let record = record?;
    tracing::debug!(after = ?begun.elapsed(), "writing the control record");
    let version = writer.put(&record).await?;
    tracing::debug!(after = ?begun.elapsed(), version, "the control record stands");

    let stood = begun.elapsed();
    let mut answer = confirm(kafka, args.launch, wanted, version, timeout).await?;
    answer.appended_after_ms = Some(stood.as_secs_f64() * 1e3);
    output.show(&answer, Answer::render)?;
    answer.verdict()
}

/// Waits until every member that was there has answered the control record that made `version`, or `timeout` is over.
///
/// # Errors
/// When it cannot be known who was there. Members that did not answer are [`Answer::verdict`]'s.
pub(crate) async fn confirm(
    kafka: &Kafka,
    launch: Option<LaunchName>,
    wanted: Wanted,
    version: i64,
    timeout: HumanDuration,
) -> Result<Answer, Failure> {
    let mut roll = Roll::new(launch.clone(), wanted, version, kafka.control_with(version).await?);
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
    Ok(Answer {
        wanted,
        launch,
        control_version: version,
        members,
        appended_after_ms: None,
        state,
        patience: timeout.get(),
    })
}

/// The control record that asks for it.
async fn record(
    kafka: &Kafka,
    wanted: Wanted,
    launch: Option<&LaunchName>,
    why: Option<String>,
) -> Result<ControlRecord, Failure> {
    let (paused, change) = (wanted == Wanted::Paused, change(why));
    let Some(name) = launch else {
        return Ok(ControlRecord::Pause(Pause { instance: None, launch: None, paused, change }));
    };
    let state = kafka.control().await?;
    let unreadable = |key: String| state.unreadable.contains(&key);
    let newer = unreadable(ControlRecord::launch_key(name));
    // What this version cannot read it can still stop.
    if !(paused && newer) {
        refuse_ended(launch_of(&state, name)?, "create another launch")?;
    }
    if !paused {
        if newer || unreadable(ControlRecord::pause_key(name)) {
            return Err(Failure::negative(
                format!("launch {name} was changed or paused by a newer version: what holds it is not known here"),
                "upgrade shadowctl",
            ));
        }
        // Launches that an earlier version paused say so themselves.
        rewrite(kafka, name, |launch| {
            refuse_ended(launch, "create another launch")?;
            let active = || Launch { status: LaunchStatus::Active, change: change.clone(), ..launch.clone() };
            Ok((launch.status == LaunchStatus::Paused).then(active))
        })
        .await?;
    }
    Ok(ControlRecord::Pause(Pause::of_launch(name.clone(), paused, change)))
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
pub(crate) struct Answer {
    wanted: Wanted,
    /// `null` for every launch.
    launch: Option<LaunchName>,
    control_version: i64,
    members: Vec<Confirmation>,
    /// From the beginning of the command until its record was known to stand, milliseconds: the members' times begin at most so
    /// much later than the command.
    appended_after_ms: Option<f64>,
    /// The control topic with the command in it.
    #[serde(skip)]
    state: ControlState,
    #[serde(skip)]
    patience: Duration,
}

impl Answer {
    fn render(&self) -> String {
        let subject = match &self.launch {
            Some(name) => format!("launch {name}"),
            None => "every launch".to_owned(),
        };
        let verb = match self.wanted {
            Wanted::Paused => "paused",
            Wanted::Running => "resumed",
            Wanted::Ended => "ended",
            Wanted::Changed => "changed",
        };
        format!("{subject} {verb} (control version {})\n{}", self.control_version, self.roll_call())
    }

    /// What each member answered.
    pub(crate) fn roll_call(&self) -> String {
        if self.members.is_empty() {
            let nobody = match self.wanted {
                Wanted::Paused => "no live replayers: nothing is being sent, and whoever starts stays paused",
                Wanted::Running => "no live replayers: whoever starts begins to send",
                Wanted::Ended => "no live replayers: nothing is being sent",
                Wanted::Changed => "no live replayers: whoever starts follows it",
            };
            return nobody.to_owned();
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
        let mut text = table.render();
        text.push_str(&self.since_the_command());
        if self.wanted == Wanted::Running {
            text.push_str(&self.what_else_holds());
        }
        text
    }

    /// The last send as whoever pressed the key sees it.
    fn since_the_command(&self) -> String {
        let last = self.members.iter().filter_map(|member| member.last_send_after_ms).reduce(f64::max);
        match (self.appended_after_ms, last) {
            (Some(stood), Some(last)) if self.wanted == Wanted::Paused => format!(
                "the record stood {} after the command began, so the last request left at most {} after it\n",
                words::millis(stood),
                words::millis((stood + last).max(0.0)),
            ),
            _ => String::new(),
        }
    }

    /// Why members stay paused although they were told to go on.
    fn what_else_holds(&self) -> String {
        let state = &self.state;
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
        let paused = state.launches.values().filter(|launch| state.status_of(launch) == LaunchStatus::Paused);
        causes.extend(paused.map(|l| format!("launch {0} is paused: `shadowctl launch resume {0}`", l.name)));
        causes.iter().map(|cause| format!("still held: {cause}\n")).collect()
    }

    /// Whether every member does what was asked, with nothing that holds it back.
    pub(crate) fn is_done(&self) -> bool {
        self.members.iter().all(|member| matches!(member.answered, Answered::Confirmed | Answered::Stopped))
    }

    /// # Errors
    /// Naming the members that did not answer, or that something of their own holds.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        let of = |answered: Answered| {
            let names = self.members.iter().filter(|m| m.answered == answered);
            let names: Vec<String> = names.map(|m| format!("{} (launch {})", m.instance, m.launch)).collect();
            names.join(", ")
        };
        let (silent, by_itself) = (of(Answered::Silent), of(Answered::HeldByItself));
        if !silent.is_empty() {
            let cause = format!("not confirmed within {}: {silent}", words::duration(self.patience));
            let remedy = match self.wanted {
                Wanted::Paused | Wanted::Ended => {
                    "stop those processes or cut their network: a replayer that cannot reach Kafka stops \
                                   sending when its lease of 3 s runs out, but nothing has confirmed it"
                }
                Wanted::Running | Wanted::Changed => {
                    "look at their logs; `shadowctl status` tells whether they are still there"
                }
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
