//! The account that an agent left behind, balanced.
//!
//! A request's way through the counters is `seen`, then at most once `handed`, then one settlement, each a single addition. So
//! wherever the process ended, the counters say exactly how many requests stood between two of these steps:
//!
//! ```text
//! seen - early - handed    had not reached the Kafka client: lost with the agent
//! handed - late            had, and Kafka's word did not come: in doubt
//! ```
//!
//! Guarantee: `seen = excluded + sampled_out + dropped + acknowledged + in_doubt + lost_with_agent`, exactly.

use std::collections::BTreeMap;

use super::layout::{Entry, Kind, Label, Unreadable, decode};
use super::{DropReason, IN_DOUBT, LOST};

/// How an agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It closed its account; nobody acknowledged its last heartbeat.
    Stopped,
    /// It was killed.
    Killed,
}

/// What an agent counted, read from the file it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAccount {
    /// Logical service.
    pub service: String,
    /// The agent.
    pub instance: String,
    /// The brokers it was configured with.
    pub brokers: String,
    /// Start of the process, microseconds since 1970.
    pub epoch: i64,
    /// Stopped or killed; of a running agent: killed, if it were now.
    pub ended: Ended,
    /// The counters as a heartbeat carries them; those that the module's equation names add up.
    pub counters: BTreeMap<String, i64>,
}

impl LeftAccount {
    /// Reads and balances an account.
    ///
    /// # Errors
    /// Why the bytes hold none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (Label { service, instance, brokers, epoch }, entries) = decode(bytes)?;
        let ended = if total(&entries, Kind::Closed)? > 0 { Ended::Stopped } else { Ended::Killed };
        Ok(Self { service, instance, brokers, epoch, ended, counters: balance(&entries, ended)? })
    }

    /// One counter.
    pub fn counter(&self, name: &str) -> i64 {
        self.counters.get(name).copied().unwrap_or(0)
    }
}

fn balance(entries: &[Entry], ended: Ended) -> Result<BTreeMap<String, i64>, Unreadable> {
    let [seen, handed, early, late] =
        [Kind::Seen, Kind::Handed, Kind::Early, Kind::Late].map(|kind| total(entries, kind));
    let (seen, handed, early, late) = (seen?, handed?, early?, late?);
    let in_doubt = handed - late;
    let unfinished = seen - early - handed;
    if in_doubt < 0 || unfinished < 0 {
        return Err(Unreadable::Impossible);
    }
    let totals = ["excluded", "sampled_out", "dropped", "acknowledged", IN_DOUBT, "in_flight", LOST];
    let mut counters: BTreeMap<String, i64> = totals.map(|name| (name.to_owned(), 0)).into();
    counters.insert("seen".to_owned(), seen);
    let mut add = |name: &str, value: i64| {
        *counters.entry(name.to_owned()).or_default() += value;
        if let Some((total, _)) = name.split_once('.') {
            *counters.entry(total.to_owned()).or_default() += value;
        }
    };
    for Entry { name, value, .. } in entries.iter().filter(|entry| matches!(entry.kind, Kind::Early | Kind::Late)) {
        add(name, *value as i64);
    }
    add(IN_DOUBT, in_doubt);
    match ended {
        Ended::Stopped => add(&format!("dropped.{}", DropReason::Stopped.as_str()), unfinished),
        Ended::Killed => {
            add(LOST, unfinished);
            add("killed", 1);
        }
    }
    Ok(counters)
}

/// Sum of the counters of a kind, if it can be one of requests.
fn total(entries: &[Entry], kind: Kind) -> Result<i64, Unreadable> {
    let values = entries.iter().filter(|entry| entry.kind == kind).map(|entry| i64::try_from(entry.value));
    values.into_iter().try_fold(0_i64, |sum, value| sum.checked_add(value.ok()?)).ok_or(Unreadable::Impossible)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(counts: &[(Kind, &str, u64)]) -> Vec<Entry> {
        counts
            .iter()
            .map(|(kind, name, value)| Entry { kind: *kind, name: (*name).to_owned(), value: *value })
            .collect()
    }

    fn balanced(ended: Ended, counts: &[(Kind, &str, u64)]) -> Result<BTreeMap<String, i64>, Unreadable> {
        let counters = balance(&entries(counts), ended)?;
        let settled = ["excluded", "sampled_out", "dropped", "acknowledged", IN_DOUBT, LOST].map(|name| counters[name]);
        assert_eq!(counters["seen"], settled.iter().sum::<i64>(), "{counters:?}");
        Ok(counters)
    }

    /// 100 seen: 19 settled early, 50 handed of which 30 were settled; so 31 had not come to Kafka.
    const COUNTS: &[(Kind, &str, u64)] = &[
        (Kind::Seen, "seen", 100),
        (Kind::Handed, "handed", 50),
        (Kind::Early, "excluded.filtered", 9),
        (Kind::Early, "excluded.by_a_later_version", 1),
        (Kind::Early, "sampled_out", 5),
        (Kind::Early, "dropped.queue_full", 4),
        (Kind::Late, "acknowledged", 26),
        (Kind::Late, "in_doubt", 1),
        (Kind::Late, "dropped.of_a_later_version", 3),
    ];

    #[test]
    fn of_a_killed_agent_what_kafka_was_given_is_in_doubt_and_the_rest_is_lost() {
        let counters = balanced(Ended::Killed, COUNTS).unwrap();
        assert_eq!((counters[LOST], counters[IN_DOUBT], counters["acknowledged"]), (31, 21, 26));
        assert_eq!((counters["excluded"], counters["dropped"], counters["killed"]), (10, 7, 1));
        assert_eq!(counters["excluded.by_a_later_version"], 1);
        assert_eq!(counters["in_flight"], 0);
    }

    #[test]
    fn an_agent_that_stopped_by_itself_lost_nothing_without_saying_why() {
        let counters = balanced(Ended::Stopped, COUNTS).unwrap();
        assert_eq!((counters[LOST], counters[IN_DOUBT], counters["dropped.stopped"]), (0, 21, 31));
        assert!(!counters.contains_key("killed"));
    }

    #[test]
    fn counters_that_contradict_each_other_are_no_account() {
        for (kind, name, value) in [
            (Kind::Late, "acknowledged", 51),
            (Kind::Early, "sampled_out", 51),
            (Kind::Handed, "handed", 101),
            (Kind::Early, "sampled_out", u64::MAX),
        ] {
            let counts = [(Kind::Seen, "seen", 100), (Kind::Handed, "handed", 50), (kind, name, value)];
            assert_eq!(balance(&entries(&counts), Ended::Killed), Err(Unreadable::Impossible), "{name} {value}");
        }
        assert!(balanced(Ended::Killed, &[]).is_ok(), "an agent that never saw a request");
    }
}
