//! `shadowctl launch promote` and `rollback`: ends a launch, and waits until every member has stopped.

use shadow_control::{Launch, LaunchStatus};
use shadow_record::LaunchName;

use super::rewrite::rewrite;
use super::{OneLaunch, change, refuse_ended, status_word};
use crate::commands::pause::{self, Wanted};
use crate::failure::Failure;
use crate::kafka::Kafka;

/// Ends the launch as `status` says.
///
/// # Errors
/// When it has ended before, or a member has not confirmed that it stopped.
pub(super) async fn run(kafka: &Kafka, args: OneLaunch, status: LaunchStatus) -> Result<(), Failure> {
    let OneLaunch { name, confirm } = args;
    let ended = rewrite(kafka, &name, |launch| {
        refuse_ended(launch, "create another launch")?;
        Ok(Some(Launch { status, change: change(confirm.why.clone()), ..launch.clone() }))
    })
    .await?;
    let version = ended.version.unwrap_or_default();
    let answer = pause::confirm(kafka, Some(name.clone()), Wanted::Ended, version, confirm.timeout).await?;
    confirm.output.show(&answer, |answer| {
        let word = status_word(status);
        format!("launch {name} is {word} (control version {version})\n{}{}", answer.roll_call(), next(&name, status))
    })?;
    answer.verdict()
}

fn next(name: &LaunchName, status: LaunchStatus) -> String {
    let next = match status {
        LaunchStatus::Promoted => format!(
            "\n  next: `shadowctl launch reverse {name} --as NEW --candidate URL` lets the old version answer in the shadow"
        ),
        _ => format!("\n  next: `shadowctl report {name}` still tells what it found"),
    };
    format!("{next}; `shadowctl launch delete {name}` removes it")
}
