//! How far a consumer group has come, asked from outside of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::admin::blocking;
use crate::config::LogContext;
use crate::{KafkaConfig, KafkaError};

/// Longest wait for the group's coordinator.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks about one group, without becoming a member.
#[derive(Clone)]
pub struct GroupProgress(Arc<BaseConsumer<LogContext>>);

impl GroupProgress {
    /// A client; it connects when first used.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn of(config: &KafkaConfig, group: &str) -> Result<Self, KafkaError> {
        let client = config.client(&[("group.id", group), ("enable.auto.commit", "false")]);
        Ok(Self(Arc::new(client.create_with_context(LogContext).map_err(KafkaError::Settings)?)))
    }

    /// The next offset of each of the first `partitions` of `topic` that the group committed; none where it never did.
    ///
    /// # Errors
    /// [`KafkaError::Client`] when the coordinator does not answer.
    pub async fn committed(&self, topic: &str, partitions: i32) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let (consumer, topic) = (self.0.clone(), topic.to_owned());
        blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, partitions - 1);
            let found = consumer.committed_offsets(list, PATIENCE)?;
            let committed = found.elements().into_iter().filter_map(|element| match element.offset() {
                Offset::Offset(offset) => Some((element.partition(), offset)),
                _ => None,
            });
            Ok(committed.collect())
        })
        .await
    }
}
