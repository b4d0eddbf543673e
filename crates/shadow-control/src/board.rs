//! Who is there: the newest heartbeat of every instance and launch. A pure fold over the status topic.

use std::collections::BTreeMap;
use std::time::Duration;

use shadow_record::{LaunchName, Role, State, Status, Timestamp};

/// The newest word of one subject.
#[derive(Clone, Debug)]
pub struct Member {
    /// The heartbeat.
    pub status: Status,
    /// When the broker had it.
    pub seen: Timestamp,
}

/// The newest heartbeat of each (instance, launch).
#[derive(Clone, Debug, Default)]
pub struct StatusBoard {
    members: BTreeMap<(String, Option<LaunchName>), Member>,
    newest: Timestamp,
}

impl StatusBoard {
    /// Takes in one heartbeat that the broker had at `seen`.
    pub fn apply(&mut self, seen: Timestamp, status: Status) {
        self.newest = self.newest.max(seen);
        let key = (status.instance.clone(), status.launch.clone());
        let older = self
            .members
            .get(&key)
            .is_some_and(|m| (m.status.epoch, m.status.sequence) > (status.epoch, status.sequence));
        if !older {
            self.members.insert(key, Member { status, seen });
        }
    }

    /// Every subject ever heard of, by instance and launch.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Subjects heard within `patience` before `now` that have not said they stopped. Times are the broker's, so clocks of
    /// instances do not matter.
    pub fn live(&self, now: Timestamp, patience: Duration) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |m| m.status.state != State::Stopped && now.since(m.seen) <= patience)
    }

    /// Newest time the broker gave to a heartbeat.
    pub fn newest(&self) -> Timestamp {
        self.newest
    }

    /// Live replayers of a launch, or of all launches.
    pub fn replayers<'a>(
        &'a self,
        launch: Option<&'a LaunchName>,
        now: Timestamp,
        patience: Duration,
    ) -> impl Iterator<Item = &'a Member> {
        self.live(now, patience)
            .filter(|m| m.status.role == Role::Replayer && m.status.launch.is_some())
            .filter(move |m| launch.is_none() || m.status.launch.as_ref() == launch)
    }
}
