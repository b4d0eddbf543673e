//! The kill switch on this instance: the gates of all its launches, and the admin endpoint's hold on them.
//!
//! Guarantees: `/pause` shuts every gate before it answers, those of launches that begin later too; the pause is also written
//! to the control topic, so that it survives a restart. `/resume` takes both away; pauses from elsewhere stay.

mod metrics;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shadow_control::{Cause, Change, ControlRecord, ControlState, Gate, Pause};
use shadow_record::LaunchName;
use shadow_runtime::admin::Pausable;
use tokio::sync::watch;

pub(crate) use metrics::GateMetrics;

/// Before a pause that could not be written to the control topic is written again.
const RETRY: Duration = Duration::from_secs(1);

/// All gates of this instance.
pub(crate) struct Gates {
    gates: Mutex<BTreeMap<LaunchName, Arc<Gate>>>,
    /// What the admin endpoint said last; `None` until it says something.
    said: watch::Sender<Option<Said>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Pause,
    Resume,
}

impl Default for Gates {
    fn default() -> Self {
        Self { gates: Mutex::default(), said: watch::Sender::new(None) }
    }
}

impl Gates {
    /// A gate for a launch, shut until its target is proved and whatever holds all the others lets go.
    pub(crate) fn make(&self, launch: &LaunchName) -> Arc<Gate> {
        let mut gates = self.gates();
        let gate = Arc::new(Gate::new());
        gate.shut(Cause::Target);
        if *self.said.borrow() == Some(Said::Pause) {
            gate.shut(Cause::Admin);
        }
        gates.insert(launch.clone(), gate.clone());
        gate
    }

    pub(crate) fn remove(&self, launch: &LaunchName) {
        self.gates().remove(launch);
    }

    /// Does what the control topic says.
    pub(crate) fn follow(&self, state: &ControlState, instance: &str) {
        for (launch, gate) in self.gates().iter() {
            gate.follow(state, launch, instance);
        }
    }

    /// Writes what the admin endpoint says to the control topic by `put`, for as long as this is polled; first what it has said
    /// before this began.
    pub(crate) async fn remember<F, E>(&self, instance: &str, put: impl Fn(ControlRecord) -> F)
    where
        F: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        let mut said = self.said.subscribe();
        loop {
            let word = *said.borrow_and_update();
            if let Some(word) = word {
                let change = Change::by(instance, "admin endpoint");
                let paused = word == Said::Pause;
                let pause = Pause { instance: Some(instance.to_owned()), launch: None, paused, change };
                if let Err(error) = put(ControlRecord::Pause(pause)).await {
                    tracing::warn!(%error, "the pause holds here but would not survive a restart yet");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            if said.changed().await.is_err() {
                return;
            }
        }
    }

    fn say(&self, word: Said, act: impl Fn(&Gate)) {
        let gates = self.gates();
        self.said.send_replace(Some(word));
        gates.values().for_each(|gate| act(gate));
    }

    fn gates(&self) -> MutexGuard<'_, BTreeMap<LaunchName, Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pausable for Gates {
    fn pause(&self) {
        self.say(Said::Pause, |gate| gate.shut(Cause::Admin));
        tracing::info!("paused by the admin endpoint");
    }

    fn resume(&self) {
        self.say(Said::Resume, |gate| gate.release(Cause::Admin));
        tracing::info!("resumed by the admin endpoint");
    }

    fn paused(&self) -> bool {
        *self.said.borrow() == Some(Said::Pause) || self.gates().values().any(|gate| !gate.is_open())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::SeqCst;

    use super::*;

    #[test]
    fn the_admin_endpoint_holds_launches_that_begin_later_too() {
        let gates = Gates::default();
        let early = gates.make(&"early".parse().unwrap());
        gates.pause();
        let late = gates.make(&"late".parse().unwrap());
        assert!(gates.paused() && early.is_shut_by(Cause::Admin) && late.is_shut_by(Cause::Admin));
        gates.resume();
        assert!(!early.is_shut_by(Cause::Admin) && !late.is_shut_by(Cause::Admin));
        assert!(early.is_shut_by(Cause::Target), "a pause from elsewhere stays");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_before_the_control_topic_could_be_written_is_written_until_it_is_there() {
        let gates = Gates::default();
        gates.pause();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let refusals = std::sync::atomic::AtomicUsize::new(2);
        let remembering = gates.remember("r1", |record| {
            let refused = refusals.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            let told = if refused { Err("away".to_owned()) } else { tell.send(record).map_err(|e| e.to_string()) };
            async move { told }
        });
        let heard = async {
            let first = told.recv().await;
            gates.resume();
            [first, told.recv().await].map(|record| match record {
                Some(ControlRecord::Pause(pause)) => (pause.instance, pause.paused),
                other => panic!("not a pause: {other:?}"),
            })
        };
        tokio::select! {
            () = remembering => unreachable!("the gates are still there"),
            heard = heard => {
                assert_eq!(heard, [true, false].map(|paused| (Some("r1".to_owned()), paused)));
            }
        }
    }
}
