//! When the next request is due: an open loop on absolute intended times, behind it governor as a hard ceiling.
//!
//! Stands between the guard and the send. Guarantees, shown by the tests below: the n-th request of a stretch at one rate is
//! intended at exactly `anchor + n / rate`, however late the ones before it were sent; a new rate takes effect at once, also
//! for a request that is waiting already; being late never turns into a burst beyond [`CATCH_UP`]. What exceeds the rate
//! waits in Kafka and shows as lag.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Lateness that is made up for by sending faster; what is beyond it shifts the schedule instead. A hundredth of the ten
/// seconds over which a rate is judged.
pub const CATCH_UP: Duration = Duration::from_millis(100);

/// Requests per second of one member, or no limit but the concurrency ceiling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the concurrency ceiling allows.
    Unlimited,
    /// Requests per second, above zero.
    PerSecond(f64),
    /// Nothing is due until the pace changes.
    Halted,
}

impl Pace {
    /// The part of a topic's rate that falls to a member with `assigned` of `total` partitions.
    pub fn share(rate: Option<f64>, assigned: usize, total: usize) -> Self {
        match rate {
            None => Self::Unlimited,
            Some(rate) if rate > 0.0 && assigned > 0 && total > 0 => {
                Self::PerSecond(rate * assigned.min(total) as f64 / total as f64)
            }
            Some(_) => Self::Halted,
        }
    }
}

/// Hands out intended times, one per request.
pub struct Pacer {
    pace: watch::Receiver<Pace>,
    schedule: Schedule,
    ceiling: Option<Ceiling>,
}

impl Pacer {
    /// A pacer that follows `pace`.
    pub fn new(mut pace: watch::Receiver<Pace>) -> Self {
        let current = *pace.borrow_and_update();
        Self { pace, schedule: Schedule::new(current, Instant::now()), ceiling: Ceiling::of(current) }
    }

    /// Starts the schedule anew from now, so that time spent paused is not made up for.
    pub fn restart(&mut self) {
        self.schedule = Schedule::new(self.schedule.pace, Instant::now());
    }

    /// Waits until the next request is due and gives the time it was intended for. `ready` is when the request came to wait:
    /// none is intended before it was there. Safe to cancel: a slot that was not handed out is handed out next time.
    pub async fn due(&mut self, ready: Instant) -> Instant {
        loop {
            let slot = self.schedule.peek(ready, Instant::now());
            tokio::select! {
                biased;
                () = changed(&mut self.pace) => self.adopt(),
                () = until(slot) => {
                    if let Some(ceiling) = &self.ceiling {
                        ceiling.pass().await;
                    }
                    let slot = slot.expect("only a slot is waited to its end");
                    self.schedule.taken += 1;
                    return slot;
                }
            }
        }
    }

    /// The time that a request which came to wait at `ready` would be given now; takes no slot. `None` while halted.
    pub fn turn(&mut self, ready: Instant) -> Option<Instant> {
        self.schedule.peek(ready, Instant::now())
    }

    fn adopt(&mut self) {
        let pace = *self.pace.borrow_and_update();
        if pace != self.schedule.pace {
            self.schedule.change(pace, Instant::now());
            self.ceiling = Ceiling::of(pace);
        }
    }
}

/// Resolves when the pace changed, never when its owner is gone.
async fn changed(pace: &mut watch::Receiver<Pace>) {
    if pace.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn until(slot: Option<Instant>) {
    match slot {
        // Tokio's timer counts milliseconds and rounds up: asking it for a moment that is here would cost one.
        Some(slot) if slot <= Instant::now() => {}
        Some(slot) => sleep_until(slot).await,
        None => std::future::pending().await,
    }
}

/// Intended times as `anchor + n / rate`, so that rounding never adds up.
struct Schedule {
    pace: Pace,
    anchor: Instant,
    taken: u64,
}

impl Schedule {
    fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, anchor: now, taken: 0 }
    }

    /// The next slot, `None` while halted. Moves the anchor when the schedule has fallen behind.
    fn peek(&mut self, ready: Instant, now: Instant) -> Option<Instant> {
        let Pace::PerSecond(rate) = self.pace else {
            return (self.pace == Pace::Unlimited).then_some(now);
        };
        let slot = self.anchor + Duration::from_secs_f64(self.taken as f64 / rate);
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now).max(ready);
        if slot < earliest {
            (self.anchor, self.taken) = (earliest, 0);
            return Some(earliest);
        }
        Some(slot)
    }

    /// The first slot at the new rate is one new interval after the last one taken, but not in the past.
    fn change(&mut self, pace: Pace, now: Instant) {
        let last = match self.pace {
            Pace::PerSecond(rate) if self.taken > 0 => {
                Some(self.anchor + Duration::from_secs_f64((self.taken - 1) as f64 / rate))
            }
            _ => None,
        };
        let next = match (last, pace) {
            (Some(last), Pace::PerSecond(rate)) => last + Duration::from_secs_f64(1.0 / rate),
            _ => now,
        };
        *self = Self::new(pace, next.max(now));
    }
}

/// Governor's limiter on tokio's clock. It never binds while the schedule is right.
struct Ceiling {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
}

impl Ceiling {
    fn of(pace: Pace) -> Option<Self> {
        let Pace::PerSecond(rate) = pace else { return None };
        let burst = (rate * CATCH_UP.as_secs_f64()).ceil().min(1e6) as u32 + 1;
        let period = Duration::from_secs_f64(1.0 / rate).max(Duration::from_nanos(1));
        let quota = Quota::with_period(period)?.allow_burst(NonZeroU32::new(burst)?);
        let clock = TokioClock(Arc::new(Instant::now()));
        Some(Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock })
    }

    async fn pass(&self) {
        while let Err(refused) = self.limiter.check() {
            tokio::time::sleep(refused.wait_time_from(self.clock.now())).await;
        }
    }
}

/// Time since the ceiling was made, by tokio's clock (which tests may pause).
#[derive(Clone, Debug)]
struct TokioClock(Arc<Instant>);

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests;
