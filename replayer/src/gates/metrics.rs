//! What `/metrics` shows of the gates: each cause that can hold one shut, read when it is asked for.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use shadow_control::Cause;

use super::Gates;

/// Every cause, by the name that `docs/operations.md` gives it.
const CAUSES: [(Cause, &str); 6] = [
    (Cause::Starting, "starting"),
    (Cause::Control, "control"),
    (Cause::Admin, "admin"),
    (Cause::Lease, "lease"),
    (Cause::Target, "target"),
    (Cause::Silent, "handshake"),
];

/// The gates of this instance, as a collector.
pub(crate) struct GateMetrics(Arc<Gates>);

impl GateMetrics {
    /// Adds them to a registry.
    pub(crate) fn register(gates: Arc<Gates>, registry: &mut Registry) {
        registry.register_collector(Box::new(Self(gates)));
    }
}

impl fmt::Debug for GateMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateMetrics").finish_non_exhaustive()
    }
}

impl Collector for GateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let gates = self.0.gates().clone();
        let help = "1 while this cause holds the launch's gate shut: nothing is sent unless all are 0";
        let mut family = encoder.encode_descriptor("replay_gate_shut", help, None, MetricType::Gauge)?;
        for (launch, gate) in gates {
            for (cause, name) in CAUSES {
                let labels = [("launch", launch.as_str()), ("cause", name)];
                ConstGauge::new(i64::from(gate.is_shut_by(cause))).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_shows_whether_it_holds_the_gate() {
        let gates = Arc::new(Gates::default());
        let gate = gates.make(&"v2".parse().unwrap());
        gate.release(Cause::Target);
        gate.shut(Cause::Silent);
        let mut registry = Registry::with_prefix("shadow");
        GateMetrics::register(gates, &mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for (cause, shut) in [("target", 0), ("handshake", 1), ("starting", 1), ("lease", 1), ("admin", 0)] {
            let line = format!("shadow_replay_gate_shut{{launch=\"v2\",cause=\"{cause}\"}} {shut}\n");
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }
}
