//! Outbound calls, from `shadow.effects.<service>` to the table `effects`: one consumer group for each service that has a launch.
//!
//! This is the record for people and queries. What the calls of an exchange come to is decided in the launch's own pipeline, which
//! reads the same topic for itself. Rows replace each other by the call they are of, and offsets are committed after the rows are stored:
//! whatever crashes, every call has its row, once. What nobody can read becomes a dead letter.

use std::collections::BTreeSet;
use std::time::Duration;

use shadow_kafka::{Admin, Consumed, KafkaError, TopicPartition};
use shadow_record::{AnyRecord, DeadLetterReason, ServiceName, decode_any, topics};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::effect_row::effect_row;
use super::keeping::{Keep, Unusable, keep_rows};
use super::until_stopped;
use crate::shared::Shared;
use crate::store::{Batch, EffectRow};

/// Between looks for the topic of a service that has made no outbound call yet.
const AWAIT_TOPIC: Duration = Duration::from_secs(1);
/// Rows that are stored at once.
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
                    until_stopped(&what, &stop, || keep_calls(&shared, &service, &stop)).await;
                });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Stores the calls of one service until `stop`.
async fn keep_calls(shared: &Shared, service: &ServiceName, stop: &CancellationToken) -> Result<(), KafkaError> {
    let topic = topics::effects(service);
    tokio::select! { () = stop.cancelled() => return Ok(()), exists = topic_exists(shared, &topic) => exists? }
    let group = format!("shadow-comparator.effects.{service}");
    let calls = Calls { body_bytes: shared.settings.body.as_len(), rows: Vec::new(), bytes: 0 };
    keep_rows(shared, (&group, &[topic]), calls, stop).await
}

/// Waits for the first call of the service, which makes the topic.
async fn topic_exists(shared: &Shared, topic: &str) -> Result<(), KafkaError> {
    let admin = Admin::new(&shared.kafka)?;
    while admin.partitions(topic).await?.is_none() {
        tokio::time::sleep(AWAIT_TOPIC).await;
    }
    Ok(())
}

/// Calls on their way.
struct Calls {
    /// Most of a body that a row has.
    body_bytes: usize,
    rows: Vec<EffectRow>,
    bytes: usize,
}

impl Keep for Calls {
    fn note(&mut self, record: &Consumed) -> Result<(), Unusable> {
        match decode_any(&record.payload) {
            Ok(AnyRecord::SideEffect(effect)) => {
                let row = effect_row(*effect, record.appended_at, self.body_bytes);
                self.bytes += row.weight();
                self.rows.push(row);
                Ok(())
            }
            Ok(other) => Err((DeadLetterReason::UnexpectedKind, other.name().to_owned())),
            Err(error) => Err((error.reason(), error.to_string())),
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= FULL_ROWS || self.bytes >= FULL_BYTES
    }

    fn take(&mut self) -> Batch {
        self.bytes = 0;
        Batch { effects: std::mem::take(&mut self.rows), ..Batch::default() }
    }

    fn put_back(&mut self, batch: Batch) {
        self.bytes = batch.effects.iter().map(EffectRow::weight).sum();
        self.rows = batch.effects;
    }

    fn expired(&self, at: &TopicPartition, lost: i64) {
        let TopicPartition { topic, partition } = at;
        tracing::warn!(%topic, partition, lost, "retention took outbound calls before they were stored");
    }
}
