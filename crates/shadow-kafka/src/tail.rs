//! Reading one whole topic without a consumer group: control records and heartbeats.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use shadow_record::Timestamp;

use crate::admin::{Admin, blocking};
use crate::config::LogContext;
use crate::event::Consumed;
use crate::{KafkaConfig, KafkaError};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailFrom {
    /// The oldest record kept.
    Start,
    /// The first record appended at or after this time, and the last thousand of each partition in any case.
    Since(Timestamp),
    /// Only what is written from now on.
    End,
}

/// Records that [`TailFrom::Since`] reads at least: the in-process stand-in of the demo cannot look offsets up by time.
const AT_LEAST: i64 = 1_000;

/// What [`Tail::recv`] gives.
#[derive(Debug)]
pub enum TailEvent {
    /// The next record.
    Record(Consumed),
    /// Everything that stood in the topic when it was opened has been given. Comes once.
    CaughtUp,
}

/// A reader of all partitions of one topic.
pub struct Tail {
    consumer: Arc<StreamConsumer<LogContext>>,
    behind: Mutex<HashSet<i32>>,
    begin: Vec<i64>,
}

impl Tail {
    /// Opens the topic.
    ///
    /// # Errors
    /// [`KafkaError::NoSuchTopic`], [`KafkaError::Unreachable`].
    pub async fn open(config: &KafkaConfig, topic: &str, from: TailFrom) -> Result<Self, KafkaError> {
        let admin = Admin::new(config)?;
        let count = admin.partitions(topic).await?.ok_or_else(|| KafkaError::NoSuchTopic(topic.to_owned()))?;
        let since = if let TailFrom::Since(at) = from { admin.offsets_at(topic, at).await? } else { Vec::new() };
        let mut begin = Vec::new();
        for partition in 0..count {
            let (low, high) = admin.watermarks(topic, partition).await?;
            // An explicit offset: a logical end would be looked up later and miss what is written meanwhile.
            begin.push(match from {
                TailFrom::Start => low,
                TailFrom::Since(_) => since[partition as usize].min(high - AT_LEAST).max(low),
                TailFrom::End => high,
            });
        }
        let client = config.client(&[
            // A group is never joined; the client asks for a name to give its consumer interface.
            ("group.id", "shadowline-tail"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "earliest"),
            ("fetch.wait.max.ms", "50"),
            ("queued.max.messages.kbytes", "4096"),
        ]);
        let consumer: StreamConsumer<LogContext> =
            client.create_with_context(LogContext).map_err(KafkaError::Settings)?;
        let consumer = Arc::new(consumer);
        let (assigning, topic, offsets) = (consumer.clone(), topic.to_owned(), begin.clone());
        blocking(move || {
            let mut partitions = TopicPartitionList::new();
            for (partition, offset) in offsets.into_iter().enumerate() {
                partitions.add_partition_offset(&topic, partition as i32, Offset::Offset(offset))?;
            }
            Ok(assigning.assign(&partitions)?)
        })
        .await?;
        Ok(Self { consumer, behind: Mutex::new((0..count).collect()), begin })
    }

    /// The first offset that is read of each partition.
    pub fn begin(&self) -> &[i64] {
        &self.begin
    }

    /// The next event. Lost connections heal inside and are not errors. Safe to cancel.
    ///
    /// # Errors
    /// [`KafkaError::Client`] for errors that will not heal.
    pub async fn recv(&self) -> Result<TailEvent, KafkaError> {
        loop {
            match self.consumer.recv().await {
                Ok(message) => return Ok(TailEvent::Record(Consumed::copy(&message))),
                Err(ClientError::PartitionEOF(partition)) => {
                    let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
                    if behind.remove(&partition) && behind.is_empty() {
                        return Ok(TailEvent::CaughtUp);
                    }
                }
                // The group is never joined, so nobody needs a right to it.
                Err(ClientError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed)) => {}
                Err(error) if heals(&error) => tracing::debug!(%error, "tail interrupted"),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether librdkafka goes on by itself after this error.
pub(crate) fn heals(error: &ClientError) -> bool {
    match error {
        ClientError::MessageConsumptionFatal(_) => false,
        ClientError::MessageConsumption(code) => !matches!(
            code,
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
        ),
        ClientError::PartitionEOF(_) => true,
        _ => false,
    }
}
