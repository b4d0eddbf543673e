//! What the stub counts: for `/metrics`, and in its heartbeats.

mod all;

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use shadow_record::CorrelatedBy;

use crate::engine::Decision;
use crate::mirror::Mirrored;
use crate::refused::Refusals;

pub use all::every_metric;

/// From what a rule takes to what a shadow's own time-outs are.
const SECONDS: [f64; 11] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Told {
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

/// The families of this process.
#[derive(Clone)]
pub(crate) struct Metrics {
    refusals: Refusals,
    calls: Family<Decided, Counter>,
    correlated: Family<Told, Counter>,
    mirrored: Family<Outcome, Counter>,
    seconds: Arc<Histogram>,
    waiting: Gauge,
    recorded: Counter,
    given_up: Counter,
    again: Counter,
}

impl Metrics {
    /// Registers every family.
    pub(crate) fn register(registry: &mut Registry, refusals: Refusals) -> Self {
        let metrics = Self {
            refusals,
            calls: Family::default(),
            correlated: Family::default(),
            mirrored: Family::default(),
            seconds: Arc::new(Histogram::new(SECONDS)),
            waiting: Gauge::default(),
            recorded: Counter::default(),
            given_up: Counter::default(),
            again: Counter::default(),
        };
        let Self { refusals, calls, correlated, mirrored, seconds, waiting, recorded, given_up, again } =
            metrics.clone();
        registry.register(
            "stub_refused",
            "Connections and requests that were refused before they were calls",
            refusals.0,
        );
        registry.register("stub_calls", "Calls, by how they were decided", calls);
        registry.register("stub_correlated", "Calls, by what told whose they are", correlated);
        registry.register(
            "stub_mirrored",
            "Calls of a known request, by whether they were answered as the primary's: equal, alike (another body), again (by idempotency \
             key), or why not",
            mirrored,
        );
        registry.register(
            "stub_seconds",
            "From a whole call to its answer, without the delays that rules ask for",
            (*seconds).clone(),
        );
        registry.register("stub_effects_waiting", "Effects that Kafka has not acknowledged yet", waiting);
        registry.register("stub_effects_recorded", "Effects that Kafka has acknowledged", recorded);
        registry.register("stub_effects_given_up", "Effects that are in no record: too large for the topic", given_up);
        registry.register("stub_publish_retries", "Effects published again because they were not acknowledged", again);
        metrics
    }

    pub(crate) fn called(&self, decision: &Decision, by: CorrelatedBy, seconds: f64) {
        self.calls.get_or_create_owned(&Decided { decision: decision.as_str() }).inc();
        self.correlated.get_or_create_owned(&Told { by: by.as_str() }).inc();
        self.seconds.observe(seconds);
        self.waiting.inc();
    }

    pub(crate) fn mirrored(&self, mirrored: &Mirrored) {
        self.mirrored.get_or_create_owned(&Outcome { result: mirrored.as_str() }).inc();
    }

    pub(crate) fn recorded(&self) {
        self.waiting.dec();
        self.recorded.inc();
    }

    pub(crate) fn given_up(&self) {
        self.waiting.dec();
        self.given_up.inc();
    }

    pub(crate) fn published_again(&self) {
        self.again.inc();
    }

    /// As the counters of a heartbeat.
    pub(crate) fn counters(&self) -> BTreeMap<String, i64> {
        let decisions = ["answered", "again", "mirrored", "unmatched", "rule_failed"];
        let calls = decisions.map(|decision| {
            let count = self.calls.get_or_create_owned(&Decided { decision }).get();
            (format!("calls_{decision}"), count as i64)
        });
        let none = self.correlated.get_or_create_owned(&Told { by: CorrelatedBy::None.as_str() }).get() as i64;
        let others = [
            ("uncorrelated".to_owned(), none),
            ("recorded".to_owned(), self.recorded.get() as i64),
            ("given_up".to_owned(), self.given_up.get() as i64),
            ("refused".to_owned(), self.refusals.all() as i64),
        ];
        calls.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Those of a test.
    pub(crate) fn metrics() -> Metrics {
        Metrics::register(&mut Registry::default(), Refusals::default())
    }
}
