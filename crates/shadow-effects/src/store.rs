//! What a feed holds: effects by request and by time, the oldest going first. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use shadow_record::{RequestId, SideEffect, Timestamp};

/// An effect as it stands in the topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// When the broker appended it.
    pub appended_at: Timestamp,
    /// Partition of the effects topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// The effect.
    pub effect: SideEffect,
}

/// Append time, partition, offset: unique, in the order of time.
type At = (Timestamp, i32, i64);

#[derive(Debug)]
pub(crate) struct Store {
    by_time: BTreeMap<At, (Arc<Kept>, usize)>,
    by_request: HashMap<RequestId, Vec<At>>,
    untold: BTreeSet<At>,
    bytes: usize,
    most: usize,
    complete_from: Timestamp,
    forgotten_before: Timestamp,
}

const NEVER: Timestamp = Timestamp(i64::MIN);

impl Store {
    /// An empty store for `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            by_time: BTreeMap::new(),
            by_request: HashMap::new(),
            untold: BTreeSet::new(),
            bytes: 0,
            most,
            complete_from: NEVER,
            forgotten_before: NEVER,
        }
    }

    /// Everything appended from `from` on is about to be read, again or for the first time. Where there is little room, what is there already
    /// makes way: being later, it would outlast what is read now.
    pub(crate) fn begin(&mut self, from: Timestamp) {
        (self.complete_from, self.forgotten_before) = (NEVER, from);
        if !self.has_room() {
            self.by_time.clear();
            self.by_request.clear();
            self.untold.clear();
            self.bytes = 0;
        }
    }

    /// Keeps an effect of `bytes`; the oldest ones make room.
    pub(crate) fn keep(&mut self, kept: Kept, bytes: usize) {
        let at = (kept.appended_at, kept.partition, kept.offset);
        if kept.appended_at < self.forgotten_before {
            return;
        }
        // What is read again is there already.
        let Entry::Vacant(place) = self.by_time.entry(at) else { return };
        match kept.effect.request_id {
            Some(request) => self.by_request.entry(request).or_default().push(at),
            None => _ = self.untold.insert(at),
        }
        place.insert((Arc::new(kept), bytes));
        self.bytes += bytes;
        while self.bytes > self.most
            && let Some((&(oldest, ..), _)) = self.by_time.first_key_value()
        {
            self.lost_before(Timestamp(oldest.micros() + 1));
            self.drop_before(self.complete_from);
        }
    }

    /// What was appended before `at` may be missing.
    pub(crate) fn lost_before(&mut self, at: Timestamp) {
        self.complete_from = self.complete_from.max(at);
    }

    /// Drops what was appended before `at`, until it is read again.
    pub(crate) fn forget_before(&mut self, at: Timestamp) {
        self.forgotten_before = self.forgotten_before.max(at);
        self.drop_before(at);
    }

    fn drop_before(&mut self, at: Timestamp) {
        while let Some(entry) = self.by_time.first_entry()
            && entry.key().0 < at
        {
            let (at, (kept, bytes)) = entry.remove_entry();
            self.bytes -= bytes;
            let Some(request) = kept.effect.request_id else {
                self.untold.remove(&at);
                continue;
            };
            if let Some(places) = self.by_request.get_mut(&request) {
                places.retain(|place| *place != at);
                if places.is_empty() {
                    self.by_request.remove(&request);
                }
            }
        }
    }

    /// Effects of one request, in the order in which they were appended.
    pub(crate) fn of(&self, request: RequestId) -> Vec<Arc<Kept>> {
        let mut places = self.by_request.get(&request).cloned().unwrap_or_default();
        places.sort_unstable();
        places.iter().filter_map(|at| self.by_time.get(at)).map(|(kept, _)| kept.clone()).collect()
    }

    /// Effects of no known request, appended from `from` to `until`.
    pub(crate) fn untold(&self, from: Timestamp, until: Timestamp) -> Vec<Arc<Kept>> {
        if from > until {
            return Vec::new();
        }
        let range = self.untold.range((from, i32::MIN, i64::MIN)..=(until, i32::MAX, i64::MAX));
        range.filter_map(|at| self.by_time.get(at)).map(|(kept, _)| kept.clone()).collect()
    }

    /// Everything appended from here on that was read is there, but for what was forgotten.
    pub(crate) fn complete_from(&self) -> Timestamp {
        self.complete_from
    }

    /// What was appended before this has to be read again.
    pub(crate) fn forgotten_before(&self) -> Timestamp {
        self.forgotten_before
    }

    /// Whether there is room to read ahead.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < self.most / 2
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
