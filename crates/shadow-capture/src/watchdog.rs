//! Pauses capturing when the traffic is being felt, and resumes when it no longer is. Each time it pauses it also rings the
//! [`Alarm`], unless that is off: what slows production may be the shadow beside it.
//!
//! Two things are watched, second by second, each at its 99th percentile: the time our own code adds to a request
//! (`capture.latency_budget`), and how much later than due the threads of the hot path run (`capture.lag_budget`). They are not
//! added up, because they tell of different things: the first is our own doing alone, and 1 ms of it is a lot. The second is also
//! what every other process on a busy machine causes, where a thread waits for the slices of two or three others, some
//! milliseconds each; only above 10 ms is a request slower for it than anyone would call noise.
//!
//! Guarantee: only capturing is paused, never the traffic, and an operator's pause is never touched. While it is paused the
//! requests are counted as `excluded{overload}`, and both delays are measured as before.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::config::Threshold;
use crate::latency::{Counts, Histogram, Latency};
use crate::pause::{Alarm, Pause};

/// How often it looks.
const WINDOW: Duration = Duration::from_secs(1);
/// Fewer samples have no 99th percentile worth the name; they are judged with those of the next second.
const SAMPLES: u64 = 50;
/// Bad readings running after which capturing pauses: one may be a coincidence.
const BAD: u32 = 3;
/// Seconds without a bad reading after which capturing resumes.
const HOLD: u32 = 10;
/// The same at most, when it keeps tripping.
const LONGEST_HOLD: u32 = 300;
/// Tripping again within so many seconds doubles the hold.
const SOON: u32 = 60;

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// Of the time added to a request.
    pub(crate) added: Threshold,
    /// Of the threads' lag.
    pub(crate) lag: Threshold,
}

/// What one second showed: the 99th percentiles, of what had enough samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reading {
    added: Option<Duration>,
    lag: Option<Duration>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Stop capturing, for at least so many seconds.
    Pause(u32),
    /// Capture again.
    Resume,
}

/// Decides, one reading after the other; it knows no clock.
#[derive(Debug)]
struct Judge {
    allowed: Allowed,
    added: Streak,
    lag: Streak,
    state: State,
}

/// Bad readings running.
#[derive(Debug, Default)]
struct Streak(u32);

#[derive(Debug)]
enum State {
    /// For so many seconds, after a pause that asked for `held` good ones.
    Capturing { seconds: u32, held: u32 },
    /// For as long as it takes to see `hold` good seconds running.
    Paused { good: u32, hold: u32 },
}

impl Streak {
    /// A reading that is not there says nothing.
    fn add(&mut self, reading: Option<Duration>, allowed: Threshold) -> Verdict {
        match (reading, allowed) {
            (Some(found), Threshold::At(most)) if found > most.get() => {
                self.0 += 1;
                Verdict::Bad
            }
            (Some(_), _) => {
                self.0 = 0;
                Verdict::Good
            }
            (None, _) => Verdict::Good,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Bad,
}

impl Judge {
    fn new(allowed: Allowed) -> Self {
        // As if nothing had ever been wrong.
        let state = State::Capturing { seconds: SOON, held: HOLD };
        Self { allowed, added: Streak::default(), lag: Streak::default(), state }
    }

    fn judge(&mut self, reading: Reading) -> Option<Change> {
        let added = self.added.add(reading.added, self.allowed.added);
        let lag = self.lag.add(reading.lag, self.allowed.lag);
        match &mut self.state {
            State::Capturing { seconds, held } => {
                let again = *seconds < SOON;
                *seconds = seconds.saturating_add(1);
                if self.added.0 < BAD && self.lag.0 < BAD {
                    return None;
                }
                let hold = if again { (*held * 2).min(LONGEST_HOLD) } else { HOLD };
                self.state = State::Paused { good: 0, hold };
                Some(Change::Pause(hold))
            }
            State::Paused { good, hold } => {
                *good = if (added, lag) == (Verdict::Good, Verdict::Good) { *good + 1 } else { 0 };
                if *good < *hold {
                    return None;
                }
                (self.added, self.lag) = (Streak::default(), Streak::default());
                self.state = State::Capturing { seconds: 0, held: *hold };
                Some(Change::Resume)
            }
        }
    }
}

/// Reads one histogram from second to second.
#[derive(Debug, Default)]
struct Window(Counts);

impl Window {
    fn p99(&mut self, histogram: &Histogram) -> Option<Duration> {
        let now = histogram.counts();
        let fresh = now.since(&self.0);
        (fresh.total() >= SAMPLES).then(|| {
            self.0 = now;
            fresh.p99()
        })
    }
}

/// Looks, decides and acts.
struct Rounds {
    latency: Arc<Latency>,
    pause: Arc<Pause>,
    /// Who is told of it; `None` for nobody.
    alarm: Option<Alarm>,
    judge: Judge,
    added: Window,
    lag: Window,
}

impl Rounds {
    fn new(allowed: Allowed, latency: Arc<Latency>, pause: Arc<Pause>, alarm: Option<Alarm>) -> Self {
        Self { latency, pause, alarm, judge: Judge::new(allowed), added: Window::default(), lag: Window::default() }
    }

    /// Once a second.
    fn make(&mut self) {
        let reading = Reading { added: self.added.p99(&self.latency.added), lag: self.lag.p99(&self.latency.lag) };
        let Reading { added, lag } = reading;
        let Allowed { added: most, lag: most_lag } = self.judge.allowed;
        match self.judge.judge(reading) {
            None => {}
            Some(Change::Pause(hold)) => {
                self.pause.set_by_watchdog(true);
                tracing::warn!(
                    added_p99 = ?added, allowed = %most, lag_p99 = ?lag, allowed_lag = %most_lag, hold_seconds = hold,
                    "the traffic is being felt; capturing pauses"
                );
                if let Some(alarm) = &self.alarm {
                    alarm.felt(why(reading, self.judge.allowed));
                }
            }
            Some(Change::Resume) => {
                self.pause.set_by_watchdog(false);
                tracing::info!(added_p99 = ?added, lag_p99 = ?lag, "the traffic is no longer felt; capturing resumes");
            }
        }
    }
}

/// The reading as a person is told.
fn why(reading: Reading, allowed: Allowed) -> String {
    let told = |what: &str, found: Option<Duration>, allowed: Threshold| {
        found.map(|found| format!("{what} {:.1} ms (allowed {allowed})", found.as_secs_f64() * 1e3))
    };
    let added = told("time added to requests", reading.added, allowed.added);
    let lag = told("lag of the agent's threads", reading.lag, allowed.lag);
    let found: Vec<_> = added.into_iter().chain(lag).collect();
    format!("production is being slowed, at the 99th percentile: {}", found.join(", "))
}

/// The running watchdog. It ends when this is dropped.
pub(crate) struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    /// Starts its thread, which keeps the traffic's own priority: when processor time is short is when it is needed.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(
        allowed: Allowed,
        latency: Arc<Latency>,
        pause: Arc<Pause>,
        alarm: Option<Alarm>,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        let mut rounds = Rounds::new(allowed, latency, pause, alarm);
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            while stopped.recv_timeout(WINDOW) == Err(RecvTimeoutError::Timeout) {
                rounds.make();
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

#[cfg(test)]
mod tests;
