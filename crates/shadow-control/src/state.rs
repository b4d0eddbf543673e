//! The control topic folded into what holds now. Pure: records in, state out.

use std::collections::{BTreeMap, BTreeSet};

use shadow_record::{LaunchName, Timestamp, topics};

use crate::record::{LAUNCH_KEY, PAUSE_KEY, RATE_KEY, UPSTREAM_KEY};
use crate::{Change, ControlError, ControlRecord, Launch, LaunchStatus, Pause, Rate, Standing, Upstream};

/// What the control topic says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlState {
    /// Up to which offset the topic was applied; -1 for nothing.
    pub version: i64,
    /// When this instance read that record, by its own clock; `None` where nobody noted it.
    pub heard_at: Option<Timestamp>,
    /// Whether the topic was read to the end it had at start.
    pub caught_up: bool,
    /// All launches that exist.
    pub launches: BTreeMap<LaunchName, Launch>,
    /// Rates by captured topic, and by launch where they are for one.
    pub rates: BTreeMap<(String, Option<LaunchName>), Rate>,
    /// Pauses by instance; `None` is everything.
    pub pauses: BTreeMap<Option<String>, Pause>,
    /// Pauses of single launches, each with the version that it made.
    pub launch_pauses: BTreeMap<LaunchName, (i64, Pause)>,
    /// Production's addresses by record key.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Shares of the launches' rates; equal ones for launches without.
    pub shares: BTreeMap<LaunchName, Standing>,
    /// Keys whose newest record this version cannot read.
    pub unreadable: BTreeSet<String>,
}

impl ControlState {
    /// Nothing read yet.
    pub fn empty() -> Self {
        Self { version: -1, ..Self::default() }
    }

    /// Applies the record at `offset`. An empty value deletes the key.
    ///
    /// # Errors
    /// [`ControlError`] for a record this version cannot read; what it speaks of is paused until a readable one follows.
    pub fn apply(&mut self, offset: i64, key: &str, value: &[u8]) -> Result<(), ControlError> {
        self.version = offset;
        if value.is_empty() {
            self.delete(key);
            return Ok(());
        }
        let record = match ControlRecord::decode(key, value) {
            Ok(record) => record,
            Err(error) => {
                self.unreadable.insert(key.to_owned());
                self.delete_shares(key);
                return Err(error);
            }
        };
        self.unreadable.remove(key);
        match record {
            ControlRecord::Launch(launch) => drop(self.launches.insert(launch.name.clone(), *launch)),
            ControlRecord::Rate(rate) => {
                drop(self.rates.insert((rate.topic.clone(), rate.launch.clone()), rate));
            }
            ControlRecord::Pause(pause) => match pause.launch.clone() {
                Some(launch) => drop(self.launch_pauses.insert(launch, (offset, pause))),
                None => drop(self.pauses.insert(pause.instance.clone(), pause)),
            },
            ControlRecord::Upstream(upstream) => drop(self.upstreams.insert(key.to_owned(), upstream)),
            ControlRecord::Shares(shares) => Standing::take(&mut self.shares, offset, shares),
        }
        Ok(())
    }

    fn delete_shares(&mut self, key: &str) {
        self.shares.retain(|launch, _| ControlRecord::shares_key(launch) != key);
    }

    fn delete(&mut self, key: &str) {
        self.unreadable.remove(key);
        self.launches.retain(|name, _| ControlRecord::launch_key(name) != key);
        self.rates.retain(|_, rate| ControlRecord::Rate(rate.clone()).key() != key);
        self.pauses.retain(|instance, _| match instance {
            None => key != "pause/all",
            Some(instance) => key != format!("{PAUSE_KEY}instance/{instance}"),
        });
        self.launch_pauses.retain(|launch, _| ControlRecord::pause_key(launch) != key);
        self.upstreams.remove(key);
        self.delete_shares(key);
    }

    /// Whether `launch` must not send from `instance`, as far as the control topic says.
    pub fn is_paused(&self, launch: &LaunchName, instance: &str) -> bool {
        let active = self.launches.get(launch).is_some_and(|l| self.status_of(l) == LaunchStatus::Active);
        let everything = self.pauses.get(&None).is_some_and(|p| p.paused);
        let here = self.pauses.get(&Some(instance.to_owned())).is_some_and(|p| p.paused);
        !active || everything || here || self.unreadable.iter().any(|key| self.concerns(key, launch))
    }

    /// Where `launch` stands: what its record says, and paused where its pause does, or where that cannot be read.
    pub fn status_of(&self, launch: &Launch) -> LaunchStatus {
        let held =
            || self.paused_by(launch).is_some() || self.unreadable.contains(&ControlRecord::pause_key(&launch.name));
        if launch.status == LaunchStatus::Active && held() { LaunchStatus::Paused } else { launch.status }
    }

    /// `launch` as it stands, for people: with [`ControlState::status_of`] it, and the newest change of its record and its pause.
    pub fn standing(&self, launch: &Launch) -> Launch {
        let pause = self.launch_pauses.get(&launch.name).map(|(_, pause)| &pause.change);
        let change = pause.filter(|pause| pause.at >= launch.change.at).unwrap_or(&launch.change);
        Launch { status: self.status_of(launch), change: change.clone(), ..launch.clone() }
    }

    /// Who paused `launch` itself, if somebody has: in its pause, or, as earlier versions did, in its own record.
    pub fn paused_by<'a>(&'a self, launch: &'a Launch) -> Option<&'a Change> {
        let pause = self.launch_pauses.get(&launch.name).map(|(_, pause)| pause).filter(|pause| pause.paused);
        let own = (launch.status == LaunchStatus::Paused).then_some(&launch.change);
        pause.map(|pause| &pause.change).or(own)
    }

    /// An unreadable record may be a pause, a lower rate, or a place of production: what it may speak of is paused.
    fn concerns(&self, key: &str, launch: &LaunchName) -> bool {
        let topic = || self.launches.get(launch).map(|l| topics::captured(&l.service));
        let another_launchs = |pause: &str| pause.strip_prefix("launch/").is_some_and(|of| of != launch.as_str());
        key.strip_prefix(PAUSE_KEY).is_some_and(|pause| !another_launchs(pause))
            || key.starts_with(UPSTREAM_KEY)
            || key.strip_prefix(LAUNCH_KEY) == Some(launch.as_str())
            || key.strip_prefix(RATE_KEY).is_some_and(|rate| match rate.split_once('/') {
                Some((_, of)) => of == launch.as_str(),
                None => topic().as_deref() == Some(rate),
            })
    }

    /// The rate that holds for `launch` (for launches without one of their own, where it is `None`) on `topic`.
    pub fn rate(&self, topic: &str, launch: Option<&LaunchName>) -> Option<&Rate> {
        let own = launch.and_then(|launch| self.rates.get(&(topic.to_owned(), Some(launch.clone()))));
        own.or_else(|| self.rates.get(&(topic.to_owned(), None)))
    }

    /// Requests per second of `launch` on `topic`, its own or the topic's; `None` for no limit.
    pub fn rate_of(&self, topic: &str, launch: Option<&LaunchName>) -> Option<f64> {
        self.rate(topic, launch).and_then(|rate| rate.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(instance: Option<&str>, paused: bool) -> ControlRecord {
        ControlRecord::Pause(Pause {
            instance: instance.map(str::to_owned),
            launch: None,
            paused,
            change: Change::by("ann", "drill"),
        })
    }

    fn pause_of(launch: &str, paused: bool) -> ControlRecord {
        ControlRecord::Pause(Pause::of_launch(launch.parse().unwrap(), paused, Change::by("ann", "drill")))
    }

    fn launch(name: &str) -> ControlRecord {
        let json = format!(
            r#"{{"launch":{{"name":"{name}","service":"shop","candidate":"http://c:1/","start":{{"0":5}},"status":"active",
                "change":{{"by":"ann","why":"","at":0}}}}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn fold(records: &[ControlRecord]) -> ControlState {
        let mut state = ControlState::empty();
        for (offset, record) in records.iter().enumerate() {
            state.apply(offset as i64, &record.key(), &record.encode()).unwrap();
        }
        state
    }

    #[test]
    fn every_pause_holds_until_it_is_lifted() {
        let name: LaunchName = "v2".parse().unwrap();
        assert!(fold(&[]).is_paused(&name, "r1"), "an unknown launch sends nothing");
        assert!(!fold(&[launch("v2")]).is_paused(&name, "r1"));
        let here = fold(&[launch("v2"), pause(Some("r1"), true)]);
        assert!(here.is_paused(&name, "r1") && !here.is_paused(&name, "r2"));
        assert!(fold(&[launch("v2"), pause(None, true)]).is_paused(&name, "r1"));
        assert!(!fold(&[launch("v2"), pause(None, true), pause(None, false)]).is_paused(&name, "r1"));
    }

    #[test]
    fn a_launchs_pause_outlives_every_record_of_the_launch_and_revives_none_that_has_ended() {
        let (name, other): (LaunchName, LaunchName) = ("v2".parse().unwrap(), "v3".parse().unwrap());
        let paused = fold(&[launch("v2"), launch("v3"), pause_of("v2", true), launch("v2")]);
        assert!(paused.is_paused(&name, "r1") && !paused.is_paused(&other, "r1"));
        let standing = paused.standing(&paused.launches[&name]);
        assert_eq!((standing.status, standing.change.why.as_str()), (LaunchStatus::Paused, "drill"));
        assert_eq!((paused.launch_pauses[&name].0, paused.paused_by(&paused.launches[&name]).is_some()), (2, true));
        let lifted = [launch("v2"), pause_of("v2", true), pause_of("v2", false)];
        assert!(!fold(&lifted).is_paused(&name, "r1"));
        for status in [LaunchStatus::Paused, LaunchStatus::RolledBack, LaunchStatus::Promoted] {
            let ControlRecord::Launch(whole) = launch("v2") else { unreachable!("a launch") };
            let stopped = ControlRecord::Launch(Box::new(Launch { status, ..*whole }));
            let state = fold(&[stopped, pause_of("v2", true), pause_of("v2", false)]);
            assert!(state.is_paused(&name, "r1"), "{status:?}");
            assert_eq!(state.status_of(&state.launches[&name]), status);
        }
    }

    #[test]
    fn a_launchs_pause_that_cannot_be_read_pauses_that_launch_until_it_is_gone() {
        let (name, other): (LaunchName, LaunchName) = ("v2".parse().unwrap(), "v3".parse().unwrap());
        let mut state = fold(&[launch("v2"), launch("v3")]);
        assert!(state.apply(2, "pause/launch/v2", br#"{"format":99,"record":{}}"#).is_err());
        assert!(state.is_paused(&name, "r1") && !state.is_paused(&other, "r1"));
        assert_eq!(state.status_of(&state.launches[&name]), LaunchStatus::Paused);
        state.apply(3, "pause/launch/v2", b"").unwrap();
        assert!(!state.is_paused(&name, "r1"));
        state.apply(4, "pause/launch/v2", &pause_of("v2", true).encode()).unwrap();
        state.apply(5, "pause/launch/v2", b"").unwrap();
        assert!(!state.is_paused(&name, "r1") && state.launch_pauses.is_empty());
    }

    #[test]
    fn records_survive_the_wire() {
        for record in [launch("v2"), pause(Some("r1"), true), pause(None, false), pause_of("v2", true)] {
            assert_eq!(ControlRecord::decode(&record.key(), &record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn only_what_an_earlier_version_cannot_read_has_a_newer_format() {
        let format = |record: &ControlRecord| {
            let value: serde_json::Value = serde_json::from_slice(&record.encode()).unwrap();
            value["format"].as_u64().unwrap()
        };
        let ControlRecord::Launch(plain) = launch("v2") else { unreachable!("a launch") };
        assert!(plain.control.is_none() && plain.gates.is_none(), "what the first version wrote");
        let control = crate::Control { url: plain.candidate.clone(), sample: 0.5 };
        let with_control = Launch { control: Some(control), ..(*plain).clone() };
        let with_gates = Launch { gates: Some(String::new()), ..(*plain).clone() };
        let with_replay =
            Launch { replay: crate::Replay { adaptive: false, ..Default::default() }, ..(*plain).clone() };
        for (launch, expected) in [(*plain, 1), (with_control, 2), (with_gates, 2), (with_replay, 3)] {
            let record = ControlRecord::Launch(Box::new(launch));
            assert_eq!(format(&record), expected);
            assert_eq!(ControlRecord::decode(&record.key(), &record.encode()).unwrap(), record);
        }
    }

    #[test]
    fn a_record_of_a_newer_version_pauses_what_it_speaks_of() {
        let name: LaunchName = "v2".parse().unwrap();
        let mut state = fold(&[launch("v2"), launch("v3")]);
        let error = state.apply(9, "launch/v2", br#"{"format":4,"record":{"ramp":{}}}"#).unwrap_err();
        assert!(error.to_string().contains("upgrade"), "{error}");
        assert!(state.is_paused(&name, "r1"));
        assert!(!state.is_paused(&"v3".parse().unwrap(), "r1"));
        state.apply(10, "launch/v2", &launch("v2").encode()).unwrap();
        assert!(!state.is_paused(&name, "r1"));
        for (offset, key) in [(11, "upstream/shop/a1"), (12, "rate/shadow.captured.shop")] {
            assert!(state.apply(offset, key, b"garbage").is_err());
            assert!(state.is_paused(&name, "r1"), "{key}");
            state.apply(offset, key, b"").unwrap();
            assert!(!state.is_paused(&name, "r1"), "{key}");
        }
        assert!(state.apply(13, "rate/shadow.captured.other", b"garbage").is_err());
        assert!(!state.is_paused(&name, "r1"), "another service's rate");
        assert!(state.apply(14, "pause/all", b"garbage").is_err());
        assert!(state.is_paused(&name, "r1"));
    }

    #[test]
    fn a_tombstone_deletes_and_a_record_under_a_foreign_key_is_refused() {
        let mut state = fold(&[launch("v2")]);
        assert!(state.apply(4, "launch/other", &launch("v2").encode()).is_err());
        state.apply(5, "launch/v2", b"").unwrap();
        assert!(state.launches.is_empty());
    }
}
