//! The end of the line: rows and the offsets that they make safe, and the back-pressure of rows that are not stored yet.

use std::sync::Arc;

use shadow_kafka::{GroupConsumer, KafkaError, TopicPartition};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::flush::{Flush, Progress};
use super::{BATCH_BYTES, BATCHES_AHEAD, DRAIN, IDLE_REFRESH, Partition, Pipeline, Storing};

impl Pipeline {
    /// Steps 4 and 5: settle effects, store, then commit. Takes the rows settled so far, and the offsets that are safe once these rows are stored.
    pub(super) fn begin_storing<'a>(&mut self, consumer: &'a GroupConsumer) -> Option<Storing<'a>> {
        let idle = self.refreshed.elapsed() >= IDLE_REFRESH;
        if self.pending.rows() == 0 && !idle && self.partitions.values().all(|p| p.join.low() == p.written.0) {
            return None;
        }
        self.refreshed = Instant::now();
        let (batch, unsettled) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.unsettled));
        self.pending_bytes = 0;
        let mut commit = Vec::with_capacity(2 * self.partitions.len());
        let mut progress = Vec::with_capacity(self.partitions.len());
        for (&number, partition) in &self.partitions {
            let point = partition.join.commit_point();
            let at = |topic: &Arc<str>| TopicPartition { topic: topic.clone(), partition: number };
            commit.push((at(&self.captured), point.captured));
            commit.push((at(&self.replayed), point.replayed));
            let Partition { start, begun, high, written, .. } = *partition;
            progress.push(Progress { partition: number, start, begun, low: point.captured, high, written });
        }
        let (shared, captured) = (self.shared.clone(), self.captured.clone());
        let (launch, service) = (self.launch.name.to_string(), self.launch.service.to_string());
        let (effects, hurry) = (self.effects.clone(), self.hurry.clone());
        let flush = Flush { shared, launch, service, captured, batch, effects, unsettled, hurry, commit, progress };
        Some(Box::pin(flush.run(consumer)))
    }

    pub(super) fn stored(&mut self, progress: Vec<Progress>) {
        for Progress { partition: number, high, written, .. } in progress {
            if let Some(partition) = self.partitions.get_mut(&number) {
                (partition.high, partition.written) = (partition.high.max(high), written);
                let behind = partition.high - partition.join.low();
                self.shared.metrics.partition(self.launch.name.as_str(), number, partition.join.in_memory(), behind);
            }
        }
    }

    /// Stores what was settled, if that is soon done. Effects that are yet to come are not waited for.
    pub(super) async fn drain(&mut self, consumer: &GroupConsumer, storing: Option<Storing<'_>>) {
        self.hurry.cancel();
        let rest = async {
            // What comes after a batch that was given up must not be committed.
            if let Some(storing) = storing
                && storing.await.is_none()
            {
                return false;
            }
            match self.begin_storing(consumer) {
                Some(storing) => storing.await.is_some(),
                None => true,
            }
        };
        if !tokio::time::timeout(DRAIN, rest).await.unwrap_or(false) {
            tracing::info!(launch = %self.launch.name, "rows not stored in time are read again");
        }
        self.hurry = CancellationToken::new();
    }

    /// Back-pressure: pauses and resumes partitions as the joins and the unstored rows demand.
    pub(super) fn apply_flow(&mut self, consumer: &GroupConsumer) -> Result<(), KafkaError> {
        let full = self.pending_batches() >= BATCHES_AHEAD;
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for (&partition, state) in &mut self.partitions {
            let flow = state.join.flow();
            let paused = &mut state.paused;
            for (topic, hold, paused) in [
                (&self.captured, flow.hold_captured || full, &mut paused.hold_captured),
                (&self.replayed, flow.hold_replayed || full, &mut paused.hold_replayed),
            ] {
                if hold != std::mem::replace(paused, hold) {
                    let list = if hold { &mut pause } else { &mut resume };
                    list.push(TopicPartition { topic: topic.clone(), partition });
                }
            }
        }
        if !pause.is_empty() {
            consumer.pause(&pause)?;
        }
        if !resume.is_empty() {
            consumer.resume(&resume)?;
        }
        Ok(())
    }

    /// Whole batches that the unstored rows make.
    pub(super) fn pending_batches(&self) -> usize {
        (self.pending.rows() / self.shared.settings.batch_rows).max(self.pending_bytes / BATCH_BYTES)
    }
}
