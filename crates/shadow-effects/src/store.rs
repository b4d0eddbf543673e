//! What a feed holds: effects by request and by time, the oldest going first. Pure.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
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
    bytes: usize,
    most: usize,
    complete_from: Timestamp,
}

impl Store {
    /// An empty store for `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        let (by_time, by_request) = (BTreeMap::new(), HashMap::new());
        Self { by_time, by_request, bytes: 0, most, complete_from: Timestamp(i64::MIN) }
    }

    /// Keeps an effect of `bytes`; the oldest ones make room.
    pub(crate) fn keep(&mut self, kept: Kept, bytes: usize) {
        let at = (kept.appended_at, kept.partition, kept.offset);
        // What is read again is there already.
        let Entry::Vacant(place) = self.by_time.entry(at) else { return };
        if let Some(request) = kept.effect.request_id {
            self.by_request.entry(request).or_default().push(at);
        }
        place.insert((Arc::new(kept), bytes));
        self.bytes += bytes;
        while self.bytes > self.most
            && let Some((&(oldest, ..), _)) = self.by_time.first_key_value()
        {
            self.complete_from = self.complete_from.max(Timestamp(oldest.micros() + 1));
            self.forget_before(self.complete_from);
        }
    }

    /// Drops what was appended before `at`.
    pub(crate) fn forget_before(&mut self, at: Timestamp) {
        while let Some(entry) = self.by_time.first_entry()
            && entry.key().0 < at
        {
            let (at, (kept, bytes)) = entry.remove_entry();
            self.bytes -= bytes;
            if let Some(request) = kept.effect.request_id
                && let Some(places) = self.by_request.get_mut(&request)
            {
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
        let range = self.by_time.range((from, i32::MIN, i64::MIN)..=(until, i32::MAX, i64::MAX));
        range.map(|(_, (kept, _))| kept.clone()).filter(|kept| kept.effect.request_id.is_none()).collect()
    }

    /// Everything appended from here on that was read is there.
    pub(crate) fn complete_from(&self) -> Timestamp {
        self.complete_from
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
