//! What waits for its turn: partitions take turns, sessions are in order. Pure.
//!
//! A lane is a partition. Turns keep a partition with a long backlog from holding up the others, whose records would grow stale
//! and whose windows would stay full. A session is requests of one lane that leave one after the other, each when the one before
//! has ended its turn; until then it is passed over, and what stands behind it in its lane goes first.
//!
//! Guarantees, shown by the property tests: every item comes out once, those of a session in order and never two at a
//! time; nothing waits but for its own session; what waits longer than its lane allows comes out as stuck; an item
//! costs O(log n), and what is held is what was put in (bounded by the windows).

use std::collections::btree_map::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{HashSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

/// A session: its lane, and the key of its records.
pub type SessionId = (i32, Bytes);

/// Waiting items, by lane and session. What is empty is gone.
#[derive(Debug)]
pub struct Sessions<T> {
    lanes: BTreeMap<i32, Lane<T>>,
    served: i32,
    /// Sessions that have an item out, or next in their lane.
    busy: HashMap<SessionId, Session<T>>,
    /// Those of them with a request in flight: few, as places are.
    in_flight: HashSet<SessionId>,
    behind: usize,
    arrivals: u64,
    /// What goes first, where lanes do not take turns.
    key: Option<fn(&T) -> i64>,
}

#[derive(Debug)]
struct Lane<T> {
    /// Passed over before, and free to go now, by arrival. All came before the rest of the lane.
    freed: BTreeMap<u64, Waiter<T>>,
    rest: VecDeque<Waiter<T>>,
}

#[derive(Debug)]
struct Session<T> {
    behind: VecDeque<Waiter<T>>,
    sent: Option<Instant>,
    /// How long requests of it were in flight.
    spent: Duration,
}

#[derive(Debug)]
struct Waiter<T> {
    arrival: u64,
    session: Option<SessionId>,
    /// What its session had spent when it was passed over.
    from: Duration,
    item: T,
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            served: i32::MIN,
            busy: HashMap::new(),
            in_flight: HashSet::new(),
            behind: 0,
            arrivals: 0,
            key: None,
        }
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { freed: BTreeMap::new(), rest: VecDeque::new() }
    }
}

impl<T> Lane<T> {
    fn first(&self) -> Option<&Waiter<T>> {
        self.freed.first_key_value().map(|(_, waiter)| waiter).or_else(|| self.rest.front())
    }
}

impl<T> Session<T> {
    fn spent(&self, now: Instant) -> Duration {
        self.spent + self.sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent))
    }
}

impl<T> Sessions<T> {
    /// Puts an item at the end of its lane. `session` is the key of the session it belongs to; `None` lets it wait for nothing.
    pub fn push(&mut self, lane: i32, session: Option<Bytes>, item: T) {
        let session = session.map(|key| (lane, key));
        let waiter = Waiter { arrival: self.arrivals, session, from: Duration::ZERO, item };
        self.arrivals += 1;
        self.lanes.entry(lane).or_default().rest.push_back(waiter);
    }

    /// Takes the item with the least `key` first, whatever its lane; `None` for turns.
    pub fn least_first(&mut self, key: Option<fn(&T) -> i64>) {
        self.key = key;
    }

    /// The item that [`Sessions::pop`] would give.
    pub fn peek(&mut self, now: Instant, pass_over: impl FnMut(&mut T)) -> Option<&T> {
        let number = self.next_lane(now, pass_over)?;
        self.lanes.get(&number)?.first().map(|waiter| &waiter.item)
    }

    /// The first item that may go, of the lane whose turn it is; [`Sessions::end`] ends the turn of its session. Items whose session
    /// is busy are passed over, each once.
    pub fn pop(&mut self, now: Instant, pass_over: impl FnMut(&mut T)) -> Option<(T, Option<SessionId>)> {
        let number = self.next_lane(now, pass_over)?;
        let lane = self.lanes.get_mut(&number)?;
        let waiter = match lane.freed.pop_first() {
            Some((_, freed)) => freed,
            None => {
                let waiter = lane.rest.pop_front()?;
                if let Some(id) = &waiter.session {
                    let session = Session { behind: VecDeque::new(), sent: None, spent: Duration::ZERO };
                    self.busy.insert(id.clone(), session);
                }
                waiter
            }
        };
        self.remove_if_empty(number);
        self.served = number;
        Some((waiter.item, waiter.session))
    }

    /// The lane whose first item goes next. Passes over what stands before that.
    fn next_lane(&mut self, now: Instant, mut pass_over: impl FnMut(&mut T)) -> Option<i32> {
        loop {
            let number = self.lane()?;
            let lane = self.lanes.get_mut(&number)?;
            let busy = match lane.first()?.session.as_ref().filter(|_| lane.freed.is_empty()) {
                Some(id) => self.busy.get_mut(id),
                None => None,
            };
            let Some(busy) = busy else { return Some(number) };
            let mut waiter = lane.rest.pop_front()?;
            pass_over(&mut waiter.item);
            waiter.from = busy.spent(now);
            busy.behind.push_back(waiter);
            self.behind += 1;
            self.remove_if_empty(number);
        }
    }

    fn lane(&self) -> Option<i32> {
        if let Some(key) = self.key {
            let firsts = self.lanes.iter().filter_map(|(number, lane)| Some((key(&lane.first()?.item), *number)));
            return firsts.min().map(|(_, number)| number);
        }
        let next = self.lanes.range((Excluded(self.served), Unbounded)).next();
        next.or_else(|| self.lanes.first_key_value()).map(|(number, _)| *number)
    }

    fn remove_if_empty(&mut self, number: i32) {
        if self.lanes.get(&number).is_some_and(|lane| lane.first().is_none()) {
            self.lanes.remove(&number);
        }
    }

    /// The item of the session that goes next, when it was passed over already.
    pub fn successor(&mut self, session: &SessionId) -> Option<&mut T> {
        self.busy.get_mut(session)?.behind.front_mut().map(|waiter| &mut waiter.item)
    }

    /// The session's request is on its way: from now on those behind wait for its answer.
    pub fn sent(&mut self, session: &SessionId, now: Instant) {
        if let Some(busy) = self.busy.get_mut(session) {
            busy.sent.get_or_insert(now);
            self.in_flight.insert(session.clone());
        }
    }

    /// The turn of the session's item is over; the next one may go.
    pub fn end(&mut self, session: &SessionId, now: Instant) {
        self.in_flight.remove(session);
        let Entry::Occupied(mut entry) = self.busy.entry(session.clone()) else { return };
        let busy = entry.get_mut();
        (busy.spent, busy.sent) = (busy.spent(now), None);
        match busy.behind.pop_front() {
            Some(next) => {
                self.behind -= 1;
                self.lanes.entry(session.0).or_default().freed.insert(next.arrival, next);
            }
            None => drop(entry.remove()),
        }
    }

    /// Takes out what has waited at least `limit`, which may depend on the lane, for answers to the requests before it in its session.
    /// Time in which none of these was in flight does not count, so neither a pause nor a low rate makes a session stuck.
    pub fn stuck(&mut self, now: Instant, limit: impl Fn(i32) -> Duration) -> Vec<T> {
        let mut stuck = Vec::new();
        for session in &self.in_flight {
            let Some(busy) = self.busy.get_mut(session) else { continue };
            let (spent, limit) = (busy.spent(now), limit(session.0));
            // The first has waited longest.
            while busy.behind.front().is_some_and(|first| spent.saturating_sub(first.from) >= limit) {
                stuck.extend(busy.behind.pop_front().map(|waiter| waiter.item));
            }
        }
        self.behind -= stuck.len();
        stuck
    }

    /// Items that were passed over and wait for their session.
    pub fn behind(&self) -> usize {
        self.behind
    }

    /// Those of one lane.
    pub fn behind_in(&self, lane: i32) -> usize {
        self.busy.iter().filter(|((of, _), _)| *of == lane).map(|(_, session)| session.behind.len()).sum()
    }
}

#[cfg(test)]
mod tests;
