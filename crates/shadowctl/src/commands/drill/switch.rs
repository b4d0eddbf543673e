//! The pause that a drill puts, and takes away again if it is still the drill's own.
//!
//! The pause is the launch's, and anybody may pause it too while the drill holds it. Guarantee: a pause that somebody else put at any
//! moment of the drill stands at its end, whichever of the two was written first.

use shadow_control::{Change, ControlRecord, ControlWriter, Pause};
use shadow_record::{LaunchName, Timestamp};

use crate::commands::launch::status_word;
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of};

/// The switch of one launch.
pub(super) struct Switch<'a> {
    pub(super) kafka: &'a Kafka,
    writer: ControlWriter,
    pub(super) launch: LaunchName,
    /// Who drills, and why.
    change: Change,
}

/// One pull: the pause, and what is to lift it. Each is known again by the time that it carries.
pub(super) struct Pull {
    /// The control version before it.
    known: i64,
    pub(super) pause: Pause,
    lift: Pause,
}

impl<'a> Switch<'a> {
    /// # Errors
    /// When settings cannot be used.
    pub(super) fn of(kafka: &'a Kafka, launch: LaunchName, change: Change) -> Result<Self, Failure> {
        Ok(Self { kafka, writer: ControlWriter::new(&kafka.config)?, launch, change })
    }

    /// A pull of the switch of a launch that runs; nothing is written yet.
    ///
    /// # Errors
    /// When the launch is paused, by whatever, or has ended.
    pub(super) async fn ready(&self) -> Result<Pull, Failure> {
        let state = self.kafka.control().await?;
        let launch = launch_of(&state, &self.launch)?;
        // Of no instance: one that is paused by itself shows that in its heartbeats.
        if state.is_paused(&self.launch, "") {
            return Err(Failure::negative(
                format!("launch {} is paused or has ended: there is nothing to stop", launch.name),
                "`shadowctl status` and `shadowctl launch show` tell by whom; drill a launch that sends",
            ));
        }
        let now = Timestamp::now();
        let pause = |paused, why: &str, at| {
            Pause::of_launch(
                self.launch.clone(),
                paused,
                Change { by: self.change.by.clone(), why: why.to_owned(), at },
            )
        };
        let lift = pause(false, "drill: over", Timestamp(now.micros() + 1));
        Ok(Pull { known: state.version, pause: pause(true, &self.change.why, now), lift })
    }

    /// Pauses, and gives the control version.
    ///
    /// # Errors
    /// When it was not acknowledged; it may stand all the same.
    pub(super) async fn pull(&self, pull: &Pull) -> Result<i64, Failure> {
        Ok(self.writer.put(&ControlRecord::Pause(pull.pause.clone())).await?)
    }

    /// Takes the pause away, and gives the control version. The outer error is worth another try, the inner one is final.
    pub(super) async fn let_go(&self, pull: &Pull) -> Result<Result<i64, Failure>, Failure> {
        let state = self.kafka.control().await?;
        match state.launches.get(&self.launch) {
            None => return Ok(Err(self.changed("deleted"))),
            Some(launch) if launch.status.is_ended() => return Ok(Err(self.changed(status_word(launch.status)))),
            Some(_) => {}
        }
        if let Some(theirs) = self.somebody_elses(pull).await? {
            return self.leave(theirs).await.map(Err);
        }
        let version = self.writer.put(&ControlRecord::Pause(pull.lift.clone())).await?;
        // Theirs may have been written while ours was on its way, and be what ours has lifted.
        match self.somebody_elses(pull).await? {
            Some(theirs) => self.leave(theirs).await.map(Err),
            None => Ok(Ok(version)),
        }
    }

    /// The pause that somebody else has put since the drill looked, if they did not take it away themselves.
    async fn somebody_elses(&self, pull: &Pull) -> Result<Option<Theirs>, Failure> {
        let records = self.kafka.pauses_since(&self.launch, pull.known).await?;
        Ok(theirs(&records, pull))
    }

    /// Sees to it that their pause is the newest.
    async fn leave(&self, theirs: Theirs) -> Result<Failure, Failure> {
        if !theirs.stands {
            // One that this version cannot read is stood in for by a pause that it can.
            let why = "somebody else paused it during a drill".to_owned();
            let change = Change { why, at: Timestamp::now(), ..self.change.clone() };
            let pause = theirs.pause.unwrap_or_else(|| Pause::of_launch(self.launch.clone(), true, change));
            self.writer.put(&ControlRecord::Pause(pause)).await?;
        }
        Ok(self.changed("paused"))
    }

    fn changed(&self, what: &str) -> Failure {
        let name = &self.launch;
        Failure::negative(
            format!("somebody else has changed launch {name} during the drill: it is {what}, and stays so"),
            format!("`shadowctl launch show {name}` tells by whom; `shadowctl resume --launch {name}` lifts a pause"),
        )
    }
}

/// A pause that is not the drill's.
#[derive(Debug, PartialEq)]
struct Theirs {
    /// `None` when this version cannot read it.
    pause: Option<Pause>,
    /// Whether it is the newest record.
    stands: bool,
}

/// What somebody else paused and left so, among the records under the pause's key since the drill looked, oldest first; `None` is one
/// that cannot be read.
fn theirs(records: &[Option<Pause>], pull: &Pull) -> Option<Theirs> {
    let foreign =
        |record: &Option<Pause>| record.as_ref().is_none_or(|pause| *pause != pull.pause && *pause != pull.lift);
    let newest = records.iter().rposition(foreign)?;
    let pause = records[newest].clone();
    let paused = pause.as_ref().is_none_or(|pause| pause.paused);
    paused.then(|| Theirs { pause, stands: newest + 1 == records.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(by: &str, paused: bool, at: i64) -> Pause {
        let change = Change { by: by.to_owned(), why: String::new(), at: Timestamp(at) };
        Pause::of_launch("v2".parse().unwrap(), paused, change)
    }

    #[test]
    fn what_somebody_else_paused_is_theirs_whichever_was_first() {
        let pull = Pull { known: 7, pause: pause("drill", true, 1), lift: pause("drill", false, 2) };
        let (ours, lift) = (Some(pull.pause.clone()), Some(pull.lift.clone()));
        let (hers, resumed) = (Some(pause("ann", true, 1)), Some(pause("ann", false, 9)));
        let found = |records: &[&Option<Pause>]| {
            let records: Vec<_> = records.iter().map(|record| (*record).clone()).collect();
            theirs(&records, &pull)
        };
        for none in [&[][..], &[&ours], &[&ours, &lift], &[&hers, &resumed, &ours], &[&ours, &hers, &resumed, &lift]] {
            assert_eq!(found(none), None, "{none:?}");
        }
        let stands = |stands| Some(Theirs { pause: hers.clone(), stands });
        assert_eq!(found(&[&ours, &hers]), stands(true));
        assert_eq!(found(&[&hers, &ours]), stands(false), "written over by the drill's");
        assert_eq!(found(&[&ours, &hers, &lift]), stands(false), "lifted by the drill");
        assert_eq!(found(&[&ours, &None]), Some(Theirs { pause: None, stands: true }), "of a newer version");
    }
}
