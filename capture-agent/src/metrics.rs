//! What `/metrics` shows of the edge.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::edge::limits::Connections;

/// The connections of clients.
#[derive(Debug)]
pub(crate) struct EdgeMetrics(pub Connections);

impl EdgeMetrics {
    /// Adds them to a registry.
    pub(crate) fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl Collector for EdgeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let gauges = [
            ("edge_connections", "Connections of clients", self.0.open()),
            ("edge_connections_limit", "Most connections at once", self.0.limit()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let help = "Times that accepting waited because the limit was reached";
        ConstCounter::new(self.0.full()).encode(encoder.encode_descriptor(
            "edge_full",
            help,
            None,
            MetricType::Counter,
        )?)
    }
}
