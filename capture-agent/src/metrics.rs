//! What `/metrics` shows of the edge.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::edge::accept::Door;
use crate::edge::dial::Dial;
use crate::edge::limits::Connections;
use crate::egress::Counted;

/// How connections come in and go out.
pub(crate) struct Edge {
    /// Who is let in.
    pub door: Door,
    /// The ways to the primary: for clients that speak HTTP/1, and for those that speak HTTP/2.
    pub dials: [Dial; 2],
}

/// What is shown of it.
pub(crate) struct EdgeMetrics {
    /// The connections of clients.
    pub connections: Connections,
    /// The rest.
    pub edge: Edge,
    /// Where the primary's own calls come in.
    pub egress: Option<Counted>,
}

impl fmt::Debug for EdgeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeMetrics").finish_non_exhaustive()
    }
}

impl EdgeMetrics {
    /// Adds them to a registry.
    pub(crate) fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }

    fn gauges(&self) -> Vec<(&'static str, &'static str, usize)> {
        let mut gauges = vec![
            ("edge_connections", "Connections of clients", self.connections.open()),
            ("edge_connections_limit", "Most connections at once", self.connections.limit()),
        ];
        let listener = self.edge.door.tls.as_ref().map(|tls| tls.standing());
        let primary = self.edge.dials[0].tls().map(|tls| tls.standing());
        let names = ["edge_listener_certificate_refused", "edge_primary_certificate_refused"];
        for (name, standing) in names.into_iter().zip([listener, primary]) {
            let help = "1 when the certificate files on disk cannot be used and older ones are in force";
            gauges.extend(standing.map(|standing| (name, help, usize::from(standing.refused))));
        }
        if let Some(egress) = &self.egress {
            let connections = &egress.connections;
            gauges.push(("egress_connections", "Connections of the primary for its own calls", connections.open()));
            gauges.push(("egress_connections_limit", "Most of these at once", connections.limit()));
        }
        gauges
    }
}

impl Collector for EdgeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for (name, help, value) in self.gauges() {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let help = "Times that accepting waited because the limit was reached";
        let full = encoder.encode_descriptor("edge_full", help, None, MetricType::Counter)?;
        ConstCounter::new(self.connections.full()).encode(full)?;
        let help = "Connections that were not let in";
        let mut refused = encoder.encode_descriptor("edge_refused", help, None, MetricType::Counter)?;
        for (reason, count) in self.edge.door.refused() {
            ConstCounter::new(count).encode(refused.encode_family(&[("reason", reason)])?)?;
        }
        let help = "Connections to the primary that could not be had";
        let mut failed = encoder.encode_descriptor("edge_primary_failed", help, None, MetricType::Counter)?;
        let [http1, http2] = &self.edge.dials;
        for ((reason, one), (_, other)) in http1.failed().zip(http2.failed()) {
            ConstCounter::new(one + other).encode(failed.encode_family(&[("reason", reason)])?)?;
        }
        let Some(egress) = &self.egress else { return Ok(()) };
        let help = "Times that the primary's connections waited because the limit was reached";
        let full = encoder.encode_descriptor("egress_full", help, None, MetricType::Counter)?;
        ConstCounter::new(egress.connections.full()).encode(full)?;
        let help = "Outbound calls and connections that got nowhere";
        let mut refused = encoder.encode_descriptor("egress_refused", help, None, MetricType::Counter)?;
        for (reason, count) in egress.refused.read() {
            ConstCounter::new(count).encode(refused.encode_family(&[("reason", reason)])?)?;
        }
        Ok(())
    }
}
