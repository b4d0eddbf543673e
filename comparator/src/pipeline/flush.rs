//! The end of the idempotency zone: one batch into ClickHouse, then the offsets that it makes safe.

use std::sync::Arc;

use shadow_kafka::{GroupConsumer, TopicPartition};
use shadow_record::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::store::{Batch, WatermarkRow};

/// How far one partition has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) partition: i32,
    pub(super) start: i64,
    /// The lowest offset without a row, once the batch is stored.
    pub(super) low: i64,
    /// The next offset to be captured, as last known.
    pub(super) high: i64,
    /// Low and high as they stand in ClickHouse.
    pub(super) written: (i64, i64),
}

/// A batch and what may be said once it is stored.
pub(super) struct Flush {
    pub(super) shared: Shared,
    pub(super) launch: String,
    pub(super) service: String,
    pub(super) captured: Arc<str>,
    pub(super) batch: Batch,
    pub(super) commit: Vec<(TopicPartition, i64)>,
    pub(super) progress: Vec<Progress>,
}

impl Flush {
    /// Stores the rows, then the progress they make, then commits. Dropping it is what ends it early, and then nothing that
    /// is not stored was committed.
    pub(super) async fn run(mut self, consumer: &GroupConsumer) -> Vec<Progress> {
        let never = CancellationToken::new();
        self.shared.store.insert_until_stored(&self.batch, &never).await;
        let mut watermarks = Vec::new();
        for progress in &mut self.progress {
            let at = TopicPartition { topic: self.captured.clone(), partition: progress.partition };
            // Only how much is pending rests on it, so an old one will do while the broker is away.
            progress.high = consumer.watermarks(&at).await.map_or(progress.high, |(_, high)| high);
            let now = (progress.low, progress.high);
            if std::mem::replace(&mut progress.written, now) != now {
                watermarks.push(WatermarkRow {
                    launch: self.launch.clone(),
                    service: self.service.clone(),
                    partition: progress.partition,
                    start_offset: progress.start,
                    low_offset: progress.low,
                    high_offset: progress.high,
                    at: Timestamp::now().micros(),
                });
            }
        }
        let watermarks = Batch { watermarks, ..Batch::default() };
        self.shared.store.insert_until_stored(&watermarks, &never).await;
        if let Err(error) = consumer.commit(&self.commit).await {
            // Usual during a rebalance, and harmless: whoever has the partitions next stores the rows again.
            tracing::info!(launch = self.launch, %error, "offsets not committed; the next batch commits them");
        }
        self.progress
    }
}
