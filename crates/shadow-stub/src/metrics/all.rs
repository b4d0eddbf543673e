//! Every metric there is, for `docs/metrics.md`: a family without a series does not show in a registry.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use shadow_record::CorrelatedBy;
use shadow_runtime::{MaskingConfig, MaskingMetrics, Secret};

use super::Metrics;
use crate::engine::Decision;
use crate::mirror::{Mirrored, Why};
use crate::refused::Refusals;

/// A registry as the service has it, with a series of each family.
pub fn every_metric() -> Registry {
    let mut registry = shadow_runtime::metrics::registry(crate::SERVICE.name, crate::SERVICE.version);
    let metrics = Metrics::register(&mut registry, Refusals::default());
    let masking = MaskingConfig { key: Some(Secret::new("0".repeat(64))), ..MaskingConfig::default() };
    MaskingMetrics::register(Arc::new(masking.masker().expect("built-in rules under a key")), &mut registry);
    metrics.called(&Decision::Unmatched, CorrelatedBy::None, 0.0);
    metrics.mirrored(&Mirrored::Not(Why::NoneLeft));
    registry
}
