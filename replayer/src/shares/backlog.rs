//! How much of each partition waits, as this member's heartbeats and metrics say it.
//!
//! Guarantee: only partitions that this member holds are spoken of, and only once it follows the terms that are named with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Backlog, keep};

/// The gauge of all launches.
pub(crate) type Lags = Family<OfPartition, Gauge>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfPartition {
    launch: String,
    partition: i32,
}

/// The partitions of one launch on this instance.
pub(crate) struct Backlogs {
    launch: String,
    gauge: Lags,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Terms that are followed, and for which partitions; `None` before there are any.
    follows: Option<i64>,
    claims: BTreeSet<i32>,
    reach: BTreeMap<i32, Reach>,
}

/// The first offset without an acknowledged outcome, and the next one to be written.
#[derive(Clone, Copy, Default)]
struct Reach {
    low: i64,
    end: i64,
}

impl Reach {
    fn backlog(self) -> Backlog {
        let end = self.end.max(self.low);
        Backlog { lag: end - self.low, end }
    }
}

impl Backlogs {
    pub(crate) fn new(launch: String, gauge: Lags) -> Self {
        Self { launch, gauge, state: Mutex::default() }
    }

    /// A partition is this member's; it begins at `low`.
    pub(crate) fn take_over(&self, partition: i32, low: i64, end: i64) {
        self.state().reach.insert(partition, Reach { low, end });
        self.show(partition, Reach { low, end });
    }

    /// No partition is this member's any more.
    pub(crate) fn give_up(&self) {
        let mut state = self.state();
        state.claims.clear();
        for partition in std::mem::take(&mut state.reach).into_keys() {
            self.gauge.remove(&self.of(partition));
        }
    }

    /// The pacer has these terms, for these partitions. Whether that is news.
    pub(crate) fn follows(&self, version: i64, partitions: &BTreeSet<i32>) -> bool {
        let mut state = self.state();
        let news = state.follows != Some(version) || state.claims != *partitions;
        if news {
            (state.follows, state.claims) = (Some(version), partitions.clone());
        }
        news
    }

    /// Where a partition of this member ends.
    pub(crate) fn ends(&self, partition: i32, end: i64) {
        self.change(partition, |reach| reach.end = reach.end.max(end));
    }

    /// The first offset of a partition without an acknowledged outcome.
    pub(crate) fn unfinished(&self, partition: i32, low: i64) {
        self.change(partition, |reach| reach.low = low);
    }

    /// All of it as counters of a heartbeat.
    pub(crate) fn counters(&self) -> BTreeMap<String, i64> {
        let state = self.state();
        let Some(follows) = state.follows else { return BTreeMap::new() };
        let of = |partition: &i32| (*partition, state.reach.get(partition).copied().unwrap_or_default().backlog());
        keep::counters(follows, state.claims.iter().map(of)).collect()
    }

    fn change(&self, partition: i32, change: impl FnOnce(&mut Reach)) {
        let mut state = self.state();
        if let Some(reach) = state.reach.get_mut(&partition) {
            change(reach);
            self.show(partition, *reach);
        }
    }

    fn show(&self, partition: i32, reach: Reach) {
        self.gauge.get_or_create(&self.of(partition)).set(reach.backlog().lag);
    }

    fn of(&self, partition: i32) -> OfPartition {
        OfPartition { launch: self.launch.clone(), partition }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_held_under_terms_that_are_followed_is_spoken_of() {
        let backlogs = Backlogs::new("v2".to_owned(), Lags::default());
        let said = |backlogs: &Backlogs| format!("{:?}", backlogs.counters());
        backlogs.take_over(3, 10, 50);
        assert_eq!(said(&backlogs), "{}");
        assert!(backlogs.follows(7, &[3].into()));
        assert!(!backlogs.follows(7, &[3].into()));
        backlogs.unfinished(3, 20);
        backlogs.ends(3, 40);
        backlogs.ends(4, 99);
        assert_eq!(said(&backlogs), r#"{"end.3": 50, "lag.3": 30, "shares": 7}"#);
        backlogs.unfinished(3, 60);
        assert_eq!(said(&backlogs), r#"{"end.3": 60, "lag.3": 0, "shares": 7}"#);
        backlogs.give_up();
        assert_eq!(said(&backlogs), r#"{"shares": 7}"#);
    }
}
