//! How to reach Kafka.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

/// The `[kafka]` section of every service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Bootstrap list, `host:port,host:port`.
    pub brokers: String,
    /// Further librdkafka properties, such as security settings; they win over Shadowline's own.
    #[serde(skip_serializing)]
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self::at("127.0.0.1:9092")
    }
}

/// Shows which properties are set, never their values: some are passwords.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("KafkaConfig").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

impl KafkaConfig {
    /// Plain connection to `brokers`.
    pub fn at(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), properties: BTreeMap::new() }
    }

    /// Settings of every client; `overrides` are those of its kind.
    pub(crate) fn client(&self, overrides: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "shadowline")
            .set("allow.auto.create.topics", "false")
            // Brokers come back within seconds; the default grows to 10 s between attempts.
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("log.connection.close", "false");
        for (key, value) in overrides {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }
}

/// The client's own log goes to `tracing`; connection errors repeat every second, so they are debug there and are reported
/// once by whoever waits for the broker.
pub(crate) struct LogContext;

impl rdkafka::ClientContext for LogContext {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}
