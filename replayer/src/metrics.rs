//! What the replayer counts: as Prometheus metrics for dashboards, and as the cumulative counters of its heartbeats.
//!
//! Outcomes are counted when the broker has acknowledged them, so the counters never run ahead of the topic. The ledger's
//! account does not rest on them: it comes from offsets.

mod all;
mod ledger;

use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use shadow_record::LaunchName;

use crate::shares::backlog::{Backlogs, Lags};

#[doc(hidden)]
pub use all::every_metric;
use ledger::Inner;
pub use ledger::{InFlight, Ledger, Trouble};

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
