//! The registry that every service starts from: all names begin with `shadow_`, and the process tells about itself.

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

mod process;

/// A registry with `shadow_build_info{service,version}` and the process's memory, CPU time, threads and file descriptors
/// (`shadow_process_...`). Register a service's own metrics without the prefix.
pub fn registry(service: &'static str, version: &'static str) -> Registry {
    let mut registry = Registry::with_prefix("shadow");
    let build = Info::new(vec![("service", service), ("version", version)]);
    registry.register("build", "The service and its version", build);
    registry.register_collector(Box::new(process::Process));
    registry
}
