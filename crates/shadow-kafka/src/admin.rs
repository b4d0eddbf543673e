//! Topics: created explicitly, with partition counts that never change; deleted, like groups, when an operator says so.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use shadow_record::Timestamp;

use crate::config::LogContext;
use crate::watermarks::watermarks;
use crate::{KafkaConfig, KafkaError};

/// Longest wait for one answer about topics.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than any time that a [`Timestamp`] holds.
const FOREVER: Duration = Duration::from_micros(i64::MAX as u64);

/// Largest record a topic of the flow takes, 4 MiB: two bodies at the default limit, grown by masking, with room to spare.
pub(crate) const MAX_RECORD_BYTES: &str = "4194304";

/// How long every record of a compacted topic is kept, 3 days: whoever writes its history down (the comparators) may be away for a
/// long weekend.
const COMPACTION_LAG_MS: &str = "259200000";
/// When a segment of a compacted topic is closed, 1 day.
const SEGMENT_MS: &str = "86400000";

/// What the broker does with old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Deleted by the broker's retention settings.
    Delete,
    /// Only the newest record of each key is kept.
    Compact,
}

/// A topic as the flow needs it.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Topic name.
    pub name: String,
    /// Partition count, for ever.
    pub partitions: i32,
    /// What happens to old records.
    pub cleanup: Cleanup,
}

impl TopicSpec {
    /// A topic whose old records are deleted.
    pub fn deleting(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, cleanup: Cleanup::Delete }
    }

    /// A compacted topic of one partition.
    pub fn compacted(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: 1, cleanup: Cleanup::Compact }
    }
}

/// Asks about topics and creates them.
#[derive(Clone)]
pub struct Admin {
    brokers: Arc<str>,
    admin: Arc<AdminClient<LogContext>>,
    reader: Arc<BaseConsumer<LogContext>>,
}

impl rdkafka::consumer::ConsumerContext for LogContext {}

impl Admin {
    /// A client; it connects when first used.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let client = config.client(&[]);
        Ok(Self {
            brokers: config.brokers.as_str().into(),
            admin: Arc::new(client.create_with_context(LogContext).map_err(KafkaError::Settings)?),
            reader: Arc::new(client.create_with_context(LogContext).map_err(KafkaError::Settings)?),
        })
    }

    /// Makes sure the topic exists with the wanted partition count and gives that count. Safe to call from many instances at
    /// once.
    ///
    /// # Errors
    /// [`KafkaError::PartitionCount`] when it exists with another count, [`KafkaError::CreateTopic`] when the broker refuses.
    pub async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), KafkaError> {
        let mut found = self.partitions(&spec.name).await?;
        if found.is_none() {
            self.create(spec).await?;
            found = self.partitions_once_visible(spec).await?;
        }
        match found {
            Some(found) if found != spec.partitions => {
                Err(KafkaError::PartitionCount { topic: spec.name.clone(), found, wanted: spec.partitions })
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, spec: &TopicSpec) -> Result<(), KafkaError> {
        let mut topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(-1))
            .set("max.message.bytes", MAX_RECORD_BYTES)
            .set("compression.type", "producer")
            // Times that the lease, retention and staleness rest on are the broker's, not each writer's.
            .set("message.timestamp.type", "LogAppendTime");
        if spec.cleanup == Cleanup::Compact {
            topic = topic
                .set("cleanup.policy", "compact")
                .set("min.compaction.lag.ms", COMPACTION_LAG_MS)
                // Only closed segments are compacted: without this the lag would be a week, and every start reads the topic whole.
                .set("segment.ms", SEGMENT_MS);
        }
        let results = self.admin.create_topics([&topic], &patient()).await?;
        for result in results {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(KafkaError::CreateTopic { topic, cause: code.to_string() }),
            }
        }
        Ok(())
    }

    /// Deletes a topic with all its records; one that does not exist is deleted already.
    ///
    /// # Errors
    /// [`KafkaError::Delete`] when the broker refuses.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), KafkaError> {
        for result in self.admin.delete_topics(&[topic], &patient()).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => {
                    return Err(KafkaError::Delete { what: format!("topic {topic}"), cause: code.to_string() });
                }
            }
        }
        Ok(())
    }

    /// Deletes a consumer group with its offsets; one that does not exist is deleted already.
    ///
    /// # Errors
    /// [`KafkaError::GroupInUse`] while it has members, [`KafkaError::Delete`] when the broker refuses.
    pub async fn delete_group(&self, group: &str) -> Result<(), KafkaError> {
        for result in self.admin.delete_groups(&[group], &patient()).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)) => {}
                Err((group, RDKafkaErrorCode::NonEmptyGroup)) => return Err(KafkaError::GroupInUse(group)),
                Err((group, code)) => {
                    return Err(KafkaError::Delete { what: format!("group {group}"), cause: code.to_string() });
                }
            }
        }
        Ok(())
    }

    /// How long the broker keeps every record of a topic; `None` where it may take them sooner, to save room, or does not tell.
    ///
    /// # Errors
    /// [`KafkaError::Client`], also for who may not look at the topic's settings.
    pub async fn kept_for(&self, topic: &str) -> Result<Option<Duration>, KafkaError> {
        let described = self.admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &patient()).await?;
        let Some(settings) = described.into_iter().next().transpose().map_err(ClientError::AdminOp)? else {
            return Ok(None);
        };
        let number = |name: &str| settings.get(name)?.value.as_ref()?.parse::<i64>().ok();
        let (Some(-1), Some(kept)) = (number("retention.bytes"), number("retention.ms")) else { return Ok(None) };
        Ok(Some(u64::try_from(kept).map_or(FOREVER, Duration::from_millis).min(FOREVER)))
    }

    /// A created topic shows in metadata a moment later.
    async fn partitions_once_visible(&self, spec: &TopicSpec) -> Result<Option<i32>, KafkaError> {
        for _ in 0..100 {
            if let Some(found) = self.partitions(&spec.name).await? {
                return Ok(Some(found));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(KafkaError::NoSuchTopic(spec.name.clone()))
    }

    /// The topic's partition count, if it exists.
    ///
    /// # Errors
    /// [`KafkaError::Unreachable`].
    pub async fn partitions(&self, topic: &str) -> Result<Option<i32>, KafkaError> {
        let (reader, topic) = (self.reader.clone(), topic.to_owned());
        let brokers = self.brokers.clone();
        blocking(move || {
            let unreachable = |e: rdkafka::error::KafkaError| KafkaError::Unreachable {
                brokers: brokers.to_string(),
                cause: e.to_string(),
            };
            let metadata = reader.fetch_metadata(Some(&topic), PATIENCE).map_err(unreachable)?;
            let count = metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len());
            Ok((count > 0).then_some(count as i32))
        })
        .await
    }

    /// Names of all topics.
    ///
    /// # Errors
    /// [`KafkaError::Unreachable`].
    pub async fn topics(&self) -> Result<Vec<String>, KafkaError> {
        let (reader, brokers) = (self.reader.clone(), self.brokers.clone());
        blocking(move || {
            let metadata = reader
                .fetch_metadata(None, PATIENCE)
                .map_err(|e| KafkaError::Unreachable { brokers: brokers.to_string(), cause: e.to_string() })?;
            Ok(metadata.topics().iter().map(|t| t.name().to_owned()).collect())
        })
        .await
    }

    /// First offset kept and next offset to be written.
    ///
    /// # Errors
    /// [`KafkaError::Client`].
    pub async fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        let (reader, topic) = (self.reader.clone(), topic.to_owned());
        blocking(move || watermarks(&*reader, &topic, partition, PATIENCE)).await
    }

    /// The next offset to be written of each partition.
    ///
    /// # Errors
    /// [`KafkaError::NoSuchTopic`], [`KafkaError::Client`].
    pub async fn ends(&self, topic: &str) -> Result<Vec<i64>, KafkaError> {
        let count = self.partitions(topic).await?.ok_or_else(|| KafkaError::NoSuchTopic(topic.to_owned()))?;
        let (reader, topic) = (self.reader.clone(), topic.to_owned());
        blocking(move || (0..count).map(|partition| Ok(watermarks(&*reader, &topic, partition, PATIENCE)?.1)).collect())
            .await
    }

    /// For each partition, the first offset appended at or after `at`; the end where there is none.
    ///
    /// # Errors
    /// [`KafkaError::NoSuchTopic`], [`KafkaError::Client`].
    pub async fn offsets_at(&self, topic: &str, at: Timestamp) -> Result<Vec<i64>, KafkaError> {
        let count = self.partitions(topic).await?.ok_or_else(|| KafkaError::NoSuchTopic(topic.to_owned()))?;
        let (reader, topic) = (self.reader.clone(), topic.to_owned());
        blocking(move || {
            let mut wanted = TopicPartitionList::new();
            for partition in 0..count {
                wanted.add_partition_offset(&topic, partition, Offset::Offset(at.micros() / 1000))?;
            }
            let found = reader.offsets_for_times(wanted, PATIENCE)?;
            (0..count)
                .map(|partition| match found.find_partition(&topic, partition).map(|e| e.offset()) {
                    Some(Offset::Offset(offset)) => Ok(offset),
                    _ => Ok(watermarks(&*reader, &topic, partition, PATIENCE)?.1),
                })
                .collect()
        })
        .await
    }
}

fn patient() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

/// Runs a blocking call of the client off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(call).await.unwrap_or(Err(KafkaError::ShuttingDown))
}
