//! Coverage of one assigned partition: which captured offsets are read, and which of them have an acknowledged outcome.
//!
//! Stands between consuming and committing. Pure: no clock, no Kafka, no task. Guarantees, shown by the property tests:
//! - every offset from the start on is covered by exactly one outcome or skipped range; a gap becomes a range of its own;
//! - [`Window::low_watermark`] is the lowest offset whose outcome is not acknowledged, so nothing below it is outstanding,
//!   and a commit never passes it;
//! - what is held is bounded: [`Window::is_full`] says when to stop reading, counted from the oldest unfinished record.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shadow_record::SkipReason;

/// Longest run of skipped offsets that waits to be published as one range.
pub const LONGEST_RUN: i64 = 10_000;
/// How long a run may wait for more of its kind; bounds how far skipping delays the watermark.
pub const OLDEST_RUN: Duration = Duration::from_millis(500);

/// Consecutive offsets, both ends included, that are skipped for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First offset.
    pub first: i64,
    /// Last offset.
    pub last: i64,
    /// Why they are not replayed.
    pub reason: SkipReason,
}

/// How far a partition may be read past its oldest unfinished record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most records and ranges.
    pub records: usize,
    /// Most bytes of captured payload.
    pub bytes: usize,
}

/// One outcome to come: a record, or a range of skipped ones.
#[derive(Debug)]
struct Entry {
    first: i64,
    bytes: usize,
    acknowledged: bool,
}

/// A run of skipped offsets that is not published yet.
#[derive(Debug)]
struct Run {
    range: Range,
    since: Instant,
}

/// Coverage of one partition from its start offset on.
#[derive(Debug)]
pub struct Window {
    entries: VecDeque<Entry>,
    run: Option<Run>,
    bytes: usize,
    next: i64,
    committed: i64,
    limits: Limits,
}

impl Window {
    /// A window whose first offset to cover is `start`.
    pub fn new(start: i64, limits: Limits) -> Self {
        Self { entries: VecDeque::new(), run: None, bytes: 0, next: start, committed: start, limits }
    }

    /// Whether the offset was read before; such a record is ignored.
    pub fn has_read(&self, offset: i64) -> bool {
        offset < self.next
    }

    /// Takes in a record that gets an outcome of its own. Returns the ranges this closes; publish each and acknowledge it
    /// under its first offset.
    pub fn read(&mut self, offset: i64, bytes: usize, now: Instant) -> Vec<Range> {
        debug_assert!(!self.has_read(offset), "offset {offset} was read before");
        let mut closed = self.gap_before(offset, now);
        closed.extend(self.close_run());
        self.enter(offset, bytes);
        self.next = offset + 1;
        closed
    }

    /// Takes in the offsets `first..=last`, none of which gets an outcome of its own. Returns the ranges this closes.
    pub fn skip(&mut self, range: Range, now: Instant) -> Vec<Range> {
        debug_assert!(!self.has_read(range.first), "offset {} was read before", range.first);
        let mut closed = self.gap_before(range.first, now);
        closed.extend(self.extend_run(range, now));
        closed
    }

    /// Closes the open run when it is [`OLDEST_RUN`] old.
    pub fn close_old_run(&mut self, now: Instant) -> Option<Range> {
        let old = self.run.as_ref().is_some_and(|run| now.saturating_duration_since(run.since) >= OLDEST_RUN);
        if old { self.close_run() } else { None }
    }

    /// Closes the open run, whatever its age.
    pub fn close_run(&mut self) -> Option<Range> {
        let Run { range, .. } = self.run.take()?;
        self.enter(range.first, 0);
        Some(range)
    }

    /// Notes that the outcome or range which begins at `first` is acknowledged by the broker.
    pub fn acknowledge(&mut self, first: i64) {
        let Ok(at) = self.entries.binary_search_by_key(&first, |entry| entry.first) else { return };
        self.entries[at].acknowledged = true;
        while self.entries.front().is_some_and(|entry| entry.acknowledged) {
            let entry = self.entries.pop_front().expect("the front was just seen");
            self.bytes -= entry.bytes;
        }
    }

    /// The lowest offset whose outcome is not acknowledged.
    pub fn low_watermark(&self) -> i64 {
        let oldest = self.entries.front().map(|entry| entry.first);
        oldest.or(self.run.as_ref().map(|run| run.range.first)).unwrap_or(self.next)
    }

    /// The next offset to commit, when it advanced since the last [`Window::committed`].
    pub fn to_commit(&self) -> Option<i64> {
        Some(self.low_watermark()).filter(|position| *position > self.committed)
    }

    /// Notes that the group's coordinator took `position`.
    pub fn committed(&mut self, position: i64) {
        self.committed = self.committed.max(position);
    }

    /// Whether reading must pause.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.limits.records || self.bytes >= self.limits.bytes
    }

    /// Whether reading may resume: below half of both limits, so that pausing does not flap.
    pub fn has_room(&self) -> bool {
        self.entries.len() <= self.limits.records / 2 && self.bytes <= self.limits.bytes / 2
    }

    /// Outcomes and ranges not acknowledged.
    pub fn unfinished(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.acknowledged).count()
    }

    /// Outcomes and ranges not acknowledged or behind one that is not.
    pub fn held(&self) -> usize {
        self.entries.len() + usize::from(self.run.is_some())
    }

    fn gap_before(&mut self, offset: i64, now: Instant) -> Vec<Range> {
        if offset == self.next {
            return Vec::new();
        }
        self.extend_run(Range { first: self.next, last: offset - 1, reason: SkipReason::NoRecord }, now)
    }

    fn extend_run(&mut self, range: Range, now: Instant) -> Vec<Range> {
        let mut closed = Vec::new();
        match &mut self.run {
            Some(run) if run.range.reason == range.reason => run.range.last = range.last,
            _ => {
                closed.extend(self.close_run());
                self.run = Some(Run { range, since: now });
            }
        }
        self.next = range.last + 1;
        if self.run.as_ref().is_some_and(|run| run.range.last - run.range.first + 1 >= LONGEST_RUN) {
            closed.extend(self.close_run());
        }
        closed
    }

    fn enter(&mut self, first: i64, bytes: usize) {
        self.bytes += bytes;
        self.entries.push_back(Entry { first, bytes, acknowledged: false });
    }
}

#[cfg(test)]
mod tests;
