//! Every metric there is, for `docs/metrics.md`: a family without a series does not show in a registry.

use prometheus_client::registry::Registry;

use super::{Metrics, OfEffects, OfTable};

/// A registry as the service has it, with a series of each family.
pub fn every_metric() -> Registry {
    let mut registry = shadow_runtime::metrics::registry(crate::SERVICE.name, crate::SERVICE.version);
    let metrics = Metrics::register(&mut registry);
    metrics.settled("launch", "completed", "matched", 1);
    metrics.repeated("launch", 1);
    metrics.unusable("launch");
    metrics.partition("launch", 0, 0, 0);
    metrics.rows.get_or_create(&OfTable { table: "exchanges" }).inc_by(1);
    drop(metrics.effects_settled.get_or_create(&OfEffects {
        launch: "launch".to_owned(),
        result: "matched",
        reason: "",
    }));
    drop(metrics.effects_wait("launch", 1));
    metrics.effects_held("launch", 0);
    registry
}
