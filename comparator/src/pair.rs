//! The merge join of one partition: captured records and outcomes, matched by captured offset. Pure: no I/O, no clock.
//!
//! Two cursors move over two logs. The captured cursor reads offsets in order. The replayed cursor reads outcomes in the order
//! in which the replayer finished, and ranges that cover many offsets at once. An offset is **claimed** by the first replayed
//! record that speaks of it, **settled** when what is stored about it was handed out, and `low` is the lowest offset that is
//! not settled yet.
//!
//! Guarantees:
//! - every offset from the start on is settled exactly once, whatever the order, duplicates and losses of the replayed log;
//! - what is settled depends on the two logs only, not on how their reading interleaves: first wins by replayed offset;
//! - it never gets stuck: every replayed record promises that all offsets below its watermark were spoken of before, so one
//!   below it that nobody claimed is lost, and is settled as such;
//! - restarting at [`Join::commit_point`] settles again exactly what was not settled below it, and identically;
//! - the state is bounded by the replayer's window and by [`Limits`], independently of the lag between the cursors.

use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// What the join hands out: everything that is known about one offset, or one range of offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled<C, O, G> {
    /// One offset with its outcome.
    Pair {
        /// The captured offset.
        offset: i64,
        /// The captured record; `None` where the topic holds none any more.
        captured: Option<C>,
        /// The outcome; `None` where the replayed log held none that could be read.
        outcome: Option<O>,
        /// Offset of the replayed record that decided it.
        replayed_at: i64,
    },
    /// Consecutive offsets that were not replayed.
    Skipped {
        /// First offset, included.
        first: i64,
        /// Last offset, included.
        last: i64,
        /// What the range said.
        range: G,
        /// Offset of the replayed record that said so.
        replayed_at: i64,
    },
    /// Consecutive offsets that hold no captured record any more and whose outcomes were lost.
    Lost {
        /// First offset, included.
        first: i64,
        /// Last offset, included.
        last: i64,
        /// Offset of the replayed record whose watermark showed it.
        replayed_at: i64,
    },
}

/// Where a replayed record stands and what it promises.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// Its offset in the replayed topic.
    pub at: i64,
    /// Every captured offset below this one was spoken of before it.
    pub low_watermark: i64,
}

/// Offsets to commit together so that a restart rebuilds the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPoint {
    /// Next captured offset: the lowest that is not settled.
    pub captured: i64,
    /// Next replayed offset: the first record that speaks of an offset at or above it.
    pub replayed: i64,
}

/// Bounds of the state of one partition.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Offsets that the captured cursor may run ahead of the highest outcome.
    pub ahead_records: i64,
    /// Bytes of captured records held ahead of the highest outcome.
    pub ahead_bytes: usize,
    /// Outcomes that may wait for their captured record.
    pub waiting: usize,
    /// Bytes of outcomes that may wait for their captured record.
    pub waiting_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { ahead_records: 2_000, ahead_bytes: 16 << 20, waiting: 2_000, waiting_bytes: 16 << 20 }
    }
}

/// Which of the two cursors must stand still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The captured partition is to be paused.
    pub hold_captured: bool,
    /// The replayed partition is to be paused.
    pub hold_replayed: bool,
}

/// Offsets that one replayed record spoke of first.
#[derive(Clone, Copy, Debug)]
struct Claim {
    last: i64,
    at: i64,
}

#[derive(Debug)]
struct Sized<T> {
    value: T,
    bytes: usize,
}

/// The join of one partition.
#[derive(Debug)]
pub struct Join<C, O, G> {
    limits: Limits,
    low: i64,
    captured_next: i64,
    replayed_next: i64,
    highest: i64,
    /// Captured records that nobody spoke of yet.
    held: BTreeMap<i64, Sized<C>>,
    ahead_bytes: usize,
    /// Outcomes whose captured record was not read yet, with their replayed offset.
    waiting: BTreeMap<i64, (Sized<O>, i64)>,
    waiting_bytes: usize,
    /// Lost offsets that are not settled: up to the captured cursor none of them exists, and it has not passed their last.
    lost: BTreeMap<i64, Claim>,
    /// Every claim at or above `low`, by first offset; they do not overlap.
    claims: BTreeMap<i64, Claim>,
    flow: Flow,
    settled: Vec<Settled<C, O, G>>,
}

impl<C, O, G: Clone> Join<C, O, G> {
    /// Begins at the lowest captured offset that is not settled and the replayed offset committed with it.
    pub fn new(low: i64, replayed_next: i64, limits: Limits) -> Self {
        Self {
            limits,
            low,
            captured_next: low,
            replayed_next,
            highest: low - 1,
            held: BTreeMap::new(),
            ahead_bytes: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            lost: BTreeMap::new(),
            claims: BTreeMap::new(),
            flow: Flow::default(),
            settled: Vec::new(),
        }
    }

    /// The captured record at `offset` was read.
    pub fn captured(&mut self, offset: i64, record: C, bytes: usize) {
        if offset < self.captured_next {
            return;
        }
        self.pass(offset);
        self.captured_next = offset + 1;
        if let Some((outcome, replayed_at)) = self.take_waiting(offset) {
            let (captured, outcome) = (Some(record), Some(outcome));
            self.settled.push(Settled::Pair { offset, captured, outcome, replayed_at });
        } else if let Some(replayed_at) = self.take_lost(offset) {
            self.settled.push(Settled::Pair { offset, captured: Some(record), outcome: None, replayed_at });
        } else if !self.is_claimed(offset) {
            if offset > self.highest {
                self.ahead_bytes += bytes;
            }
            self.held.insert(offset, Sized { value: record, bytes });
        }
        self.advance();
    }

    /// No captured record below `next` will come any more: retention took what was not read.
    pub fn captured_gap(&mut self, next: i64) {
        if next > self.captured_next {
            self.pass(next);
            self.captured_next = next;
            self.advance();
        }
    }

    /// The outcome of `offset` was read. Returns `false` for a duplicate.
    pub fn outcome(&mut self, record: Replayed, offset: i64, outcome: O, bytes: usize) -> bool {
        // What a record says of itself cannot have been said before it.
        self.watermark(record, record.low_watermark.min(offset));
        self.replayed_next = record.at + 1;
        let fresh = !self.is_claimed(offset);
        if fresh {
            self.claim(offset, offset, record.at);
            if let Some(held) = self.held.remove(&offset) {
                let (captured, outcome) = (Some(held.value), Some(outcome));
                self.settled.push(Settled::Pair { offset, captured, outcome, replayed_at: record.at });
            } else if offset < self.captured_next {
                let (captured, outcome) = (None, Some(outcome));
                self.settled.push(Settled::Pair { offset, captured, outcome, replayed_at: record.at });
            } else {
                self.waiting_bytes += bytes;
                self.waiting.insert(offset, (Sized { value: outcome, bytes }, record.at));
            }
        }
        self.advance();
        fresh
    }

    /// A range was read. Returns how many of its offsets were claimed before.
    pub fn skipped(&mut self, record: Replayed, first: i64, last: i64, range: &G) -> i64 {
        self.watermark(record, record.low_watermark.min(first));
        self.replayed_next = record.at + 1;
        let mut repeated = last - first + 1;
        for (first, last) in self.unclaimed(first, last) {
            repeated -= last - first + 1;
            self.claim(first, last, record.at);
            self.drop_held(first, last);
            self.settled.push(Settled::Skipped { first, last, range: range.clone(), replayed_at: record.at });
        }
        self.advance();
        repeated
    }

    /// The replayed record at `at` could not be used.
    pub fn unusable(&mut self, at: i64) {
        self.replayed_next = at + 1;
    }

    /// Everything settled since the last call.
    pub fn take_settled(&mut self) -> Vec<Settled<C, O, G>> {
        std::mem::take(&mut self.settled)
    }

    /// What to commit once everything settled so far is durable.
    pub fn commit_point(&self) -> CommitPoint {
        let needed = self.claims.values().map(|claim| claim.at).min();
        CommitPoint { captured: self.low, replayed: needed.unwrap_or(self.replayed_next) }
    }

    /// Which cursor must stand still. A cursor that was stopped goes on at half its limit. Both are never stopped: while
    /// captured records run ahead of the highest outcome, no outcome waits.
    pub fn flow(&mut self) -> Flow {
        let Limits { ahead_records, ahead_bytes, waiting, waiting_bytes } = self.limits;
        let beyond = |held: bool, value: usize, limit: usize| value > if held { limit / 2 } else { limit };
        let held = self.flow.hold_captured;
        let ahead = (self.captured_next - self.highest - 1).max(0) as usize;
        let hold_captured = beyond(held, ahead, ahead_records as usize) || beyond(held, self.ahead_bytes, ahead_bytes);
        let held = self.flow.hold_replayed;
        let hold_replayed = !hold_captured
            && (beyond(held, self.waiting.len(), waiting) || beyond(held, self.waiting_bytes, waiting_bytes));
        self.flow = Flow { hold_captured, hold_replayed };
        self.flow
    }

    /// The first offset that the captured cursor has not passed.
    pub fn captured_next(&self) -> i64 {
        self.captured_next
    }

    /// The lowest offset that is not settled.
    pub fn low(&self) -> i64 {
        self.low
    }

    /// Records and outcomes in memory.
    pub fn in_memory(&self) -> usize {
        self.held.len() + self.waiting.len()
    }

    /// The captured cursor passes everything below `next` that was not read: it does not exist.
    fn pass(&mut self, next: i64) {
        while let Some((&offset, _)) = self.waiting.range(..next).next() {
            let (outcome, replayed_at) = self.take_waiting(offset).expect("found above");
            self.settled.push(Settled::Pair { offset, captured: None, outcome: Some(outcome), replayed_at });
        }
        while let Some((&first, &Claim { last, at })) = self.lost.first_key_value()
            && last < next
        {
            self.lost.remove(&first);
            self.lose_gap(first, last, at);
        }
    }

    fn take_waiting(&mut self, offset: i64) -> Option<(O, i64)> {
        let (outcome, at) = self.waiting.remove(&offset)?;
        self.waiting_bytes -= outcome.bytes;
        Some((outcome.value, at))
    }

    /// Takes `offset`, which exists, from the lost ones; those before it do not exist. What ended below it was passed.
    fn take_lost(&mut self, offset: i64) -> Option<i64> {
        let (&first, &claim) = self.lost.range(..=offset).next()?;
        self.lost.remove(&first);
        self.lose_gap(first, offset - 1, claim.at);
        if offset < claim.last {
            self.lost.insert(offset + 1, claim);
        }
        Some(claim.at)
    }

    /// Settles what nobody spoke of below the watermark. It is cut where captured records exist and nowhere else, so a gap that
    /// the captured cursor has not passed whole waits: where the cursor happens to stand must not show.
    fn watermark(&mut self, record: Replayed, watermark: i64) {
        for (first, last) in self.unclaimed(self.low, watermark - 1) {
            self.claim(first, last, record.at);
            let mut gap = first;
            while let Some((&offset, _)) = self.held.range(first..=last).next() {
                self.lose_gap(gap, offset - 1, record.at);
                let captured = self.held.remove(&offset).map(|held| held.value);
                self.settled.push(Settled::Pair { offset, captured, outcome: None, replayed_at: record.at });
                gap = offset + 1;
            }
            if last < self.captured_next {
                self.lose_gap(gap, last, record.at);
            } else {
                self.lost.insert(gap, Claim { last, at: record.at });
            }
        }
    }

    fn lose_gap(&mut self, first: i64, last: i64, replayed_at: i64) {
        if first <= last {
            self.settled.push(Settled::Lost { first, last, replayed_at });
        }
    }

    fn drop_held(&mut self, first: i64, last: i64) {
        let mut rest = self.held.split_off(&first);
        if let Some(after) = last.checked_add(1) {
            self.held.append(&mut rest.split_off(&after));
        }
    }

    fn is_claimed(&self, offset: i64) -> bool {
        offset < self.low || self.claims.range(..=offset).next_back().is_some_and(|(_, claim)| claim.last >= offset)
    }

    /// The parts of `first..=last` that nobody spoke of.
    fn unclaimed(&self, first: i64, last: i64) -> Vec<(i64, i64)> {
        let mut parts = Vec::new();
        let mut next = first.max(self.low);
        let before = self.claims.range(..next).next_back().map(|(_, claim)| claim.last);
        if let Some(end) = before {
            next = next.max(end + 1);
        }
        for (&start, claim) in self.claims.range(next..) {
            if start > last {
                break;
            }
            if next < start {
                parts.push((next, start - 1));
            }
            next = claim.last + 1;
        }
        if next <= last {
            parts.push((next, last));
        }
        parts
    }

    fn claim(&mut self, first: i64, last: i64, at: i64) {
        self.claims.insert(first, Claim { last, at });
        if last > self.highest {
            let crossed = self.held.range(self.highest + 1..=last).map(|(_, held)| held.bytes).sum::<usize>();
            self.ahead_bytes -= crossed;
            self.highest = last;
        }
    }

    /// Moves `low` over everything settled.
    fn advance(&mut self) {
        let waiting = self.waiting.keys().next().copied().unwrap_or(i64::MAX);
        let lost = self.lost.keys().next().copied().unwrap_or(i64::MAX);
        let unsettled = waiting.min(lost);
        while let Some(entry) = self.claims.first_entry() {
            if *entry.key() > self.low || self.low >= unsettled {
                break;
            }
            let last = entry.get().last;
            if last >= unsettled {
                // Part of a lost range still waits for the captured cursor.
                self.low = unsettled;
                break;
            }
            self.low = last + 1;
            entry.remove();
        }
    }
}
