//! Outbound calls, from `shadow.effects.<service>` to the table `effects`: one consumer group for each service that has a launch.
//!
//! This is the record for people and queries. What the calls of an exchange come to is decided in the launch's own pipeline, which
//! reads the same topic for itself. Rows replace each other by the call they are of, and offsets are committed after the rows are stored:
//! whatever crashes, every call has its row, once. What nobody can read becomes a dead letter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shadow_kafka::{Admin, Consumed, Event, FetchLimits, GroupConsumer, KafkaError, Start, TopicPartition};
use shadow_record::{AnyRecord, DeadLetterReason, ServiceName, decode_any, topics};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::effect_row::effect_row;
use super::{FLUSH, RETRY, until_stopped};
use crate::shared::Shared;
use crate::store::{Batch, EffectRow};

/// Between looks for the topic of a service that has made no outbound call yet.
const AWAIT_TOPIC: Duration = Duration::from_secs(1);
/// Rows that are stored without waiting for [`FLUSH`].
const FULL_ROWS: usize = 5_000;
/// Bytes of rows that are.
const FULL_BYTES: usize = 16 << 20;

/// Stores the calls of every service that has, or had since the start, a launch, until `stop`.
pub async fn keep_effects(shared: Shared, stop: CancellationToken) {
    let mut known: BTreeSet<ServiceName> = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut control = shared.control.clone();
    control.mark_changed();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            changed = control.changed() => if changed.is_err() { break },
        }
        let state = control.borrow_and_update().clone();
        for service in state.launches.values().map(|launch| &launch.service) {
            if known.insert(service.clone()) {
                let (shared, service, stop) = (shared.clone(), service.clone(), stop.clone());
                tasks.spawn(async move {
                    let what = format!("storing the outbound calls of {service}");
                    until_stopped(&what, &stop, || Calls::of(&shared, &service).run(&stop)).await;
                });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// The calls of one service on their way.
struct Calls {
    shared: Shared,
    topic: String,
    group: String,
    rows: Vec<EffectRow>,
    bytes: usize,
    positions: BTreeMap<TopicPartition, i64>,
}

impl Calls {
    fn of(shared: &Shared, service: &ServiceName) -> Self {
        Self {
            shared: shared.clone(),
            topic: topics::effects(service),
            group: format!("shadow-comparator.effects.{service}"),
            rows: Vec::new(),
            bytes: 0,
            positions: BTreeMap::new(),
        }
    }

    async fn run(mut self, stop: &CancellationToken) -> Result<(), KafkaError> {
        tokio::select! { () = stop.cancelled() => return Ok(()), exists = self.topic_exists() => exists? }
        let names = [self.topic.clone()];
        let consumer = GroupConsumer::subscribe(&self.shared.kafka, &self.group, &names, FetchLimits::default())?;
        let result = self.consume(&consumer, stop).await;
        consumer.close().await;
        result
    }

    /// Waits for the first call of the service, which makes the topic.
    async fn topic_exists(&self) -> Result<(), KafkaError> {
        let admin = Admin::new(&self.shared.kafka)?;
        while admin.partitions(&self.topic).await?.is_none() {
            tokio::time::sleep(AWAIT_TOPIC).await;
        }
        Ok(())
    }

    async fn consume(&mut self, consumer: &GroupConsumer, stop: &CancellationToken) -> Result<(), KafkaError> {
        let mut flush = interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let unhurried = CancellationToken::new();
                    if tokio::time::timeout(RETRY, self.store(consumer, &unhurried)).await.is_err() {
                        tracing::debug!(topic = self.topic, "calls not stored in time are read again");
                    }
                    return Ok(());
                }
                _ = flush.tick() => self.store(consumer, stop).await,
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
                if self.rows.len() >= FULL_ROWS || self.bytes >= FULL_BYTES {
                    self.store(consumer, stop).await;
                }
            }
            Event::Expired { at, first, last } => {
                let (topic, partition, lost) = (&at.topic, at.partition, last - first + 1);
                tracing::warn!(%topic, partition, lost, "retention took outbound calls before they were stored");
            }
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
        let unusable = match decode_any(&record.payload) {
            Ok(AnyRecord::SideEffect(effect)) => {
                let row = effect_row(*effect, record.appended_at, self.shared.settings.body.as_len());
                self.bytes += row.weight();
                self.rows.push(row);
                None
            }
            Ok(other) => Some((DeadLetterReason::UnexpectedKind, other.name().to_owned())),
            Err(error) => Some((error.reason(), error.to_string())),
        };
        if let Some((reason, detail)) = unusable
            && !self.shared.file(record, reason, &detail, stop).await
        {
            return;
        }
        self.positions.insert(record.at(), record.offset + 1);
    }

    async fn store(&mut self, consumer: &GroupConsumer, stop: &CancellationToken) {
        if self.positions.is_empty() {
            return;
        }
        let batch = Batch { effects: std::mem::take(&mut self.rows), ..Batch::default() };
        if !self.shared.store.insert_until_stored(&batch, stop).await {
            // Kept for the last attempt, after which they are read again.
            self.rows = batch.effects;
            return;
        }
        self.bytes = 0;
        let commit: Vec<_> = std::mem::take(&mut self.positions).into_iter().collect();
        if let Err(error) = consumer.commit(&commit).await {
            tracing::debug!(topic = self.topic, %error, "offsets not committed; these calls are read again");
        }
    }
}
