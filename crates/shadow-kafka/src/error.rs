//! What can go wrong with Kafka, said with its remedy.

use rdkafka::error::KafkaError as ClientError;

/// An error of the Kafka client.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The client's settings were refused.
    #[error("Kafka client settings: {0}; check the [kafka] section")]
    Settings(#[source] ClientError),
    /// No broker answered.
    #[error(
        "cannot reach Kafka at {brokers}: {cause}; check kafka.brokers (or SHADOW_KAFKA_BROKERS) and that the broker is up"
    )]
    Unreachable {
        /// The bootstrap list.
        brokers: String,
        /// The client's message.
        cause: String,
    },
    /// The topic exists with another shape than the flow needs.
    #[error(
        "topic {topic} has {found} partitions, not {wanted}: partition counts never change; delete the topic or use a new generation of it"
    )]
    PartitionCount {
        /// Topic name.
        topic: String,
        /// Partitions it has.
        found: i32,
        /// Partitions asked for.
        wanted: i32,
    },
    /// The topic does not exist.
    #[error("topic {0} does not exist; create it, or start the service that does")]
    NoSuchTopic(String),
    /// The broker refused to create a topic.
    #[error("cannot create topic {topic}: {cause}; create it yourself, or see the broker's log")]
    CreateTopic {
        /// Topic name.
        topic: String,
        /// The broker's message.
        cause: String,
    },
    /// The broker refused to delete something.
    #[error("cannot delete {what}: {cause}; delete it yourself, or see the broker's log")]
    Delete {
        /// Topic or group.
        what: String,
        /// The broker's message.
        cause: String,
    },
    /// The group has members, so it cannot be deleted.
    #[error("group {0} still has members; try again when they have left")]
    GroupInUse(String),
    /// Committed or configured offsets lie beyond the end of the topic: it was recreated or truncated.
    #[error(
        "{topic}/{partition} ends at {high}, before offset {wanted}: the topic was recreated; create the launch again under another name"
    )]
    Truncated {
        /// Topic name.
        topic: String,
        /// Partition number.
        partition: i32,
        /// Where reading should have begun.
        wanted: i64,
        /// End of the partition.
        high: i64,
    },
    /// The leader of a topic is silent.
    #[error("no answer from the leader of topic {0}; check the broker")]
    NoAnswer(&'static str),
    /// Any other error of the client.
    #[error("Kafka: {0}; see the broker's log, and the log here at level debug")]
    Client(#[from] ClientError),
    /// The task that waited for the client was cancelled.
    #[error("Kafka: the runtime is shutting down")]
    ShuttingDown,
}
