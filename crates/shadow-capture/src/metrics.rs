//! What `/metrics` shows of the agent, read from the ledger and the queues when it is asked for, so that no number has two
//! sources.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::effects::Calls;
use crate::latency::{Histogram, Latency};
use crate::ledger::Ledger;
use crate::observe::RawExchange;
use crate::pause::{Alarm, Pause};
use crate::publish::Publisher;
use crate::tee::Budget;

/// What is measured.
pub(crate) struct Metrics {
    /// The account of every request.
    pub(crate) ledger: Arc<Ledger>,
    /// Bytes held.
    pub(crate) budget: Arc<Budget>,
    /// Exchanges waiting for masking.
    pub(crate) queue: crossbeam_channel::Receiver<RawExchange>,
    /// Records waiting for the brokers.
    pub(crate) publisher: Publisher,
    /// Replayed requests that reached production.
    pub(crate) alarm: Alarm,
    /// What the traffic feels.
    pub(crate) latency: Arc<Latency>,
    /// Whether the watchdog has paused capturing.
    pub(crate) pause: Arc<Pause>,
    /// The primary's calls, where they pass.
    pub(crate) effects: Option<EffectsMetrics>,
}

/// What is measured of the primary's calls.
pub(crate) struct EffectsMetrics {
    /// The account of every call.
    pub(crate) calls: Arc<Calls>,
    /// Calls waiting for masking.
    pub(crate) queue: crossbeam_channel::Receiver<RawExchange>,
}

impl EffectsMetrics {
    fn encode(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let account = self.calls.account();
        out.counter("effects_seen", "Outbound calls of the primary", account.seen)?;
        out.counter("effects_sampled_out", "Calls made for requests that are not captured", account.sampled_out)?;
        out.counter("effects_acknowledged", "Calls that Kafka has", account.acknowledged)?;
        out.counter("effects_in_doubt", "Calls that Kafka may have", account.in_doubt)?;
        let excluded = account.excluded.iter().map(|(why, count)| (why.as_str(), *count));
        out.reasons("effects_excluded", "Calls left out on purpose", excluded)?;
        let dropped = account.dropped.iter().map(|(why, count)| (why.as_str(), *count));
        out.reasons("effects_dropped", "Calls not published", dropped)?;
        out.labelled("effects_told", "Calls, by what told whose they are", "by", self.calls.told_by())?;
        out.gauge("effects_in_flight", "Calls without an end yet", account.in_flight)?;
        out.gauge("effects_queue_waiting", "Calls waiting for masking", self.queue.len() as i64)
    }
}

impl Metrics {
    /// Adds the agent's metrics to a registry.
    pub(crate) fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let account = self.ledger.account();
        let mut out = Out(&mut encoder);
        out.counter("capture_seen", "Requests seen", account.seen)?;
        out.counter("capture_sampled_out", "Requests outside the sample", account.sampled_out)?;
        out.counter("capture_acknowledged", "Exchanges that Kafka has", account.acknowledged)?;
        out.counter("capture_in_doubt", "Exchanges that Kafka may have", account.in_doubt)?;
        out.reasons(
            "capture_excluded",
            "Requests left out on purpose",
            account.excluded.iter().map(|(w, n)| (w.as_str(), *n)),
        )?;
        out.reasons(
            "capture_dropped",
            "Exchanges not published",
            account.dropped.iter().map(|(w, n)| (w.as_str(), *n)),
        )?;
        out.gauge("capture_in_flight", "Requests without an end yet", account.in_flight)?;
        out.gauge("capture_queue_waiting", "Exchanges waiting for masking", self.queue.len() as i64)?;
        out.gauge("capture_outbox_waiting", "Records waiting for the brokers", self.publisher.waiting() as i64)?;
        out.gauge("capture_budget_used_bytes", "Bytes held of bodies and heads", self.budget.used() as i64)?;
        out.counter("capture_budget_refused", "Times the budget was exhausted", self.budget.refused() as i64)?;
        out.counter(
            "capture_replayed_requests",
            "Replayed requests that reached production",
            self.alarm.count() as i64,
        )?;
        out.delays("capture_added_latency", "Time added to each request by the capturing side", &self.latency.added)?;
        out.delays("capture_thread_lag", "How much later than due the threads of the hot path ran", &self.latency.lag)?;
        out.counter("capture_watchdog_trips", "Times the watchdog paused capturing", self.pause.trips() as i64)?;
        out.gauge(
            "capture_watchdog_paused",
            "Whether the watchdog has paused capturing",
            self.pause.by_watchdog().into(),
        )?;
        self.effects.as_ref().map_or(Ok(()), |effects| effects.encode(&mut out))
    }
}

struct Out<'a, 'e>(&'a mut DescriptorEncoder<'e>);

impl Out<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let metric = ConstCounter::new(value.max(0) as u64);
        metric.encode(self.describe(name, help, MetricType::Counter)?)
    }

    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        ConstGauge::new(value).encode(self.describe(name, help, MetricType::Gauge)?)
    }

    fn reasons<'r>(&mut self, name: &str, help: &str, counts: impl Iterator<Item = (&'r str, i64)>) -> fmt::Result {
        self.labelled(name, help, "reason", counts)
    }

    fn labelled<'r>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl Iterator<Item = (&'r str, i64)>,
    ) -> fmt::Result {
        let mut family = self.describe(name, help, MetricType::Counter)?;
        for (value, count) in counts {
            ConstCounter::new(count.max(0) as u64).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    /// A histogram in seconds.
    fn delays(&mut self, name: &str, help: &str, delays: &Histogram) -> fmt::Result {
        let counts = delays.counts();
        let unit = Some(&Unit::Seconds);
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(delays.seconds(), counts.total(), &counts.doublings(), None)
    }

    fn describe<'a>(
        &'a mut self,
        name: &'a str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}
