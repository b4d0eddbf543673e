//! Every metric there is, for `docs/metrics.md`: a family without a series does not show in a registry.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use shadow_record::{FailureClass, LaunchName};
use shadow_runtime::{MaskingConfig, MaskingMetrics, Secret};

use super::Metrics;
use crate::breaker::State;
use crate::gates::{GateMetrics, Gates};

/// A registry as the service has it, with a series of each family.
pub fn every_metric() -> Registry {
    let mut registry = shadow_runtime::metrics::registry(crate::SERVICE.name, crate::SERVICE.version);
    let metrics = Metrics::register(&mut registry);
    let masking = MaskingConfig { key: Some(Secret::new("0".repeat(64))), ..MaskingConfig::default() };
    MaskingMetrics::register(Arc::new(masking.masker().expect("built-in rules under a key")), &mut registry);
    let gates = Arc::new(Gates::default());
    GateMetrics::register(gates.clone(), &mut registry);

    let launch: LaunchName = "launch".parse().expect("a name");
    gates.make(&launch);
    let ledger = metrics.ledger(&launch);
    ledger.acknowledged(("completed", ""), 0);
    drop(ledger.sending(Duration::ZERO, None));
    ledger.control_ended(Some(FailureClass::Timeout));
    ledger.breaker(State::Open);
    ledger.backlogs().take_over(0, 0, 0);
    registry
}
