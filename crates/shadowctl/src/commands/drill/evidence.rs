//! What each member shows during one trial: when it confirmed, and that it stayed silent afterwards. Pure.
//!
//! A member's silence is proved by its own later heartbeat: written at least the hold after the one that confirmed, it must not
//! tell of a later send. Both times are of the member's clock, so clocks need not agree.

use std::time::Duration;

use serde::Serialize;
use shadow_record::{State, Status, Timestamp};

use crate::commands::pause::roll::{Answered, Confirmation};

/// One member in one trial. Times are milliseconds from the beginning of the command, at most.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Evidence {
    pub(crate) instance: String,
    pub(crate) answered: Answered,
    pub(crate) heard_ms: Option<f64>,
    pub(crate) acknowledged_ms: Option<f64>,
    /// Of the last request; none later than the command where it is 0 or less.
    pub(crate) last_send_ms: Option<f64>,
    /// From hearing to the last request, by the member's own clock; 0 or less when none left afterwards.
    pub(crate) last_send_after_heard_ms: Option<f64>,
    pub(crate) silence: Silence,
}

/// Whether a member stayed silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Silence {
    /// A later heartbeat says so.
    Proved,
    /// A later heartbeat tells of a request that left after the confirmation.
    Broken,
    /// No later heartbeat came.
    Unproved,
}

impl Evidence {
    /// Whether it did what it was told.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.answered, Answered::Confirmed | Answered::Stopped) && self.silence == Silence::Proved
    }
}

/// Watches members after they have confirmed.
#[derive(Debug)]
pub(crate) struct Watch(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    confirmation: Confirmation,
    /// Its clock at which a heartbeat proves its silence; `None` when it has not confirmed.
    until: Option<Timestamp>,
    silence: Silence,
}

impl Watch {
    /// For members that were told to pause; each has to stay silent for `hold` after its own confirmation.
    pub(crate) fn over(members: &[Confirmation], hold: Duration) -> Self {
        let watched = members.iter().map(|confirmation| Watched {
            // Who has stopped altogether has nothing more to say.
            silence: if confirmation.answered == Answered::Stopped { Silence::Proved } else { Silence::Unproved },
            until: confirmation.confirmed_by.as_ref().map(|status| status.at.plus(hold)),
            confirmation: confirmation.clone(),
        });
        Self(watched.collect())
    }

    /// Takes in a heartbeat.
    pub(crate) fn take(&mut self, status: &Status) {
        for watched in &mut self.0 {
            let Confirmation { instance, launch, confirmed_by, .. } = &watched.confirmation;
            let (Some(confirmed), Some(until)) = (confirmed_by, watched.until) else { continue };
            let newer = (status.epoch, status.sequence) > (confirmed.epoch, confirmed.sequence);
            if status.instance != *instance || status.launch.as_ref() != Some(launch) || !newer {
                continue;
            }
            // A member that began anew has not sent before it says so.
            if status.last_send_at > confirmed.last_send_at || status.state == State::Running {
                watched.silence = Silence::Broken;
            } else if watched.silence == Silence::Unproved && (status.at >= until || status.state == State::Stopped) {
                watched.silence = Silence::Proved;
            }
        }
    }

    /// Whether nothing more is to be waited for.
    pub(crate) fn is_complete(&self) -> bool {
        self.0.iter().all(|watched| watched.until.is_none() || watched.silence != Silence::Unproved)
    }

    /// What each member showed; the command began `appended` before its record was known to stand, at most.
    pub(crate) fn into_evidence(self, appended: Duration) -> Vec<Evidence> {
        let from_command = |ms: Option<f64>| ms.map(|ms| ms + appended.as_secs_f64() * 1e3);
        let evidence = |Watched { confirmation, silence, .. }: Watched| Evidence {
            heard_ms: from_command(confirmation.heard_after_ms),
            acknowledged_ms: from_command(confirmation.acknowledged_after_ms),
            last_send_ms: from_command(confirmation.last_send_after_ms),
            last_send_after_heard_ms: confirmation
                .confirmed_by
                .as_ref()
                .and_then(|status| Some((status.last_send_at?.micros() - status.heard_at?.micros()) as f64 / 1e3)),
            instance: confirmation.instance,
            answered: confirmation.answered,
            silence,
        };
        self.0.into_iter().map(evidence).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use shadow_record::Role;

    fn status(sequence: i64, at_ms: i64, last_send_ms: i64, state: State) -> Status {
        Status {
            instance: "r1".to_owned(),
            role: Role::Replayer,
            service: String::new(),
            launch: Some("v2".parse().unwrap()),
            epoch: 1,
            sequence,
            at: Timestamp(at_ms * 1000),
            state,
            control_version: 7,
            heard_at: Some(Timestamp(10_000_000)),
            last_send_at: Some(Timestamp(last_send_ms * 1000)),
            counters: BTreeMap::new(),
        }
    }

    fn watch(answered: Answered) -> Watch {
        let confirmed = Confirmation {
            instance: "r1".to_owned(),
            launch: "v2".parse().unwrap(),
            answered,
            acknowledged_after_ms: Some(20.0),
            last_send_after_ms: Some(-3.0),
            heard_after_ms: Some(5.0),
            confirmed_by: (answered != Answered::Silent).then(|| status(5, 10_020, 9_998, State::Paused)),
        };
        Watch::over(&[confirmed], Duration::from_secs(2))
    }

    #[test]
    fn a_heartbeat_after_the_hold_without_a_later_send_proves_silence() {
        let mut watch = watch(Answered::Confirmed);
        watch.take(&status(4, 99_000, 9_999, State::Running));
        watch.take(&status(6, 10_500, 9_998, State::Paused));
        assert!(!watch.is_complete(), "one is older, the other too early");
        watch.take(&status(7, 12_020, 9_998, State::Paused));
        assert!(watch.is_complete());
        let evidence = watch.into_evidence(Duration::from_millis(15)).remove(0);
        assert!(evidence.holds());
        assert_eq!((evidence.acknowledged_ms, evidence.last_send_ms), (Some(35.0), Some(12.0)));
        assert_eq!((evidence.heard_ms, evidence.last_send_after_heard_ms), (Some(20.0), Some(-2.0)));
    }

    #[test]
    fn a_later_send_breaks_it_for_good() {
        for breaking in [status(6, 10_500, 10_030, State::Paused), status(6, 10_500, 9_998, State::Running)] {
            let mut watch = watch(Answered::Confirmed);
            watch.take(&breaking);
            watch.take(&status(7, 12_020, 9_998, State::Paused));
            assert!(watch.is_complete());
            let evidence = watch.into_evidence(Duration::ZERO).remove(0);
            assert_eq!((evidence.silence, evidence.holds()), (Silence::Broken, false));
        }
    }

    #[test]
    fn who_never_confirmed_is_not_waited_for_and_does_not_hold() {
        let watch = watch(Answered::Silent);
        assert!(watch.is_complete());
        assert!(!watch.into_evidence(Duration::ZERO)[0].holds());
    }
}
