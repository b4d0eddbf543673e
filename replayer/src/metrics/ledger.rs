//! What one launch did on this instance, counted where it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use shadow_record::{FailureClass, HeldBy, Outcome, SkipReason};

use super::{OfBreaker, OfFailure, OfHeld, OfOutcome};
use crate::breaker::State;
use crate::learn::Learnt;
use crate::shares::backlog::Backlogs;

/// What one launch did on this instance.
#[derive(Clone)]
pub struct Ledger(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) launch: String,
    pub(super) outcomes: Family<OfOutcome, Counter>,
    pub(super) sent: Counter,
    pub(super) again: Counter,
    pub(super) held: Gauge,
    pub(super) backlogs: Backlogs,
    pub(super) in_flight: Gauge,
    pub(super) lateness: Family<OfHeld, Histogram>,
    pub(super) duration: Histogram,
    pub(super) control_sent: Counter,
    pub(super) control_answered: Counter,
    pub(super) control_failed: Family<OfFailure, Counter>,
    pub(super) control_crowded: Counter,
    pub(super) learned: Counter,
    pub(super) missed: Counter,
    pub(super) substituted: Counter,
    pub(super) ceiling: Gauge,
    pub(super) session_waiting: Gauge,
    pub(super) breaker_state: Gauge,
    pub(super) breaker_transitions: Family<OfBreaker, Counter>,
    pub(super) counters: Mutex<BTreeMap<String, i64>>,
}

impl Ledger {
    /// The labels under which an outcome counts.
    pub fn labels(outcome: &Outcome) -> (&'static str, &'static str) {
        match outcome {
            Outcome::Completed(_) => ("completed", ""),
            Outcome::Failed(class) => ("failed", class.as_str()),
            Outcome::Skipped(reason) => ("skipped", reason.as_str()),
            Outcome::DeadLettered => ("dead_lettered", ""),
        }
    }

    /// Offsets whose outcome is acknowledged.
    pub fn acknowledged(&self, (outcome, reason): (&'static str, &'static str), offsets: i64) {
        let labels = OfOutcome { launch: self.0.launch.clone(), outcome, reason };
        self.0.outcomes.get_or_create(&labels).inc_by(offsets.max(0) as u64);
        let name = if reason.is_empty() { outcome.to_owned() } else { format!("{outcome}_{reason}") };
        self.add(name, offsets);
    }

    /// A range is acknowledged.
    pub fn skipped(&self, reason: SkipReason, offsets: i64) {
        self.acknowledged(("skipped", reason.as_str()), offsets);
    }

    /// A request goes out, this long after it was meant to, held by that. The guard counts it as in flight while it lives.
    pub fn sending(&self, late: Duration, held_by: Option<HeldBy>) -> InFlight {
        self.0.sent.inc();
        let held_by = held_by.map_or("", HeldBy::as_str);
        self.0.lateness.get_or_create(&OfHeld { launch: self.0.launch.clone(), held_by }).observe(late.as_secs_f64());
        if !held_by.is_empty() {
            self.add(format!("held_{held_by}"), 1);
        }
        self.0.in_flight.inc();
        self.add("sent".to_owned(), 1);
        InFlight(self.0.in_flight.clone())
    }

    /// It was answered after this long.
    pub fn answered(&self, after: Duration) {
        self.0.duration.observe(after.as_secs_f64());
    }

    /// The request goes out to the control too.
    pub fn sending_to_control(&self) {
        self.0.control_sent.inc();
        self.add("control_sent".to_owned(), 1);
    }

    /// The control has too many requests in flight already.
    pub fn control_crowded(&self) {
        self.0.control_crowded.inc();
        self.add("control_crowded".to_owned(), 1);
    }

    /// How that ended.
    pub fn control_ended(&self, failure: Option<FailureClass>) {
        let Some(class) = failure.map(FailureClass::as_str) else {
            self.0.control_answered.inc();
            return self.add("control_answered".to_owned(), 1);
        };
        self.0.control_failed.get_or_create(&OfFailure { launch: self.0.launch.clone(), class }).inc();
        self.add(format!("control_failed_{class}"), 1);
    }

    /// Values were learnt from an answer of the candidate, or missed in it.
    pub fn learnt(&self, learnt: Learnt) {
        for (name, what, count) in
            [("learned", &self.0.learned, learnt.values), ("learn_missed", &self.0.missed, learnt.missed)]
        {
            if count > 0 {
                what.inc_by(count as u64);
                self.add(name.to_owned(), count as i64);
            }
        }
    }

    /// A request to the candidate has values in it that were learnt.
    pub fn substituted(&self) {
        self.0.substituted.inc();
        self.add("substituted".to_owned(), 1);
    }

    /// An outcome was not acknowledged.
    pub fn published_again(&self) {
        self.0.again.inc();
        self.add("publish_retries".to_owned(), 1);
    }

    /// The launch could not run: its target was refused, or something else went wrong. It counts again with every try.
    pub fn trouble(&self, kind: Trouble) {
        self.add(kind.as_str().to_owned(), 1);
    }

    /// Work on a record panicked; it counts as a failure with the reason `other`.
    pub fn panicked(&self) {
        self.add("panics".to_owned(), 1);
    }

    /// How many requests may be in flight now.
    pub fn ceiling(&self, places: usize) {
        if self.0.ceiling.set(places as i64) != places as i64 {
            self.set("ceiling", places as i64);
        }
    }

    /// How many records wait for their session.
    pub fn session_waiting(&self, records: usize) {
        if self.0.session_waiting.set(records as i64) != records as i64 {
            self.set("session_waiting", records as i64);
        }
    }

    /// The breaker is in this state now.
    pub fn breaker(&self, state: State) {
        if self.0.breaker_state.set(state as i64) != state as i64 {
            let to = state.as_str();
            self.0.breaker_transitions.get_or_create(&OfBreaker { launch: self.0.launch.clone(), to }).inc();
            self.add(format!("breaker_to_{to}"), 1);
        }
        self.set("breaker_state", state as i64);
    }

    /// Shares of the rate on the control topic could not be used.
    pub fn shares_refused(&self) {
        self.add("shares_refused".to_owned(), 1);
    }

    /// How much of each partition waits.
    pub(crate) fn backlogs(&self) -> &Backlogs {
        &self.0.backlogs
    }

    /// What the windows of all partitions hold.
    pub fn held(&self, records: usize) {
        self.0.held.set(records as i64);
    }

    /// Counters for the heartbeat: cumulative ones, and what each partition's backlog is now.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        let mut counters = self.0.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counters.append(&mut self.0.backlogs.counters());
        counters
    }

    fn set(&self, name: &str, value: i64) {
        self.0.counters.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    fn add(&self, name: String, by: i64) {
        *self.0.counters.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += by;
    }
}

/// Why a launch does not run, as its heartbeat counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The target may not be sent to.
    TargetRefused,
    /// A target did not answer the launch's handshake as expected.
    HandshakeFailed,
    /// Anything else; the log says what.
    LaunchError,
}

impl Trouble {
    /// The counter's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TargetRefused => "target_refused",
            Self::HandshakeFailed => "handshake_failed",
            Self::LaunchError => "launch_errors",
        }
    }
}

/// One request in flight.
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
