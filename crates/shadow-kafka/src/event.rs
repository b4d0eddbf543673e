//! What a [`crate::GroupConsumer`] and a [`crate::Tail`] give: records, and word of what happened to the partitions they stand in.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message as _};
use shadow_record::Timestamp;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// When the broker appended it (or the producer created it, by the topic's setting).
    pub appended_at: Timestamp,
    /// Record key.
    pub key: Option<Bytes>,
    /// Record value; empty for a tombstone.
    pub payload: Bytes,
}

impl Consumed {
    pub(crate) fn copy(message: &BorrowedMessage<'_>) -> Self {
        Self {
            topic: message.topic().into(),
            partition: message.partition(),
            offset: message.offset(),
            appended_at: message.timestamp().to_millis().map_or_else(Timestamp::now, Timestamp::from_millis),
            key: message.key().map(Bytes::copy_from_slice),
            payload: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
        }
    }

    /// Where it was read.
    pub fn at(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: self.partition }
    }
}

/// What [`GroupConsumer::recv`] gives.
#[derive(Debug)]
pub enum Event {
    /// These partitions are this member's now; answer with [`GroupConsumer::start`].
    Assigned(Vec<TopicPartition>),
    /// These partitions go to another member; finish what is under way and answer with [`GroupConsumer::release`].
    Revoked(Vec<TopicPartition>),
    /// The next record.
    Record(Consumed),
    /// Retention took these offsets before they were read; reading goes on after them.
    Expired {
        /// Where.
        at: TopicPartition,
        /// First offset lost.
        first: i64,
        /// Last offset lost.
        last: i64,
    },
}

/// Where to begin a partition that has no committed offset.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which partition.
    pub at: TopicPartition,
    /// Offset to begin at when the group committed none; below the first kept offset, the difference is expired.
    pub otherwise: i64,
}

/// Where a partition began.
#[derive(Clone, Debug)]
pub struct Started {
    /// Which partition.
    pub at: TopicPartition,
    /// The group's committed offset, if there was one.
    pub committed: Option<i64>,
    /// First offset that will be read.
    pub position: i64,
    /// First and last offset that retention took before `position`.
    pub expired: Option<(i64, i64)>,
    /// The partition's next offset to be written, at this moment.
    pub high: i64,
}

/// Bounds of what the client reads ahead.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Bytes read ahead for each partition.
    pub partition_bytes: usize,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { partition_bytes: 4 << 20 }
    }
}
