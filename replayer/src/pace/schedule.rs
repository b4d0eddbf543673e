//! Intended times at a rate, as `anchor + n / rate`, so that rounding never adds up. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::{CATCH_UP, Pace};

/// The slots of one stretch at one pace.
pub(super) struct Schedule {
    pace: Pace,
    anchor: Instant,
    taken: u64,
    /// The slot that was used last, at whatever pace.
    last: Option<Instant>,
}

impl Schedule {
    /// Slots from `now` on.
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, anchor: now, taken: 0, last: None }
    }

    /// Its pace.
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// The next slot for a request that may leave from `ready` on, `None` while halted. Later than the schedule says when that has
    /// fallen behind.
    pub(super) fn peek(&self, ready: Instant, now: Instant) -> Option<Instant> {
        match self.pace {
            Pace::Halted => None,
            Pace::Unlimited => Some(now),
            Pace::PerSecond(rate) => {
                let earliest = now.checked_sub(CATCH_UP).unwrap_or(now).max(ready);
                Some(self.slot(self.taken, rate).max(earliest))
            }
        }
    }

    /// A slot that was peeked at is used; the ones to come follow it.
    pub(super) fn take(&mut self, slot: Instant) {
        if let Pace::PerSecond(rate) = self.pace
            && slot > self.slot(self.taken, rate)
        {
            (self.anchor, self.taken) = (slot, 0);
        }
        self.taken += 1;
        self.last = Some(slot);
    }

    /// The first slot at the new rate is one new interval after the last one taken, however often the rate changed since. One that
    /// would have been later at the old rate is not in the past at the new one; one that is late already stays so.
    pub(super) fn change(&mut self, pace: Pace, now: Instant) {
        let earliest = match self.pace {
            Pace::PerSecond(old) => self.slot(self.taken, old).min(now),
            Pace::Unlimited | Pace::Halted => now,
        };
        self.begin(pace, if self.last.is_some() { earliest } else { now });
    }

    /// Begins anew at `now`: what was not sent before is not made up for.
    pub(super) fn restart(&mut self, now: Instant) {
        self.begin(self.pace, now);
    }

    fn begin(&mut self, pace: Pace, earliest: Instant) {
        let next = match (self.last, pace) {
            (Some(last), Pace::PerSecond(rate)) => (last + Duration::from_secs_f64(1.0 / rate)).max(earliest),
            _ => earliest,
        };
        *self = Self { pace, anchor: next, taken: 0, last: self.last };
    }

    fn slot(&self, number: u64, rate: f64) -> Instant {
        self.anchor + Duration::from_secs_f64(number as f64 / rate)
    }
}
