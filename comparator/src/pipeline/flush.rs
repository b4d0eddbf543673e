//! The end of the idempotency zone: one batch, once its effects have settled, into ClickHouse, then the offsets that it makes safe.

use std::sync::Arc;

use shadow_kafka::{GroupConsumer, TopicPartition};
use shadow_record::Timestamp;
use shadow_runtime::telemetry::traces;
use tokio_util::sync::CancellationToken;

use super::settling::{Effects, Unsettled};
use super::trace;
use crate::shared::Shared;
use crate::store::{Batch, WatermarkRow};

/// How far one partition has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) partition: i32,
    pub(super) start: i64,
    /// The lowest offset without a row when the partition was taken over.
    pub(super) begun: i64,
    /// The lowest offset without a row, once the batch is stored.
    pub(super) low: i64,
    /// The next offset to be captured, as last known.
    pub(super) high: i64,
    /// Low and high as they stand in ClickHouse.
    pub(super) written: (i64, i64),
}

/// What stands in ClickHouse of a partition that was just taken over, as far as this member knows.
pub(super) const NOT_WRITTEN: (i64, i64) = (i64::MIN, i64::MIN);

/// A batch and what may be said once it is stored.
pub(super) struct Flush {
    pub(super) shared: Shared,
    pub(super) launch: String,
    pub(super) service: String,
    pub(super) captured: Arc<str>,
    pub(super) batch: Batch,
    pub(super) effects: Option<Effects>,
    pub(super) unsettled: Unsettled,
    /// Cancelled when a batch is not worth waiting for any more.
    pub(super) hurry: CancellationToken,
    pub(super) commit: Vec<(TopicPartition, i64)>,
    pub(super) progress: Vec<Progress>,
}

impl Flush {
    /// Settles effects. Tells of partitions that were taken over before it stores any row of them, so that the ledger knows every partition
    /// that has rows. Then stores the rows, then the progress they make, then commits. Dropping it is what ends it early, and then nothing that
    /// is not stored was committed. `None` when it was given up before anything was stored.
    pub(super) async fn run(mut self, consumer: &GroupConsumer) -> Option<Vec<Progress>> {
        let began = traces::on().then(Timestamp::now);
        let unsettled = std::mem::take(&mut self.unsettled);
        let with_calls: Vec<usize> = unsettled.iter().map(|(row, _)| *row).collect();
        if let Some(effects) = self.effects.as_ref().filter(|_| !unsettled.is_empty())
            && !effects.settle(&mut self.batch.exchanges, unsettled, &self.hurry).await
        {
            return None;
        }
        with_calls.iter().filter_map(|row| self.batch.exchanges.get(*row)).for_each(|row| trace::compared(row, began));
        let settled = traces::on().then(Timestamp::now);
        let never = CancellationToken::new();
        let taken_over = self.progress.iter().filter(|progress| progress.written == NOT_WRITTEN);
        let watermarks = taken_over.map(|progress| self.watermark(progress, progress.begun)).collect();
        self.shared.store.insert_until_stored(&Batch { watermarks, ..Batch::default() }, &never).await;
        self.shared.store.insert_until_stored(&self.batch, &never).await;
        trace::stored(&self.batch.exchanges, settled);
        self.count();
        for progress in &mut self.progress {
            let at = TopicPartition { topic: self.captured.clone(), partition: progress.partition };
            // Only how much is pending rests on it, so an old one will do while the broker is away.
            progress.high = consumer.watermarks(&at).await.map_or(progress.high, |(_, high)| high);
        }
        let changed = self.progress.iter().filter(|progress| progress.written != (progress.low, progress.high));
        let watermarks = changed.map(|progress| self.watermark(progress, progress.low)).collect();
        let watermarks = Batch { watermarks, ..Batch::default() };
        self.shared.store.insert_until_stored(&watermarks, &never).await;
        for progress in &mut self.progress {
            progress.written = (progress.low, progress.high);
        }
        if let Err(error) = consumer.commit(&self.commit).await {
            // Usual during a rebalance, and harmless: whoever has the partitions next stores the rows again.
            tracing::info!(launch = self.launch, %error, "offsets not committed; the next batch commits them");
        }
        Some(self.progress)
    }

    /// Counts what was stored, as the rows say it.
    fn count(&self) {
        let Self { shared, launch, batch, .. } = self;
        for row in &batch.exchanges {
            shared.metrics.settled(launch, row.outcome, row.result, 1);
        }
        for row in &batch.ranges {
            shared.metrics.settled(launch, "skipped", "", row.last_offset - row.first_offset + 1);
        }
    }

    fn watermark(&self, progress: &Progress, low_offset: i64) -> WatermarkRow {
        WatermarkRow {
            launch: self.launch.clone(),
            service: self.service.clone(),
            partition: progress.partition,
            start_offset: progress.start,
            low_offset,
            high_offset: progress.high,
            at: Timestamp::now().micros(),
        }
    }
}
