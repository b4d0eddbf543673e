//! How many requests may be in flight to the candidate: at most the launch's `max_in_flight`, and fewer when more would only make
//! them wait.
//!
//! Stands between a record's turn and its slot in the schedule. [`Ceiling`] is pure: it grows while it binds and answers are as fast
//! as the best, and is cut when they take much longer or fail for overload; when a cut does not make them faster, the service
//! is slower by itself and that becomes the best. [`Places`] hands the places out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shadow_record::FailureClass;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::Ledger;

/// Where it begins. It doubles with each window until answers take longer.
const START: f64 = 16.0;
/// How much longer than the best answers may take.
const TOLERANCE: f64 = 1.4;
/// What is left after a cut: less than what is tolerated is above the best, so that answers are seen to become faster still if they
/// can, and a best that was learnt while requests queued already does not last.
const CUT: f64 = 0.6;
/// A cut helped when answers take at most this part of the time before it; where requests queue it is about [`CUT`].
const HELPED: f64 = 0.8;
/// Share of requests failed for overload from which it is cut.
const FAILED: f64 = 0.1;
/// How far the best follows answers that are faster.
const FOLLOW: f64 = 0.3;
/// Shortest time between two changes. They are further apart where answers take longer, for only requests sent since the last
/// change say anything of it.
const SHORTEST: Duration = Duration::from_millis(100);
/// Ended requests between two changes: as many as there are places, between these.
const FEWEST: usize = 5;
const ENOUGH: usize = 30;
/// Most of one window that are looked at; bounds its memory.
const MOST: usize = 1000;

/// How a request ended, as far as the ceiling is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Answered after this long.
    Answered(Duration),
    /// Not answered, or refused for want of capacity.
    Overloaded,
}

impl Sign {
    /// Of a request that ended with the candidate's status, where the primary had this one, after so long. Only what says that the shadow
    /// has too much to do counts as overload: a candidate that fails for other reasons is not helped by fewer requests.
    pub fn of(status: Result<u16, FailureClass>, primary: Option<u16>, after: Duration) -> Option<Self> {
        match status {
            Ok(429 | 502..=504) if status.ok() != primary => Some(Self::Overloaded),
            Ok(_) => Some(Self::Answered(after)),
            Err(FailureClass::Connect | FailureClass::Timeout | FailureClass::Reset) => Some(Self::Overloaded),
            Err(_) => None,
        }
    }
}

/// The limit that adapts.
#[derive(Debug)]
pub struct Ceiling {
    most: f64,
    limit: f64,
    /// How long an answer takes when requests do not wait for each other, as far as known.
    best: Option<Duration>,
    /// How long answers took before the last cut, until it is known whether that helped.
    before_cut: Option<Duration>,
    doubling: bool,
    window: Window,
}

/// Requests sent and ended since the last change.
#[derive(Debug)]
struct Window {
    since: Instant,
    answered: Vec<Duration>,
    overloaded: usize,
    /// Whether all places were taken at some time.
    bound: bool,
}

impl Window {
    fn since(since: Instant) -> Self {
        Self { since, answered: Vec::new(), overloaded: 0, bound: false }
    }
}

impl Ceiling {
    /// A ceiling that never exceeds `most`, nor falls below one.
    pub fn new(most: usize, now: Instant) -> Self {
        let most = most.max(1) as f64;
        let (limit, window) = (START.min(most), Window::since(now));
        Self { most, limit, best: None, before_cut: None, doubling: true, window }
    }

    /// Most requests in flight for now.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// All places are taken.
    pub fn bound(&mut self) {
        self.window.bound = true;
    }

    /// A request that was sent at `sent` has ended.
    pub fn ended(&mut self, sent: Instant, sign: Sign, now: Instant) {
        let window = &mut self.window;
        if sent < window.since {
            return;
        }
        match sign {
            Sign::Answered(after) if window.answered.len() < MOST => window.answered.push(after),
            Sign::Answered(_) => {}
            Sign::Overloaded => window.overloaded += 1,
        }
        let enough = (self.limit as usize).clamp(FEWEST, ENOUGH);
        let ended = window.answered.len() + window.overloaded;
        if ended >= enough && now.saturating_duration_since(window.since) >= SHORTEST {
            let window = std::mem::replace(window, Window::since(now));
            self.judge(window, ended);
        }
    }

    fn judge(&mut self, mut window: Window, ended: usize) {
        let before_cut = self.before_cut.take();
        if window.overloaded as f64 > FAILED * ended as f64 {
            return self.cut();
        }
        let middle = window.answered.len() / 2;
        let Some((_, latency, _)) = (!window.answered.is_empty()).then(|| window.answered.select_nth_unstable(middle))
        else {
            return;
        };
        let latency = *latency;
        let did_not_help = before_cut.is_some_and(|before| latency > before.mul_f64(HELPED));
        let best = match self.best {
            // With one at a time, none waits for another.
            Some(_) if did_not_help || self.limit < 2.0 => latency,
            Some(best) if latency < best => best - (best - latency).mul_f64(FOLLOW),
            Some(best) => best,
            None => latency,
        };
        self.best = Some(best);
        if latency > best.mul_f64(TOLERANCE) {
            self.before_cut = Some(latency);
            self.cut();
        } else if window.bound {
            let step = if self.doubling { self.limit } else { (self.limit.sqrt() / 2.0).max(1.0) };
            self.limit = (self.limit + step).min(self.most);
        }
    }

    fn cut(&mut self) {
        self.doubling = false;
        self.limit = (self.limit * CUT).max(1.0);
    }
}

/// The places of one launch on this instance.
pub(crate) struct Places {
    state: Mutex<State>,
    freed: Notify,
    most: usize,
    ledger: Ledger,
}

struct State {
    ceiling: Ceiling,
    taken: usize,
}

/// A place in flight, free again when dropped.
pub(crate) struct Place(Arc<Places>);

impl Places {
    /// At most `most`.
    pub(crate) fn new(most: usize, ledger: Ledger) -> Arc<Self> {
        let state = State { ceiling: Ceiling::new(most, Instant::now()), taken: 0 };
        Arc::new(Self { state: Mutex::new(state), freed: Notify::new(), most: most.max(1), ledger })
    }

    /// A place, if one is free; of all there are, unless the ceiling is `adaptive`.
    pub(crate) fn try_take(self: &Arc<Self>, adaptive: bool) -> Option<Place> {
        let mut state = self.state();
        let limit = if adaptive { state.ceiling.limit() } else { self.most };
        self.ledger.ceiling(limit);
        if state.taken >= limit {
            return None;
        }
        state.taken += 1;
        if state.taken == limit {
            state.ceiling.bound();
        }
        Some(Place(self.clone()))
    }

    /// Resolves when a place was freed, or the ceiling may have changed, since this was last called. For one caller at a time.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The request that was sent at `sent` from this place has ended.
    pub(crate) fn ended(&self, sent: Instant, sign: Sign) {
        self.0.state().ceiling.ended(sent, sign, Instant::now());
        self.0.freed.notify_one();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state().taken -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
