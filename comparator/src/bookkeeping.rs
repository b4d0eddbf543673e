//! Beside the flow: heartbeats, dead letters, launches and every change of the control topic become rows, so that the ledger and the
//! views can speak of them; what nobody can read in their topics is filed as a dead letter.
//!
//! One consumer group for all comparators; outbound calls ([`keep_effects`]) have one for each service. Rows replace each other by
//! identity, and offsets are committed after the rows are stored, so here too reading twice changes nothing.

mod changes;
mod effect_row;
mod effects;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use shadow_control::{ControlError, ControlRecord, ControlState, Launch};
use shadow_kafka::{Consumed, Event, FetchLimits, GroupConsumer, KafkaError, Start, TopicPartition};
use shadow_record::{AnyRecord, DeadLetter, DeadLetterReason, Role, State, Status, Timestamp, decode_any, topics};
use tokio_util::sync::CancellationToken;

pub use effects::keep_effects;

use crate::shared::Shared;
use crate::store::{Batch, ChangeRow, DeadLetterRow, LaunchRow, StatusRow};

const GROUP: &str = "shadow-comparator.bookkeeping";
/// Time between batches.
const FLUSH: Duration = Duration::from_millis(500);
/// Time between attempts after an error.
const RETRY: Duration = Duration::from_secs(2);
/// Most of a dead letter that is kept in its row; the topic has all of it.
const BYTES_KEPT: usize = 64 << 10;
/// Rows that stop the reading until they are stored.
const FULL: usize = 2_000;

/// Keeps the books until `stop`.
pub async fn keep_books(shared: Shared, stop: CancellationToken) {
    until_stopped("bookkeeping", &stop, || Books::of(&shared).run(&stop)).await;
}

/// Begins anew after every error, and says each once.
async fn until_stopped<F>(what: &str, stop: &CancellationToken, attempt: impl Fn() -> F)
where
    F: Future<Output = Result<(), KafkaError>>,
{
    let mut last = String::new();
    loop {
        let Err(error) = attempt().await else { return };
        let text = error.to_string();
        if text != last {
            tracing::error!(%error, "{what} interrupted; it goes on where rows were stored");
            last = text;
        }
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(RETRY) => {} }
    }
}

/// Whose heartbeat: instance, role, service, launch and epoch.
type Subject = (String, &'static str, String, String, i64);

struct Books {
    shared: Shared,
    statuses: HashMap<Subject, StatusRow>,
    dead_letters: Vec<DeadLetterRow>,
    launches: Vec<LaunchRow>,
    changes: Vec<ChangeRow>,
    /// The rows of launches as they were last written, but for the version.
    written: BTreeMap<String, LaunchRow>,
    positions: BTreeMap<TopicPartition, i64>,
}

impl Books {
    fn of(shared: &Shared) -> Self {
        Self {
            shared: shared.clone(),
            statuses: HashMap::new(),
            dead_letters: Vec::new(),
            launches: Vec::new(),
            changes: Vec::new(),
            written: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }

    async fn run(mut self, stop: &CancellationToken) -> Result<(), KafkaError> {
        let names = [topics::STATUS, topics::DEAD_LETTER, topics::CONTROL].map(str::to_owned);
        let consumer = GroupConsumer::subscribe(&self.shared.kafka, GROUP, &names, FetchLimits::default())?;
        let result = self.consume(&consumer, stop).await;
        consumer.close().await;
        result
    }

    async fn consume(&mut self, consumer: &GroupConsumer, stop: &CancellationToken) -> Result<(), KafkaError> {
        let mut flush = tokio::time::interval(FLUSH);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut control = self.shared.control.clone();
        control.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // Heartbeats that say "stopped" are worth a last word, but not waiting for.
                    let unhurried = CancellationToken::new();
                    let last_word = self.store(consumer, &unhurried);
                    if tokio::time::timeout(RETRY, last_word).await.is_err() {
                        tracing::debug!("heartbeats not stored in time are read again");
                    }
                    return Ok(());
                }
                _ = flush.tick() => self.store(consumer, stop).await,
                Ok(()) = control.changed() => {
                    let state = control.borrow_and_update().clone();
                    self.note_launches(&state);
                }
                event = consumer.recv(), if self.rows() < FULL => match event? {
                    Event::Record(record) => self.note(&record, stop).await,
                    Event::Expired { .. } => {}
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
                },
            }
        }
    }

    fn rows(&self) -> usize {
        self.statuses.len() + self.dead_letters.len() + self.launches.len() + self.changes.len()
    }

    async fn note(&mut self, record: &Consumed, stop: &CancellationToken) {
        let unusable = match decode_any(&record.payload) {
            _ if *record.topic == *topics::CONTROL => {
                self.changes.extend(changes::change_row(record));
                unusable_control(record)
            }
            Ok(AnyRecord::Status(status)) => {
                let row = status_row(*status);
                let subject = (row.instance.clone(), row.role, row.service.clone(), row.launch.clone(), row.epoch);
                // Only the newest of a batch is worth a row.
                self.statuses.insert(subject, row);
                None
            }
            Ok(AnyRecord::DeadLetter(letter)) => {
                self.dead_letters.push(dead_letter_row(*letter));
                None
            }
            Ok(other) => Some((DeadLetterReason::UnexpectedKind, other.name().to_owned())),
            Err(error) => Some((error.reason(), error.to_string())),
        };
        // Filed, it comes back as a dead letter that can be read, and becomes a row as such.
        if let Some((reason, detail)) = unusable
            && !self.shared.file(record, reason, &detail, stop).await
        {
            return;
        }
        self.positions.insert(record.at(), record.offset + 1);
    }

    fn note_launches(&mut self, state: &Arc<ControlState>) {
        for (name, launch) in &state.launches {
            let row = launch_row(&state.standing(launch), state.version);
            let written = self.written.get(name.as_str());
            if written.map(|written| LaunchRow { control_version: row.control_version, ..written.clone() })
                != Some(row.clone())
            {
                self.written.insert(name.to_string(), row.clone());
                self.launches.push(row);
            }
        }
    }

    async fn store(&mut self, consumer: &GroupConsumer, stop: &CancellationToken) {
        if self.rows() == 0 && self.positions.is_empty() {
            return;
        }
        let batch = Batch {
            statuses: self.statuses.values().cloned().collect(),
            dead_letters: self.dead_letters.clone(),
            launches: self.launches.clone(),
            changes: self.changes.clone(),
            ..Batch::default()
        };
        if !self.shared.store.insert_until_stored(&batch, stop).await {
            return;
        }
        (self.statuses, self.dead_letters, self.launches, self.changes) = Default::default();
        let commit: Vec<_> = std::mem::take(&mut self.positions).into_iter().collect();
        if let Err(error) = consumer.commit(&commit).await {
            tracing::debug!(%error, "offsets of heartbeats not committed; they are read again");
        }
    }
}

/// What holds is read from the control topic elsewhere; here only what nobody can read is filed.
fn unusable_control(record: &Consumed) -> Option<(DeadLetterReason, String)> {
    if record.payload.is_empty() {
        return None;
    }
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    let error = ControlRecord::decode(&key, &record.payload).err()?;
    let reason = match error {
        ControlError::Newer { .. } => DeadLetterReason::UnknownSchema,
        ControlError::Unreadable { .. } => DeadLetterReason::Undecodable,
    };
    Some((reason, error.to_string()))
}

fn status_row(status: Status) -> StatusRow {
    StatusRow {
        instance: status.instance,
        role: match status.role {
            Role::Other => "other",
            Role::CaptureAgent => "capture_agent",
            Role::Replayer => "replayer",
            Role::Comparator => "comparator",
            Role::Stub => "stub",
        },
        service: status.service,
        launch: status.launch.map(String::from).unwrap_or_default(),
        epoch: status.epoch,
        sequence: status.sequence,
        at: status.at.micros(),
        state: match status.state {
            State::Other => "other",
            State::Starting => "starting",
            State::Running => "running",
            State::Paused => "paused",
            State::Draining => "draining",
            State::Stopped => "stopped",
        },
        control_version: status.control_version,
        heard_at: status.heard_at.map(Timestamp::micros),
        last_send_at: status.last_send_at.map(Timestamp::micros),
        counters: status.counters.into_iter().collect(),
    }
}

fn dead_letter_row(letter: DeadLetter) -> DeadLetterRow {
    DeadLetterRow {
        topic: letter.topic,
        partition: letter.partition,
        offset: letter.offset,
        reason: letter.reason.as_str(),
        detail: letter.detail,
        bytes: letter.bytes[..letter.bytes.len().min(BYTES_KEPT)].to_vec(),
        instance: letter.instance,
        at: letter.at.micros(),
    }
}

fn launch_row(launch: &Launch, control_version: i64) -> LaunchRow {
    LaunchRow {
        launch: launch.name.to_string(),
        service: launch.service.to_string(),
        candidate: launch.candidate.to_string(),
        status: launch.status.as_str(),
        sample: launch.sample,
        changed_by: launch.change.by.clone(),
        changed_why: launch.change.why.clone(),
        changed_at: launch.change.at.micros(),
        control_version,
        control: launch.control.as_ref().map(|control| control.url.to_string()).unwrap_or_default(),
        control_sample: launch.control.as_ref().map_or(0.0, |control| control.sample),
        gates: launch.gates.clone().unwrap_or_default(),
        rules: launch.rules.clone().unwrap_or_default(),
    }
}
