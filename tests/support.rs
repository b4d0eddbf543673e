//! What the end-to-end tests share: a stack of real servers, services as processes, waiting for conditions.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]
#![allow(unreachable_pub, missing_docs, reason = "a module of several test binaries, not an interface")]

#[path = "support/candidate.rs"]
mod candidate;
#[path = "support/rig.rs"]
mod rig;
#[path = "support/service.rs"]
mod service;
#[path = "support/traffic.rs"]
mod traffic;

use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shadow_devstack::{Devstack, KafkaChoice, LAUNCHER_ARG, Progress};
use shadow_kafka::KafkaConfig;

pub use candidate::Candidate;
pub use rig::Rig;
pub use service::Service;
pub use traffic::service as test_service;

/// The binary that is every service.
pub const BINARY: &str = env!("CARGO_BIN_EXE_shadowline-under-test");

/// The masking key of agents and replayers in tests.
pub const MASKING_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Apache Kafka and ClickHouse of this test's own.
pub async fn stack() -> Devstack {
    stack_in(None).await
}

/// The same with the servers' data below `dir`.
pub async fn stack_in(dir: Option<&Path>) -> Devstack {
    // The HTTP client asks for a TLS provider even where it speaks none; whoever came first did the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = match dir {
        Some(dir) => Devstack::builder().data_dir(dir.to_owned()),
        None => Devstack::builder(),
    };
    builder
        .launcher(PathBuf::from(BINARY), vec![LAUNCHER_ARG.to_owned()])
        .kafka(KafkaChoice::Apache)
        .progress(Progress::Silent)
        .start()
        .await
        .expect("Apache Kafka and ClickHouse start")
}

/// How to reach the stack's broker.
pub fn kafka_of(stack: &Devstack) -> KafkaConfig {
    KafkaConfig::at(stack.brokers())
}

/// A port that nothing listened on a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Polls until `condition` gives something; fails loudly when it never does.
pub async fn until<T, F, Fut>(what: &str, mut condition: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let mut polls = tokio::time::interval(Duration::from_millis(50));
    // Generous: reached only when the condition never comes true.
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        polls.tick().await;
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
    }
}

/// Runs SQL and gives the answer as tab-separated lines.
pub async fn sql(stack: &Devstack, query: &str) -> String {
    let answer = reqwest::Client::new().post(stack.clickhouse_url()).body(query.to_owned()).send().await;
    let answer = answer.expect("ClickHouse answers");
    let (ok, text) = (answer.status().is_success(), answer.text().await.expect("text"));
    assert!(ok, "{query}\n{text}");
    text
}
