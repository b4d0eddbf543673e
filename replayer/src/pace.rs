//! When the next request is due: an open loop on absolute intended times, behind it governor as a hard ceiling.
//!
//! Stands between the guard and the send. Guarantees, shown by the tests below: the n-th request of a stretch at one rate is
//! intended at exactly `anchor + n / rate`, however late the ones before it were sent; a new rate takes effect at once, also
//! for a request that is waiting already; being late never turns into a burst beyond [`CATCH_UP`]; with original timing requests
//! are as far apart as they were captured, never closer than the rate allows. What exceeds the rate waits in Kafka and shows as lag.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use shadow_control::Timing;
use shadow_record::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

mod original;
mod schedule;

use original::Original;
use schedule::Schedule;

/// Lateness that is made up for by sending faster; what is beyond it shifts the schedule instead. A hundredth of the ten
/// seconds over which a rate is judged.
pub const CATCH_UP: Duration = Duration::from_millis(100);
/// Slowest rate that is paced; below it nothing is due. One request in eleven days.
const SLOWEST: f64 = 1e-6;

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
    /// The part of a topic's rate that falls to a member whose partitions' shares sum to `part`. What is no rate halts.
    pub fn share(rate: Option<f64>, part: f64) -> Self {
        match rate.map(|rate| rate * part) {
            None => Self::Unlimited,
            Some(own) if own.is_finite() && own >= SLOWEST => Self::PerSecond(own),
            Some(_) => Self::Halted,
        }
    }
}

/// What a pacer follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tempo {
    /// How many.
    pub pace: Pace,
    /// How far apart.
    pub timing: Timing,
}

impl Tempo {
    /// The tempo of a launch; a speed that is not above 0 halts it.
    pub fn of(pace: Pace, timing: Timing) -> Self {
        match timing {
            Timing::Original { speed } if !(speed.is_finite() && speed >= SLOWEST) => {
                Self { pace: Pace::Halted, timing: Timing::Rate }
            }
            _ => Self { pace, timing },
        }
    }
}

/// Hands out intended times, one per request.
pub struct Pacer {
    tempo: watch::Receiver<Tempo>,
    schedule: Schedule,
    original: Option<Original>,
    ceiling: Option<Ceiling>,
}

impl Pacer {
    /// A pacer that follows `tempo`.
    pub fn new(mut tempo: watch::Receiver<Tempo>) -> Self {
        let Tempo { pace, timing } = *tempo.borrow_and_update();
        Self {
            tempo,
            schedule: Schedule::new(pace, Instant::now()),
            original: Original::of(timing),
            ceiling: Ceiling::of(pace),
        }
    }

    /// Starts the schedule anew from now, so that time spent paused is not made up for.
    pub fn restart(&mut self) {
        self.schedule.restart(Instant::now());
        if let Some(original) = &mut self.original {
            original.restart();
        }
    }

    /// Waits until the next request is due and gives the time it was intended for. `ready` is when the request came to wait:
    /// none is intended before it was there. Safe to cancel: a slot that was not handed out is handed out next time.
    pub async fn due(&mut self, ready: Instant, captured_at: Timestamp) -> Instant {
        self.slot(|pacer| pacer.peek(ready, captured_at)).await
    }

    /// As [`Pacer::due`], for a request whose time has come and gone: only the rate holds it.
    pub async fn late(&mut self, ready: Instant) -> Instant {
        self.slot(|pacer| pacer.schedule.peek(ready, Instant::now())).await
    }

    async fn slot(&mut self, mut next: impl FnMut(&mut Self) -> Option<Instant>) -> Instant {
        loop {
            let slot = next(self);
            tokio::select! {
                biased;
                () = changed(&mut self.tempo) => self.adopt(),
                () = until(slot) => {
                    if let Some(ceiling) = &self.ceiling {
                        ceiling.pass().await;
                    }
                    let slot = slot.expect("only a slot is waited to its end");
                    self.schedule.take(slot);
                    return slot;
                }
            }
        }
    }

    /// The time that a request which came to wait at `ready` would be given now; takes no slot. `None` while halted.
    pub fn turn(&mut self, ready: Instant, captured_at: Timestamp) -> Option<Instant> {
        if self.tempo.has_changed().unwrap_or(false) {
            self.adopt();
        }
        // It may be far ahead of what is due now, which must not be moved by it.
        let original = self.original.clone();
        let turn = self.peek(ready, captured_at);
        self.original = original;
        turn
    }

    fn peek(&mut self, ready: Instant, captured_at: Timestamp) -> Option<Instant> {
        let now = Instant::now();
        let Some(original) = &mut self.original else { return self.schedule.peek(ready, now) };
        let ready = ready.max(original.time_of(captured_at, now));
        if self.schedule.pace() == Pace::Unlimited { Some(ready) } else { self.schedule.peek(ready, now) }
    }

    fn adopt(&mut self) {
        let Tempo { pace, timing } = *self.tempo.borrow_and_update();
        if pace != self.schedule.pace() {
            self.schedule.change(pace, Instant::now());
            self.ceiling = Ceiling::of(pace);
        }
        if self.original.as_ref().map(Original::timing).unwrap_or_default() != timing {
            self.original = Original::of(timing);
        }
    }
}

/// Resolves when the tempo changed, never when its owner is gone.
async fn changed(tempo: &mut watch::Receiver<Tempo>) {
    if tempo.changed().await.is_err() {
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
