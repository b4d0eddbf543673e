//! The members of each launch, as the status topic shows them to a member that reads it anyway for its lease.
//!
//! Pure, and bounded: who was not heard for longer than the lease is no fellow (such a member does not send), and is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use shadow_record::{LaunchName, Role, State, Status};
use tokio::time::Instant;

/// Most members that are remembered. Whoever does not fit is not seen, and what waits for all to be seen goes on waiting.
const MOST: usize = 4096;

/// A live member of a launch.
#[derive(Clone, Debug)]
pub struct Fellow {
    /// Its newest heartbeat.
    pub status: Status,
    /// When that was heard here.
    pub heard: Instant,
}

/// Live replayers, by launch and instance.
#[derive(Debug)]
pub(crate) struct Fellows {
    fellows: BTreeMap<(LaunchName, String), Fellow>,
    patience: Duration,
}

impl Fellows {
    /// Members are live for `patience`, the length of the lease, after a heartbeat.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { fellows: BTreeMap::new(), patience }
    }

    /// Takes in a heartbeat read at `now`.
    pub(crate) fn hear(&mut self, status: Status, now: Instant) {
        let Some(launch) = status.launch.clone().filter(|_| status.role == Role::Replayer) else { return };
        let key = (launch, status.instance.clone());
        let known = self.fellows.get(&key).map(|fellow| (fellow.status.epoch, fellow.status.sequence));
        if known.is_some_and(|known| known > (status.epoch, status.sequence)) {
            return;
        }
        if status.state == State::Stopped {
            self.fellows.remove(&key);
            return;
        }
        if known.is_none() && self.fellows.len() >= MOST {
            let patience = self.patience;
            self.fellows.retain(|_, fellow| now.duration_since(fellow.heard) <= patience);
            if self.fellows.len() >= MOST {
                return;
            }
        }
        self.fellows.insert(key, Fellow { status, heard: now });
    }

    /// The live members of `launch` at `now`.
    pub(crate) fn of(&self, launch: &LaunchName, now: Instant) -> Vec<Fellow> {
        let from = (launch.clone(), String::new());
        let of_launch = self.fellows.range(from..).take_while(|((name, _), _)| name == launch);
        of_launch.map(|(_, fellow)| fellow.clone()).filter(|f| now.duration_since(f.heard) <= self.patience).collect()
    }
}

#[cfg(test)]
mod tests {
    use shadow_record::Timestamp;

    use super::*;

    fn status(launch: &str, instance: &str, sequence: i64, state: State) -> Status {
        Status {
            instance: instance.to_owned(),
            role: Role::Replayer,
            service: String::new(),
            launch: Some(launch.parse().unwrap()),
            epoch: 1,
            sequence,
            at: Timestamp(1),
            state,
            control_version: 0,
            heard_at: None,
            last_send_at: None,
            counters: BTreeMap::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fellow_is_live_until_it_stops_or_falls_silent() {
        let mut fellows = Fellows::new(Duration::from_secs(3));
        let launch: LaunchName = "v2".parse().unwrap();
        let names = |fellows: &Fellows| {
            let of = fellows.of(&launch, Instant::now());
            of.into_iter().map(|f| (f.status.instance, f.status.sequence)).collect::<Vec<_>>()
        };
        for (launch, instance) in [("v2", "a"), ("v2", "b"), ("v3", "c"), ("v1", "d")] {
            fellows.hear(status(launch, instance, 5, State::Running), Instant::now());
        }
        fellows.hear(status("v2", "a", 4, State::Stopped), Instant::now());
        assert_eq!(names(&fellows), [("a".to_owned(), 5), ("b".to_owned(), 5)]);
        tokio::time::advance(Duration::from_secs(2)).await;
        fellows.hear(status("v2", "b", 6, State::Paused), Instant::now());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(names(&fellows), [("b".to_owned(), 6)]);
        fellows.hear(status("v2", "b", 7, State::Stopped), Instant::now());
        assert!(names(&fellows).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_are_remembered() {
        let mut fellows = Fellows::new(Duration::from_secs(3));
        for n in 0..=MOST {
            fellows.hear(status("v2", &n.to_string(), 1, State::Running), Instant::now());
        }
        assert_eq!(fellows.fellows.len(), MOST);
        tokio::time::advance(Duration::from_secs(4)).await;
        fellows.hear(status("v2", "late", 1, State::Running), Instant::now());
        assert_eq!(fellows.fellows.len(), 1);
    }
}
