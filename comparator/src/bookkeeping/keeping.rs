//! One consumer group of the bookkeeping: reads its topics, keeps what becomes rows, stores them, then commits.
//!
//! Guarantee: an offset is committed only after everything before it is stored, or filed as a dead letter. Whatever crashes, what is read again
//! becomes the same rows.

use std::collections::BTreeMap;
use std::time::Duration;

use shadow_kafka::{Consumed, Event, FetchLimits, GroupConsumer, KafkaError, Start, TopicPartition};
use shadow_record::DeadLetterReason;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::RETRY;
use crate::shared::Shared;
use crate::store::Batch;

/// Time between batches.
const FLUSH: Duration = Duration::from_millis(500);

/// Why a record cannot be used, and the detail that its dead letter gives.
pub(super) type Unusable = (DeadLetterReason, String);

/// What one group makes of its records.
pub(super) trait Keep: Send {
    /// Keeps what a record says, or tells why it cannot be used.
    fn note(&mut self, record: &Consumed) -> Result<(), Unusable>;

    /// Whether what is kept must be stored before more is read.
    fn is_full(&self) -> bool;

    /// Gives away what is kept.
    fn take(&mut self) -> Batch;

    /// Takes back what could not be stored.
    fn put_back(&mut self, batch: Batch);

    /// Retention took `lost` records before they were read.
    fn expired(&self, _at: &TopicPartition, _lost: i64) {}

    /// Keeps what comes from elsewhere; must be safe to cancel.
    fn meanwhile(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Keeps what the group reads of these topics until `stop`.
///
/// # Errors
/// When the broker refuses the group or a record cannot be read from it; whoever begins anew goes on where rows were stored.
pub(super) async fn keep_rows(
    shared: &Shared,
    (group, topics): (&str, &[String]),
    keep: impl Keep,
    stop: &CancellationToken,
) -> Result<(), KafkaError> {
    let consumer = GroupConsumer::subscribe(&shared.kafka, group, topics, FetchLimits::default())?;
    let mut keeping = Keeping { shared, group, keep, positions: BTreeMap::new() };
    let result = keeping.consume(&consumer, stop).await;
    consumer.close().await;
    result
}

struct Keeping<'a, K> {
    shared: &'a Shared,
    group: &'a str,
    keep: K,
    /// The next offsets to be read, of what is not committed.
    positions: BTreeMap<TopicPartition, i64>,
}

impl<K: Keep> Keeping<'_, K> {
    async fn consume(&mut self, consumer: &GroupConsumer, stop: &CancellationToken) -> Result<(), KafkaError> {
        let mut flush = interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // Heartbeats that say "stopped" are worth a last word, but not waiting for.
                    let unhurried = CancellationToken::new();
                    if tokio::time::timeout(RETRY, self.store(consumer, &unhurried)).await.is_err() {
                        tracing::debug!(group = self.group, "what was not stored in time is read again");
                    }
                    return Ok(());
                }
                _ = flush.tick() => self.store(consumer, stop).await,
                () = self.keep.meanwhile() => {}
                event = consumer.recv() => self.take(consumer, event?, stop).await?,
            }
        }
    }

    async fn take(
        &mut self,
        consumer: &GroupConsumer,
        event: Event,
        stop: &CancellationToken,
    ) -> Result<(), KafkaError> {
        match event {
            Event::Record(record) => {
                self.note(&record, stop).await;
                if self.keep.is_full() {
                    self.store(consumer, stop).await;
                }
            }
            Event::Expired { at, first, last } => self.keep.expired(&at, last - first + 1),
            Event::Assigned(list) if list.is_empty() => consumer.release().await?,
            Event::Assigned(list) => {
                self.positions.clear();
                let starts: Vec<_> = list.into_iter().map(|at| Start { at, otherwise: 0 }).collect();
                consumer.start(&starts).await?;
            }
            Event::Revoked(_) => {
                self.store(consumer, stop).await;
                self.positions.clear();
                consumer.release().await?;
            }
        }
        Ok(())
    }

    async fn note(&mut self, record: &Consumed, stop: &CancellationToken) {
        // Filed, it comes back as a dead letter that can be read, and becomes a row as such.
        if let Err((reason, detail)) = self.keep.note(record)
            && !self.shared.file(record, reason, &detail, stop).await
        {
            return;
        }
        self.positions.insert(record.at(), record.offset + 1);
    }

    async fn store(&mut self, consumer: &GroupConsumer, stop: &CancellationToken) {
        let batch = self.keep.take();
        if batch.rows() == 0 && self.positions.is_empty() {
            return;
        }
        if !self.shared.store.insert_until_stored(&batch, stop).await {
            // Kept for the last attempt, after which they are read again.
            self.keep.put_back(batch);
            return;
        }
        let commit: Vec<_> = std::mem::take(&mut self.positions).into_iter().collect();
        if let Err(error) = consumer.commit(&commit).await {
            tracing::debug!(group = self.group, %error, "offsets not committed; these records are read again");
        }
    }
}
