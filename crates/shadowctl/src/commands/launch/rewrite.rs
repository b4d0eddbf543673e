//! Changing a launch that others may be changing too: people at their terminals, ramps.
//!
//! Kafka has no compare-and-swap, so a change is written and then looked at: when somebody else's record slipped in between the one
//! it was made of and its own, it is made again of theirs, or, where it no longer applies, theirs is put back. Whatever two do at
//! the same moment, no word of either is lost. Pauses are no part of it: they are records of their own.

use shadow_control::{ControlRecord, ControlWriter, Launch};
use shadow_record::LaunchName;

use crate::failure::Failure;
use crate::kafka::{Kafka, Written, launch_of};

/// How often a change is made anew before it is given up.
const ATTEMPTS: usize = 5;

/// What a change came to.
#[derive(Clone, Debug)]
pub(crate) struct Rewritten {
    pub(crate) before: Launch,
    pub(crate) after: Launch,
    /// The control version that it made; `None` when there was nothing to change.
    pub(crate) version: Option<i64>,
}

/// Writes the launch as `change` makes it; `None` leaves it as it is.
///
/// # Errors
/// When there is no such launch, this version cannot read it, `change` refuses, or Kafka does not answer.
pub(crate) async fn rewrite(
    kafka: &Kafka,
    name: &LaunchName,
    change: impl Fn(&Launch) -> Result<Option<Launch>, Failure>,
) -> Result<Rewritten, Failure> {
    // First of all, as it connects in the background: the less time between what is read and what is written, the better.
    let writer = ControlWriter::new(&kafka.config)?;
    let state = kafka.control().await?;
    if state.unreadable.contains(&ControlRecord::launch_key(name)) {
        return Err(Failure::negative(
            format!("launch {name} was written by a newer version, which this one would overwrite"),
            "upgrade shadowctl",
        ));
    }
    let mut before = launch_of(&state, name)?.clone();
    let mut known = state.version;
    let Some(mut after) = change(&before)? else {
        return Ok(Rewritten { after: before.clone(), before, version: None });
    };
    let mut refused = Ok(());
    for _ in 0..ATTEMPTS {
        let version = writer.put(&ControlRecord::Launch(Box::new(after.clone()))).await?;
        match looked_back(kafka, name, known, version).await? {
            Written::Launch(theirs) if *theirs != after => {
                known = version;
                // Where ours no longer applies, theirs is put back, and looked at in the same way.
                (after, refused) = match change(&theirs) {
                    Ok(Some(ours)) => (ours, Ok(())),
                    Ok(None) => ((*theirs).clone(), Ok(())),
                    Err(failure) => ((*theirs).clone(), Err(failure)),
                };
                before = *theirs;
            }
            Written::Deletion => {
                writer.delete(&ControlRecord::launch_key(name)).await?;
                return Err(Failure::negative(
                    format!("launch {name} was deleted at the same moment"),
                    "`shadowctl audit` tells by whom",
                ));
            }
            Written::Nothing | Written::Launch(_) => {
                return refused.map(|()| Rewritten { before, after, version: Some(version) });
            }
        }
    }
    Err(Failure::negative(
        format!("others keep changing launch {name}; the last word is not known"),
        format!("look at it (`shadowctl launch show {name}`, `shadowctl audit --launch {name}`) and try again"),
    ))
}

/// What slipped in. Asked again where Kafka does not answer: until it has, a wrong record may stand.
async fn looked_back(kafka: &Kafka, name: &LaunchName, known: i64, version: i64) -> Result<Written, Failure> {
    let mut attempt = 1;
    loop {
        match kafka.written_between(name, known, version).await {
            Err(failure) if attempt == ATTEMPTS => {
                return Err(Failure {
                    cause: format!(
                        "launch {name} is changed, but what others wrote meanwhile is not known: {}",
                        failure.cause
                    ),
                    ..failure
                });
            }
            Err(_) => attempt += 1,
            Ok(written) => return Ok(written),
        }
    }
}
