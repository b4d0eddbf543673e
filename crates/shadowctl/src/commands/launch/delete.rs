//! `shadowctl launch delete`: takes an ended launch off the control topic, and says what stays.
//!
//! A deletion has no room for who and why, so the launch's record is written once more with both before it is deleted: that is what
//! `shadowctl audit` shows.

use std::time::Duration;

use serde::Serialize;
use shadow_control::{ControlRecord, ControlWriter, Launch, Rate};
use shadow_record::{LaunchName, ServiceName, topics};
use tokio::time::Instant;

use super::rewrite::rewrite;
use super::{change, is_ended, status_word};
use crate::commands::pause::{self, ConfirmArgs, Wanted};
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of};
use crate::output::Output;

/// How long members may take to leave a group, and the time between two attempts to delete it.
const LEAVING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_millis(500));

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only a launch that has ended, by promotion or rollback, can be deleted. What it found stays in ClickHouse, and so does its replayed topic
and its consumer groups in Kafka, unless --with-topics deletes these too. The comparator stops working on it: see with
`shadowctl ledger NAME` that nothing is pending. When a replayer or comparator has not let go in time, the same command deletes later what is
left.

Examples:
  shadowctl launch delete checkout-v2 --why 'cleaned up'
  shadowctl launch delete checkout-v2 --with-topics --yes")]
pub(crate) struct DeleteArgs {
    /// The launch
    name: LaunchName,
    /// Also delete its replayed topic and its consumer groups
    #[arg(long)]
    with_topics: bool,
    /// Confirms --with-topics
    #[arg(long, requires = "with_topics")]
    yes: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// What was deleted and what stays.
#[derive(Debug, Serialize)]
struct Deleted {
    launch: LaunchName,
    /// `null` when its control record was deleted before.
    control_version: Option<i64>,
    deleted: Vec<String>,
    stays: Vec<String>,
}

impl Deleted {
    fn of(launch: LaunchName, control_version: Option<i64>) -> Self {
        let rows = format!(
            "rows in ClickHouse: `shadowctl report {launch}` and `shadowctl verdict {launch}` go on working, until `shadowctl launch forget {launch}`"
        );
        Self { launch, control_version, deleted: Vec::new(), stays: vec![rows] }
    }

    fn render(&self) -> String {
        let mut text = match self.control_version {
            Some(version) => format!("launch {} deleted (control version {version})\n", self.launch),
            None => format!("launch {} was deleted before\n", self.launch),
        };
        let lines = self.deleted.iter().map(|what| format!("  deleted  {what}\n"));
        text.extend(lines.chain(self.stays.iter().map(|what| format!("  stays    {what}\n"))));
        text
    }
}

/// What a launch has in Kafka beside its control record.
struct Kept {
    topics: Vec<String>,
    groups: [String; 2],
}

impl Kept {
    fn of(name: &LaunchName, topics: Vec<String>) -> Self {
        Self { topics, groups: [topics::replayer_group(name), topics::comparator_group(name)] }
    }

    /// What is left of a launch that is no longer on the control topic: neither service nor launch has a dot in its name.
    async fn left_of(kafka: &Kafka, name: &LaunchName) -> Result<Self, Failure> {
        let ours = |topic: &String| {
            let service = topic.split('.').nth(2).and_then(|service| service.parse::<ServiceName>().ok());
            service.is_some_and(|service| topics::replayed(&service, name) == *topic)
        };
        Ok(Self::of(name, kafka.admin.topics().await?.into_iter().filter(ours).collect()))
    }

    fn shown(&self) -> impl Iterator<Item = String> {
        let topics = self.topics.iter().map(|topic| format!("topic {topic}"));
        topics.chain(self.groups.iter().map(|group| format!("group {group}")))
    }

    /// Deletes the groups, then the topics: as long as something is left, a topic shows it. What is done moves in `answer` from what
    /// stays to what was deleted.
    async fn delete(&self, kafka: &Kafka, answer: &mut Deleted) -> Result<(), Failure> {
        answer.stays.extend(self.shown());
        let mut done = |what: String| {
            answer.stays.retain(|stays| *stays != what);
            answer.deleted.push(what);
        };
        for group in &self.groups {
            delete_group(kafka, group).await?;
            done(format!("group {group}"));
        }
        for topic in &self.topics {
            kafka.admin.delete_topic(topic).await?;
            done(format!("topic {topic}"));
        }
        Ok(())
    }
}

pub(super) async fn run(kafka: &Kafka, args: DeleteArgs) -> Result<(), Failure> {
    let DeleteArgs { name, with_topics, yes, confirm } = args;
    let state = kafka.control().await?;
    let sure = |kept: &Kept| {
        let what: Vec<String> = kept.shown().collect();
        let refusal = Failure::usage(format!("this would delete {} for good", what.join(", ")), "add --yes");
        if with_topics && !yes { Err(refusal) } else { Ok(()) }
    };
    let launch = match launch_of(&state, &name) {
        Ok(launch) => launch,
        Err(unknown) => {
            let kept = Kept::left_of(kafka, &name).await?;
            if !with_topics || kept.topics.is_empty() || state.unreadable.contains(&ControlRecord::launch_key(&name)) {
                return Err(unknown);
            }
            sure(&kept)?;
            return finish(kafka, &kept, Deleted::of(name, None), confirm.output).await;
        }
    };
    refuse_running(launch)?;
    let kept = Kept::of(&name, vec![topics::replayed(&launch.service, &name)]);
    sure(&kept)?;
    let last_word = rewrite(kafka, &name, |launch| {
        refuse_running(launch)?;
        Ok(Some(Launch { change: change(confirm.why.clone()), ..launch.clone() }))
    })
    .await?;
    // Whoever is still at work on it has to be gone before nothing is left that says that it ended.
    let version = last_word.version.unwrap_or_default();
    pause::confirm(kafka, Some(name.clone()), Wanted::Ended, version, confirm.timeout).await?.verdict()?;

    let writer = ControlWriter::new(&kafka.config)?;
    let mut control_version = version;
    let own_rates = state.rates.values().filter(|rate| rate.launch.as_ref() == Some(&name));
    let rates = own_rates.map(|rate: &Rate| ControlRecord::Rate(rate.clone()).key());
    for key in rates.chain([
        ControlRecord::shares_key(&name),
        ControlRecord::pause_key(&name),
        ControlRecord::launch_key(&name),
    ]) {
        control_version = writer.delete(&key).await?;
    }
    let mut answer = Deleted::of(name, Some(control_version));
    answer.deleted.push(format!("its control record ({})", status_word(launch.status)));
    if with_topics {
        return finish(kafka, &kept, answer, confirm.output).await;
    }
    answer.stays.extend(kept.shown());
    answer.stays.push("so another launch of this name would go on where this one was: choose another name".to_owned());
    confirm.output.show(&answer, Deleted::render)
}

/// Deletes what is kept in Kafka, and says how far it came also when it did not come to the end.
async fn finish(kafka: &Kafka, kept: &Kept, mut answer: Deleted, output: Output) -> Result<(), Failure> {
    let done = kept.delete(kafka, &mut answer).await;
    output.show(&answer, Deleted::render)?;
    done.map_err(|failure| {
        let again = format!("`shadowctl launch delete {} --with-topics --yes` deletes what is left", answer.launch);
        let busy = "wait until replayers and comparators have let go, or look at their logs";
        let remedy = if failure.remedy.is_empty() { busy } else { failure.remedy.as_str() };
        Failure { remedy: format!("{remedy}; then {again}"), ..failure }
    })
}

fn refuse_running(launch: &Launch) -> Result<(), Failure> {
    if is_ended(launch) {
        return Ok(());
    }
    let name = &launch.name;
    Err(Failure::negative(
        format!("launch {name} is {}, not ended", status_word(launch.status)),
        format!("end it first: `shadowctl launch rollback {name}` or `shadowctl launch promote {name}`"),
    ))
}

/// Deletes a group when its last member has left.
async fn delete_group(kafka: &Kafka, group: &str) -> Result<(), Failure> {
    let (patience, pause) = LEAVING;
    let deadline = Instant::now() + patience;
    loop {
        match kafka.admin.delete_group(group).await {
            Err(shadow_kafka::KafkaError::GroupInUse(_)) if Instant::now() < deadline => {
                tokio::time::sleep(pause).await
            }
            done => return Ok(done?),
        }
    }
}
