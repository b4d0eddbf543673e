//! What the benchmarks put around the services: the shop, the agent in front of it, its clients, and who runs on which core.

use std::num::NonZeroU32;

use shadow_shop::{Build, Load, Shop};
use tokio_util::sync::CancellationToken;

use super::support::{Rig, Service, free_port, until};

pub(super) async fn shop(build: Build) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(Shop::new(build).serve(listener, CancellationToken::new()));
    url
}

/// An agent in front of the shop; its own URL and its process.
pub(super) async fn agent(rig: &Rig, primary: &str) -> (String, Service) {
    let dir = std::env::temp_dir().join(format!("shadowline-bench-{}.toml", std::process::id()));
    std::fs::write(&dir, shadow_shop::MASKING_RULES).unwrap();
    let port = free_port();
    let config = format!(
        "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"127.0.0.1:{port}\"\n[primary]\nurl = \"{primary}\"\n\
         [capture]\npartitions = {}\nlatency_budget = \"off\"\nlag_budget = \"off\"\n[masking]\nrules_file = {dir:?}\nroutes = {:?}\n[kafka]\nbrokers = \"{}\"\n",
        rig.traffic.partitions(),
        shadow_shop::ROUTES,
        rig.kafka.brokers
    );
    let service = Service::start("capture-agent", &config);
    let url = format!("http://127.0.0.1:{port}");
    until("the agent to serve", || async { reqwest::get(format!("{url}/health")).await.is_ok().then_some(()) }).await;
    (url, service)
}

pub(super) fn load(url: &str, rate: u32, seconds: u64) -> Load {
    let mut load = Load::new(url).unwrap();
    (load.rate, load.requests) = (NonZeroU32::new(rate).unwrap(), u64::from(rate) * seconds);
    load
}

pub(super) fn pin(process: u32, cpu: &str) {
    let done = std::process::Command::new("taskset").args(["-a", "-p", "-c", cpu, &process.to_string()]).output();
    assert!(done.is_ok_and(|o| o.status.success()), "taskset (util-linux) pins the process");
}

/// Children inherit it: Kafka, ClickHouse and the candidate.
pub(super) fn pin_self(cpu: &str) {
    pin(std::process::id(), cpu);
}
