//! `shadowctl launch delete`: takes an ended launch off the control topic, and says what stays.
//!
//! A deletion has no room for who and why, so the launch's record is written once more with both before it is deleted: that is what
//! `shadowctl audit` shows.

use std::time::Duration;

use serde::Serialize;
use shadow_control::{ControlRecord, ControlWriter, Launch, Rate};
use shadow_record::{LaunchName, topics};
use tokio::time::Instant;

use super::rewrite::rewrite;
use super::{change, is_ended, status_word};
use crate::commands::pause::{self, ConfirmArgs, Wanted};
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of};

/// How long members may take to leave a group, and the time between two attempts to delete it.
const LEAVING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_millis(500));

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only a launch that has ended, by promotion or rollback, can be deleted. What it found stays in ClickHouse, and so does its replayed topic
and its consumer groups in Kafka, unless --with-topics deletes these too. The comparator stops working on it: see with
`shadowctl ledger NAME` that nothing is pending.

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
    control_version: i64,
    deleted: Vec<String>,
    stays: Vec<String>,
}

impl Deleted {
    fn render(&self) -> String {
        let mut text = format!("launch {} deleted (control version {})\n", self.launch, self.control_version);
        let lines = self.deleted.iter().map(|what| format!("  deleted  {what}\n"));
        text.extend(lines.chain(self.stays.iter().map(|what| format!("  stays    {what}\n"))));
        text
    }
}

pub(super) async fn run(kafka: &Kafka, args: DeleteArgs) -> Result<(), Failure> {
    let DeleteArgs { name, with_topics, yes, confirm } = args;
    let state = kafka.control().await?;
    let launch = launch_of(&state, &name)?;
    refuse_running(launch)?;
    let replayed = topics::replayed(&launch.service, &name);
    let groups = [topics::replayer_group(&name), topics::comparator_group(&name)];
    if with_topics && !yes {
        return Err(Failure::usage(
            format!("this would delete topic {replayed} and groups {} for good", groups.join(" and ")),
            "add --yes",
        ));
    }
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
    for key in rates.chain([ControlRecord::shares_key(&name), ControlRecord::launch_key(&name)]) {
        control_version = writer.delete(&key).await?;
    }
    let mut deleted = vec![format!("its control record ({})", status_word(launch.status))];
    let rows = format!("rows in ClickHouse: `shadowctl report {name}` and `shadowctl verdict {name}` go on working");
    let in_kafka = [format!("topic {replayed}")].into_iter().chain(groups.iter().map(|group| format!("group {group}")));
    let mut stays = vec![rows];
    if with_topics {
        for group in &groups {
            delete_group(kafka, group).await?;
        }
        kafka.admin.delete_topic(&replayed).await?;
        deleted.extend(in_kafka);
    } else {
        stays.extend(in_kafka);
        stays.push("so another launch of this name would go on where this one was: choose another name".to_owned());
    }
    let deleted = Deleted { launch: name, control_version, deleted, stays };
    confirm.output.show(&deleted, Deleted::render)
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
