//! What the end-to-end tests share: a stack of real servers.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(unreachable_pub, reason = "a module of several test binaries")]

use std::path::PathBuf;

use shadow_devstack::{Devstack, LAUNCHER_ARG, Progress};
use shadow_kafka::KafkaConfig;

/// The binary that is every service.
pub const BINARY: &str = env!("CARGO_BIN_EXE_shadowline-under-test");

/// Apache Kafka and ClickHouse of this test's own.
pub async fn stack() -> Devstack {
    Devstack::builder()
        .launcher(PathBuf::from(BINARY), vec![LAUNCHER_ARG.to_owned()])
        .kafka(shadow_devstack::KafkaChoice::Apache)
        .progress(Progress::Silent)
        .start()
        .await
        .expect("Apache Kafka and ClickHouse start")
}

/// How to reach the stack's broker.
pub fn kafka_of(stack: &Devstack) -> KafkaConfig {
    KafkaConfig::at(stack.brokers())
}
