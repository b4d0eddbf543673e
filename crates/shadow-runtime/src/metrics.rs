//! The registry that every service starts from: all names begin with `shadow_`, and the process tells about itself.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

mod process;

/// What [`exposition`] writes, as its `Content-Type` says.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry with `shadow_build_info{service,version}` and the process's memory, CPU time, threads and file descriptors
/// (`shadow_process_...`). Register a service's own metrics without the prefix.
pub fn registry(service: &'static str, version: &'static str) -> Registry {
    let mut registry = Registry::with_prefix("shadow");
    let build = Info::new(vec![("service", service), ("version", version)]);
    registry.register("build", "The service and its version", build);
    registry.register_collector(Box::new(process::Process));
    registry
}

/// A registry of what the process tells about itself under the names that Prometheus' own clients use (`process_...`): for programs
/// that are watched beside Shadowline and are no part of it.
pub fn of_process() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(process::Process));
    registry
}

/// The answer to `GET /metrics`: what the registry shows, as OpenMetrics text.
pub fn exposition(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "a metric could not be encoded\n").into_response(),
    }
}
