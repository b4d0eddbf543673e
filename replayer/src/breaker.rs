//! Nothing is sent for a while when the shadow is ill.
//!
//! Stands between a record's turn and its send. [`Breaker`] is pure, on the clock it is given: closed, requests leave and their ends
//! are counted over a sliding window; open, nothing leaves, and what would waits; half open, single requests try, one at a time,
//! until enough of them went well or one did not. [`Fuse`] is one line's, and tells the log and the metrics.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shadow_control::Breaker as Limits;
use shadow_control::Launch;
use shadow_record::FailureClass;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::metrics::Ledger;

/// Tries that must go well, one after the other, before it closes.
const TRIES: u32 = 3;
/// Parts of the window that go out of it one by one.
const PARTS: u32 = 10;

/// Whether requests leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They do.
    Closed,
    /// None does.
    Open,
    /// One at a time does.
    HalfOpen,
}

impl State {
    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How a request ended, as far as the breaker is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// No answer, or a status from 500 where the primary had none.
    pub failed: bool,
    /// Time from sending to the end.
    pub after: Duration,
}

impl Ended {
    /// A request that ended with the candidate's status, where the primary had this one, after so long; `None` when that says nothing of
    /// the shadow.
    pub fn of(status: Result<u16, FailureClass>, primary: Option<u16>, after: Duration) -> Option<Self> {
        let failed = match status {
            Ok(status) => status >= 500 && primary.is_none_or(|primary| primary < 500),
            Err(FailureClass::Connect | FailureClass::Timeout | FailureClass::Reset | FailureClass::Protocol) => true,
            Err(_) => return None,
        };
        Some(Self { failed, after })
    }
}

/// Lets one request leave; it is given back with [`Breaker::ended`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Ends count only in the state in which the request left.
    change: u64,
}

/// The circuit breaker. Its limits come with every call, so that it follows them as they change.
#[derive(Debug, Default)]
pub struct Breaker {
    position: Position,
    window: VecDeque<Part>,
    changes: u64,
}

#[derive(Debug, Default)]
enum Position {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        trying: bool,
        well: u32,
    },
}

/// Requests that ended in one part of the window.
#[derive(Debug)]
struct Part {
    since: Instant,
    count: Count,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub ended: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow.
    pub slow: u32,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.ended = self.ended.saturating_add(other.ended);
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
    }

    fn opens(self, limits: &Limits) -> bool {
        let share = |of: u32, limit: f64| of > 0 && f64::from(of) >= limit * f64::from(self.ended);
        self.ended >= limits.least && (share(self.failed, limits.failures) || share(self.slow, limits.slow))
    }
}

impl Breaker {
    /// Its state.
    pub fn state(&self) -> State {
        match self.position {
            Position::Closed => State::Closed,
            Position::Open { .. } => State::Open,
            Position::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Requests within the window.
    pub fn count(&self) -> Count {
        let mut all = Count::default();
        self.window.iter().for_each(|part| all.add(part.count));
        all
    }

    /// Whether a request may leave.
    ///
    /// # Errors
    /// When to ask again; `None` for when a request has ended.
    pub fn ask(&mut self, limits: &Limits, now: Instant) -> Result<(), Option<Instant>> {
        if !limits.enabled {
            if self.state() != State::Closed {
                self.change(Position::Closed);
            }
            return Ok(());
        }
        if let Position::Open { until } = self.position {
            if now < until {
                return Err(Some(until));
            }
            self.change(Position::HalfOpen { trying: false, well: 0 });
        }
        if matches!(self.position, Position::HalfOpen { trying: true, .. }) { Err(None) } else { Ok(()) }
    }

    /// Lets a request leave, if one may.
    pub fn leave(&mut self, limits: &Limits, now: Instant) -> Option<Ticket> {
        self.ask(limits, now).ok()?;
        if let Position::HalfOpen { trying, .. } = &mut self.position {
            *trying = true;
        }
        Some(Ticket { change: self.changes })
    }

    /// It has ended; `None` when that says nothing of the shadow.
    pub fn ended(&mut self, limits: &Limits, ticket: Ticket, ended: Option<Ended>, now: Instant) {
        if ticket.change != self.changes {
            return;
        }
        let slow = |ended: Ended| limits.slow_ms.is_some_and(|slow| ended.after > Duration::from_millis(slow));
        match &mut self.position {
            Position::Open { .. } => {}
            Position::Closed => {
                let Some(ended) = ended else { return };
                let count = Count { ended: 1, failed: u32::from(ended.failed), slow: u32::from(slow(ended)) };
                self.note(limits, count, now);
                if limits.enabled && self.count().opens(limits) {
                    self.open(limits, now);
                }
            }
            Position::HalfOpen { trying, well } => {
                *trying = false;
                match ended {
                    None => {}
                    Some(ended) if ended.failed || slow(ended) => self.open(limits, now),
                    Some(_) => *well += 1,
                }
                if matches!(self.position, Position::HalfOpen { well: TRIES.., .. }) {
                    self.change(Position::Closed);
                }
            }
        }
    }

    fn open(&mut self, limits: &Limits, now: Instant) {
        self.change(Position::Open { until: now + Duration::from_secs(limits.open_s) });
    }

    fn change(&mut self, to: Position) {
        self.position = to;
        self.changes += 1;
        // What led here is known; what comes is judged by itself.
        if self.state() == State::Closed {
            self.window.clear();
        }
    }

    /// Counts in the newest part of the window, and lets go of what is too old.
    fn note(&mut self, limits: &Limits, count: Count, now: Instant) {
        let window = Duration::from_secs(limits.window_s.max(1));
        while self.window.front().is_some_and(|part| now.saturating_duration_since(part.since) >= window) {
            self.window.pop_front();
        }
        match self.window.back_mut().filter(|part| now.saturating_duration_since(part.since) < window / PARTS) {
            Some(part) => part.count.add(count),
            None => self.window.push_back(Part { since: now, count }),
        }
    }
}

/// The breaker of one launch on this instance.
pub(crate) struct Fuse {
    breaker: Mutex<Breaker>,
    changed: Notify,
    launch: watch::Receiver<Arc<Launch>>,
    ledger: Ledger,
}

/// A request that may leave. Dropped without [`Pass::ended`], it says nothing of the shadow.
pub(crate) struct Pass {
    fuse: Arc<Fuse>,
    ticket: Option<Ticket>,
}

impl Fuse {
    /// A closed one, under the limits of the launch.
    pub(crate) fn new(launch: watch::Receiver<Arc<Launch>>, ledger: Ledger) -> Arc<Self> {
        ledger.breaker(State::Closed);
        Arc::new(Self { breaker: Mutex::default(), changed: Notify::new(), launch, ledger })
    }

    /// Waits until a request may leave, and says whether it had to. For one caller at a time.
    pub(crate) async fn closed(&self) -> bool {
        let mut waited = false;
        let mut launch = self.launch.clone();
        loop {
            launch.mark_unchanged();
            match self.with(|breaker, limits| breaker.ask(limits, Instant::now())) {
                Ok(()) => return waited,
                Err(until) => {
                    tokio::select! {
                        () = asked_again(until) => {}
                        () = self.changed.notified() => {}
                        Ok(()) = launch.changed() => {}
                    }
                }
            }
            waited = true;
        }
    }

    /// Lets a request leave, if one may still.
    pub(crate) fn leave(self: &Arc<Self>) -> Option<Pass> {
        let ticket = self.with(|breaker, limits| breaker.leave(limits, Instant::now()))?;
        Some(Pass { fuse: self.clone(), ticket: Some(ticket) })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Breaker, &Limits) -> T) -> T {
        let launch = self.launch.borrow().clone();
        let mut breaker = self.lock();
        let (before, count) = (breaker.state(), breaker.count());
        let answer = act(&mut breaker, &launch.replay.breaker);
        let after = breaker.state();
        if after != before {
            self.tell(&launch, before, after, if after == State::Open { breaker.count() } else { count });
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says once that nothing is sent, and once that it goes on, however many tries lie between.
    fn tell(&self, launch: &Launch, before: State, after: State, count: Count) {
        self.ledger.breaker(after);
        let (launch, Count { ended, failed, slow }) = (&launch.name, count);
        match (before, after) {
            (State::Closed, _) => {
                tracing::warn!(%launch, ended, failed, slow, "the breaker opened: nothing is sent until single requests go well");
            }
            (_, State::Closed) => tracing::info!(%launch, "the breaker closed: requests are sent again"),
            _ => tracing::debug!(%launch, state = after.as_str(), "the breaker changed"),
        }
    }
}

/// Resolves then; never without a time.
async fn asked_again(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Pass {
    /// The request has ended.
    pub(crate) fn ended(&mut self, ended: Option<Ended>) {
        if let Some(ticket) = self.ticket.take() {
            self.fuse.with(|breaker, limits| breaker.ended(limits, ticket, ended, Instant::now()));
            self.fuse.changed.notify_one();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.ended(None);
    }
}

#[cfg(test)]
mod tests;
