//! What people watch Shadowline with fits what it shows: the page of metrics, the dashboards and the alerts speak of metrics and
//! columns that really exist, and every query of theirs runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support.rs"]
mod support;

#[path = "observability/alerts.rs"]
mod alerts;
#[path = "observability/dashboards.rs"]
mod dashboards;
#[path = "observability/exposition.rs"]
mod exposition;
#[path = "observability/live.rs"]
mod live;
#[path = "observability/metrics_page.rs"]
mod metrics_page;
#[path = "observability/promql.rs"]
mod promql;
#[path = "observability/traces.rs"]
mod traces;
#[path = "observability/versions.rs"]
mod versions;

use std::path::{Path, PathBuf};

/// The folder `docs/`.
fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// A file below `docs/observability/`.
fn shipped(path: &str) -> String {
    let path = docs().join("observability").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
