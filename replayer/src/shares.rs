//! Which part of a topic's rate each partition may use: by backlog, and never more than the whole. Pure.
//!
//! Stands between the control topic and the pacer. Shares belong to partitions, which have one owner at a time; a member's rate is
//! the rate times the sum of its partitions' shares. Whoever holds partition 0 moves them in two records: the first names the old
//! and the new weights, and allows the lesser of the two; when every partition's holder follows it, the second makes the new ones
//! hold. [`keep`] is the task around this, [`backlog`] what a member says of itself.
//!
//! A record that was passed over is followed by the standing one once more: compaction keeps the newest of a key, and who reads only
//! that must find the same.
//!
//! Guarantee, shown by the property test: over any order of records, heartbeats, rebalances and losses of members the shares that
//! are used sum to at most 1. It rests on this: a partition is given up before another takes it; who takes one first reads the
//! control topic as far as it reaches then; a member that is not heard for longer than the lease sends nothing; a record that was
//! not written with knowledge of the newest is passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use shadow_control::{SharesError, Standing};
use tokio::time::Instant;

pub(crate) mod backlog;
pub(crate) mod keep;

/// Part of the rate that is spread evenly, so that no partition is starved on an old word of its backlog.
const EVEN: f64 = 0.005;
/// Arrivals of this long count as waiting already.
const HORIZON: Duration = Duration::from_secs(10);
/// Between moves of shares.
const PERIOD: Duration = Duration::from_secs(2);
/// Part of the rate that must change hands to be worth a move.
const WORTH: f64 = 0.02;
/// Shares are whole multiples of one in so many, so that records are readable. Rounded down.
const STEPS: f64 = 1e6;

/// What the control topic allows each partition, by number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terms {
    /// Control version of the record; -1 without one.
    pub(crate) version: i64,
    before: Vec<f64>,
    now: Vec<f64>,
    /// A later record was passed over, so these are to be the newest again.
    passed_over: bool,
}

impl Terms {
    /// The terms of the shares that stand, for a topic of so many partitions; equal ones without, and where they are not usable.
    pub(crate) fn of(standing: Option<&Standing>, partitions: usize) -> (Self, Option<SharesError>) {
        let equal = vec![1.0 / partitions.max(1) as f64; partitions];
        let terms = |version, passed_over, (before, now)| Self { version, before, now, passed_over };
        let Some(Standing { version, shares, passed_over }) = standing else {
            return (terms(-1, false, (equal.clone(), equal)), None);
        };
        match shares.by_partition(partitions) {
            Ok(both) => (terms(*version, *passed_over, both), None),
            Err(error) => (terms(*version, *passed_over, (equal.clone(), equal)), Some(error)),
        }
    }

    /// The share that a partition may use.
    pub(crate) fn share(&self, partition: i32) -> f64 {
        let at = usize::try_from(partition).unwrap_or(usize::MAX);
        self.before.get(at).zip(self.now.get(at)).map_or(0.0, |(before, now)| before.min(*now))
    }

    fn is_settled(&self) -> bool {
        self.before == self.now
    }
}

/// What one member says in its heartbeats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim {
    /// The terms it follows, by their version.
    pub(crate) follows: i64,
    /// The partitions it holds.
    pub(crate) holds: BTreeMap<i32, Backlog>,
    /// When that was heard.
    pub(crate) heard: Instant,
}

/// How much of a partition waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Records without an acknowledged outcome.
    pub(crate) lag: i64,
    /// Next offset to be written.
    pub(crate) end: i64,
}

/// The next record to write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Next {
    /// Version of the terms it follows.
    pub(crate) after: i64,
    /// What holds now.
    pub(crate) before: Vec<f64>,
    /// What shall hold.
    pub(crate) now: Vec<f64>,
}

/// Decides for a member while that holds partition 0.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    arrivals: Arrivals,
    moved: Option<Instant>,
}

impl Judge {
    /// Takes note of what the members say.
    pub(crate) fn hear(&mut self, claims: &[Claim], now: Instant) {
        for (partition, backlog) in claims.iter().flat_map(|claim| &claim.holds) {
            self.arrivals.note(*partition, backlog.end, now);
        }
    }

    /// What to write now, if anything. `since` is when this member was assigned its partitions: what was said before speaks of other
    /// holders.
    pub(crate) fn next(&mut self, terms: &Terms, claims: &[Claim], since: Instant, now: Instant) -> Option<Next> {
        if terms.passed_over {
            return Some(Next { after: terms.version, before: terms.before.clone(), now: terms.now.clone() });
        }
        let backlogs = agreed(terms, claims, since)?;
        if !terms.is_settled() {
            return Some(Next { after: terms.version, before: terms.now.clone(), now: terms.now.clone() });
        }
        if self.moved.is_some_and(|moved| now.saturating_duration_since(moved) < PERIOD) {
            return None;
        }
        let demand: Vec<f64> = (0..).zip(&backlogs).map(|(p, backlog)| self.demand(p, *backlog)).collect();
        let wanted = weights(&demand);
        if moved(&terms.now, &wanted) < WORTH {
            return None;
        }
        self.moved = Some(now);
        Some(Next { after: terms.version, before: terms.now.clone(), now: wanted })
    }

    fn demand(&self, partition: i32, backlog: Backlog) -> f64 {
        backlog.lag.max(0) as f64 + self.arrivals.per_second(partition) * HORIZON.as_secs_f64()
    }
}

/// The backlog of every partition, when the holders of all follow these terms and said so since then.
fn agreed(terms: &Terms, claims: &[Claim], since: Instant) -> Option<Vec<Backlog>> {
    let mut backlogs = vec![None; terms.now.len()];
    for claim in claims.iter().filter(|claim| claim.follows >= terms.version && claim.heard > since) {
        for (partition, backlog) in &claim.holds {
            let place = usize::try_from(*partition).ok().and_then(|at| backlogs.get_mut(at))?;
            // Two that claim one partition: a rebalance is under way.
            if place.replace(*backlog).is_some() {
                return None;
            }
        }
    }
    backlogs.into_iter().collect()
}

/// Shares in proportion to demand, so that all partitions run dry at once.
fn weights(demand: &[f64]) -> Vec<f64> {
    let (count, total) = (demand.len().max(1) as f64, demand.iter().sum::<f64>());
    let share = |part: &f64| if total > 0.0 { EVEN / count + (1.0 - EVEN) * part / total } else { 1.0 / count };
    demand.iter().map(|part| (share(part) * STEPS).floor() / STEPS).collect()
}

/// Part of the whole that changes hands.
fn moved(from: &[f64], to: &[f64]) -> f64 {
    from.iter().zip(to).map(|(from, to)| (from - to).abs()).sum::<f64>() / 2.0
}

/// How fast partitions grow, from the ends that heartbeats name.
#[derive(Debug, Default)]
struct Arrivals(BTreeMap<i32, Growth>);

/// Two ends of one partition: the later one and one up to two horizons before.
#[derive(Debug)]
struct Growth {
    from: (Instant, i64),
    between: (Instant, i64),
    to: (Instant, i64),
}

impl Arrivals {
    fn note(&mut self, partition: i32, end: i64, now: Instant) {
        let seen = (now, end);
        let growth = self.0.entry(partition).or_insert(Growth { from: seen, between: seen, to: seen });
        if end < growth.to.1 {
            return;
        }
        growth.to = seen;
        if now.saturating_duration_since(growth.between.0) >= HORIZON {
            (growth.from, growth.between) = (growth.between, seen);
        }
    }

    fn per_second(&self, partition: i32) -> f64 {
        let Some(Growth { from, to, .. }) = self.0.get(&partition) else { return 0.0 };
        let time = to.0.saturating_duration_since(from.0).as_secs_f64();
        // One look is no growth yet.
        if time > 0.0 { (to.1 - from.1) as f64 / time } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;
