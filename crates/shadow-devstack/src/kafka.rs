//! Kafka: which broker is used, and how each kind is had.
//!
//! Apache Kafka is what counts. librdkafka's mock broker stands in where Java or Maven are missing: it speaks the
//! protocol, consumer groups and commits included, but lives in this process, forgets everything with it, ignores
//! topic settings, never expires records, and silently drops a partition's oldest beyond 5 MB or 100,000 messages.

pub(crate) mod config;
pub(crate) mod install;
pub(crate) mod mock;
pub(crate) mod security;
pub(crate) mod topics;

/// Its name in messages.
pub(crate) const NAME: &str = "Kafka";

/// Which broker to start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KafkaChoice {
    /// Apache Kafka where it can be had, else the mock broker with a notice of one line. With `CI=true` the mock is not
    /// acceptable and its need is an error.
    #[default]
    Auto,
    /// Apache Kafka, or an error.
    Apache,
    /// librdkafka's mock broker.
    Mock,
}

/// Which broker is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaKind {
    /// Apache Kafka, started by this stack.
    Apache,
    /// librdkafka's mock broker, in this process: no faults can be injected, no settings apply.
    Mock,
    /// The one that `SHADOW_KAFKA_BROKERS` names.
    External,
}
