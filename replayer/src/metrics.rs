//! What the replayer counts: as Prometheus metrics for dashboards, and as the cumulative counters of its heartbeats.
//!
//! Outcomes are counted when the broker has acknowledged them, so the counters never run ahead of the topic. The ledger's
//! account does not rest on them: it comes from offsets.

mod all;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use shadow_record::{FailureClass, HeldBy, LaunchName, Outcome, SkipReason};

use crate::breaker::State;
use crate::learn::Learnt;
use crate::shares::backlog::{Backlogs, Lags};

#[doc(hidden)]
pub use all::every_metric;

/// From a tenth of the lateness that is aimed at to the longest timeout.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLaunch {
    launch: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    launch: String,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFailure {
    launch: String,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHeld {
    launch: String,
    held_by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBreaker {
    launch: String,
    to: &'static str,
}

/// The families of this process.
#[derive(Clone)]
pub struct Metrics {
    outcomes: Family<OfOutcome, Counter>,
    sent: Family<OfLaunch, Counter>,
    again: Family<OfLaunch, Counter>,
    held: Family<OfLaunch, Gauge>,
    lag: Lags,
    in_flight: Family<OfLaunch, Gauge>,
    lateness: Family<OfHeld, Histogram>,
    duration: Family<OfLaunch, Histogram>,
    control_sent: Family<OfLaunch, Counter>,
    control_answered: Family<OfLaunch, Counter>,
    control_failed: Family<OfFailure, Counter>,
    control_crowded: Family<OfLaunch, Counter>,
    learned: Family<OfLaunch, Counter>,
    missed: Family<OfLaunch, Counter>,
    substituted: Family<OfLaunch, Counter>,
    ceiling: Family<OfLaunch, Gauge>,
    session_waiting: Family<OfLaunch, Gauge>,
    breaker_state: Family<OfLaunch, Gauge>,
    breaker_transitions: Family<OfBreaker, Counter>,
}

impl Metrics {
    /// Registers every family.
    pub fn register(registry: &mut Registry) -> Self {
        let histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            outcomes: Family::default(),
            sent: Family::default(),
            again: Family::default(),
            held: Family::default(),
            lag: Lags::default(),
            in_flight: Family::default(),
            lateness: Family::new_with_constructor(histogram),
            duration: Family::new_with_constructor(histogram),
            control_sent: Family::default(),
            control_answered: Family::default(),
            control_failed: Family::default(),
            control_crowded: Family::default(),
            learned: Family::default(),
            missed: Family::default(),
            substituted: Family::default(),
            ceiling: Family::default(),
            session_waiting: Family::default(),
            breaker_state: Family::default(),
            breaker_transitions: Family::default(),
        };
        let Self { outcomes, sent, again, held, in_flight, lateness, duration, .. } = metrics.clone();
        registry.register(
            "replay_outcomes",
            "Captured offsets with an acknowledged outcome, by outcome and reason",
            outcomes,
        );
        registry.register("replay_sent", "Requests sent to the candidate", sent);
        registry.register(
            "replay_publish_retries",
            "Outcomes published again because they were not acknowledged",
            again,
        );
        registry.register(
            "replay_lag",
            "Captured records without an acknowledged outcome, by partition",
            metrics.lag.clone(),
        );
        registry.register("replay_window_held", "Outcomes not acknowledged, or behind one that is not", held);
        registry.register("replay_in_flight", "Requests in flight to the candidate", in_flight);
        registry.register(
            "replay_lateness_seconds",
            "Intended to actual time of sending, by what held the request",
            lateness,
        );
        registry.register("replay_duration_seconds", "Sending to the last byte of the candidate's answer", duration);
        let Self { control_sent, control_answered, control_failed, control_crowded, .. } = metrics.clone();
        registry.register("replay_control_sent", "Requests sent to the control", control_sent);
        registry.register("replay_control_answered", "Whole answers of the control", control_answered);
        registry.register("replay_control_failed", "Requests to the control without one, by class", control_failed);
        registry.register(
            "replay_control_crowded",
            "Requests not sent to the control for want of a place",
            control_crowded,
        );
        let Self { learned, missed, substituted, .. } = metrics.clone();
        registry.register("replay_learned", "Values learnt from the candidate's answers", learned);
        registry.register(
            "replay_learn_missed",
            "Values of the primary that the candidate's answer has no counterpart of",
            missed,
        );
        registry.register("replay_substituted", "Requests to the candidate with learnt values in them", substituted);
        let Self { ceiling, session_waiting, breaker_state, breaker_transitions, .. } = metrics.clone();
        registry.register("replay_ceiling", "Requests that may be in flight to the candidate", ceiling);
        registry.register("replay_session_waiting", "Records that wait for their session", session_waiting);
        registry.register("replay_breaker_state", "0 closed, 1 open: nothing is sent, 2 half open", breaker_state);
        registry.register(
            "replay_breaker_transitions",
            "Changes of the breaker, by the new state",
            breaker_transitions,
        );
        metrics
    }

    /// The ledger of one launch.
    pub fn ledger(&self, launch: &LaunchName) -> Ledger {
        let of = OfLaunch { launch: launch.to_string() };
        Ledger(Arc::new(Inner {
            outcomes: self.outcomes.clone(),
            sent: self.sent.get_or_create_owned(&of),
            again: self.again.get_or_create_owned(&of),
            held: self.held.get_or_create_owned(&of),
            backlogs: Backlogs::new(of.launch.clone(), self.lag.clone()),
            in_flight: self.in_flight.get_or_create_owned(&of),
            lateness: self.lateness.clone(),
            duration: self.duration.get_or_create_owned(&of),
            control_sent: self.control_sent.get_or_create_owned(&of),
            control_answered: self.control_answered.get_or_create_owned(&of),
            control_failed: self.control_failed.clone(),
            control_crowded: self.control_crowded.get_or_create_owned(&of),
            learned: self.learned.get_or_create_owned(&of),
            missed: self.missed.get_or_create_owned(&of),
            substituted: self.substituted.get_or_create_owned(&of),
            ceiling: self.ceiling.get_or_create_owned(&of),
            session_waiting: self.session_waiting.get_or_create_owned(&of),
            breaker_state: self.breaker_state.get_or_create_owned(&of),
            breaker_transitions: self.breaker_transitions.clone(),
            counters: Mutex::default(),
            launch: of.launch,
        }))
    }
}

/// What one launch did on this instance.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    launch: String,
    outcomes: Family<OfOutcome, Counter>,
    sent: Counter,
    again: Counter,
    held: Gauge,
    backlogs: Backlogs,
    in_flight: Gauge,
    lateness: Family<OfHeld, Histogram>,
    duration: Histogram,
    control_sent: Counter,
    control_answered: Counter,
    control_failed: Family<OfFailure, Counter>,
    control_crowded: Counter,
    learned: Counter,
    missed: Counter,
    substituted: Counter,
    ceiling: Gauge,
    session_waiting: Gauge,
    breaker_state: Gauge,
    breaker_transitions: Family<OfBreaker, Counter>,
    counters: Mutex<BTreeMap<String, i64>>,
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
