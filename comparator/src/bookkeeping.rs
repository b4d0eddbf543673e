//! Beside the flow: heartbeats, dead letters, launches and every change of the control topic become rows, so that the ledger and the
//! views can speak of them; what nobody can read in their topics is filed as a dead letter.
//!
//! One consumer group for all comparators; outbound calls ([`keep_effects`]) have one for each service. Rows replace each other by
//! identity, and offsets are committed after the rows are stored (`keeping.rs`), so here too reading twice changes nothing.

mod changes;
mod effect_row;
mod effects;
mod keeping;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use shadow_control::{ControlError, ControlRecord, ControlState, Launch};
use shadow_kafka::{Consumed, KafkaError};
use shadow_record::{AnyRecord, DeadLetter, DeadLetterReason, Role, State, Status, Timestamp, decode_any, topics};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use effects::keep_effects;
use keeping::{Keep, Unusable, keep_rows};

use crate::shared::Shared;
use crate::store::{Batch, ChangeRow, DeadLetterRow, LaunchRow, StatusRow};

const GROUP: &str = "shadow-comparator.bookkeeping";
/// Time between attempts after an error.
const RETRY: Duration = Duration::from_secs(2);
/// Most of a dead letter that is kept in its row; the topic has all of it.
const BYTES_KEPT: usize = 64 << 10;
/// Rows that are stored before more is read.
const FULL: usize = 2_000;

/// Keeps the books until `stop`.
pub async fn keep_books(shared: Shared, stop: CancellationToken) {
    let names = [topics::STATUS, topics::DEAD_LETTER, topics::CONTROL].map(str::to_owned);
    until_stopped("bookkeeping", &stop, || keep_rows(&shared, (GROUP, &names), Books::of(&shared), &stop)).await;
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
    control: watch::Receiver<Arc<ControlState>>,
    statuses: HashMap<Subject, StatusRow>,
    dead_letters: Vec<DeadLetterRow>,
    launches: Vec<LaunchRow>,
    changes: Vec<ChangeRow>,
    /// The rows of launches as they were last written, but for the version.
    written: BTreeMap<String, LaunchRow>,
}

impl Books {
    fn of(shared: &Shared) -> Self {
        let mut control = shared.control.clone();
        control.mark_changed();
        Self {
            control,
            statuses: HashMap::new(),
            dead_letters: Vec::new(),
            launches: Vec::new(),
            changes: Vec::new(),
            written: BTreeMap::new(),
        }
    }

    fn note_launches(&mut self, state: &ControlState) {
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

    fn note_status(&mut self, row: StatusRow) {
        let subject = (row.instance.clone(), row.role, row.service.clone(), row.launch.clone(), row.epoch);
        // Only the newest of a batch is worth a row.
        self.statuses.insert(subject, row);
    }
}

impl Keep for Books {
    fn note(&mut self, record: &Consumed) -> Result<(), Unusable> {
        if *record.topic == *topics::CONTROL {
            self.changes.extend(changes::change_row(record));
            return usable_control(record);
        }
        match decode_any(&record.payload) {
            Ok(AnyRecord::Status(status)) => self.note_status(status_row(*status)),
            Ok(AnyRecord::DeadLetter(letter)) => self.dead_letters.push(dead_letter_row(*letter)),
            Ok(other) => return Err((DeadLetterReason::UnexpectedKind, other.name().to_owned())),
            Err(error) => return Err((error.reason(), error.to_string())),
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.statuses.len() + self.dead_letters.len() + self.launches.len() + self.changes.len() >= FULL
    }

    fn take(&mut self) -> Batch {
        Batch {
            statuses: std::mem::take(&mut self.statuses).into_values().collect(),
            dead_letters: std::mem::take(&mut self.dead_letters),
            launches: std::mem::take(&mut self.launches),
            changes: std::mem::take(&mut self.changes),
            ..Batch::default()
        }
    }

    fn put_back(&mut self, batch: Batch) {
        batch.statuses.into_iter().for_each(|row| self.note_status(row));
        (self.dead_letters, self.launches, self.changes) = (batch.dead_letters, batch.launches, batch.changes);
    }

    async fn meanwhile(&mut self) {
        if self.control.changed().await.is_err() {
            return std::future::pending().await;
        }
        let state = self.control.borrow_and_update().clone();
        self.note_launches(&state);
    }
}

/// What holds is read from the control topic elsewhere; here only what nobody can read is filed.
fn usable_control(record: &Consumed) -> Result<(), Unusable> {
    if record.payload.is_empty() {
        return Ok(());
    }
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    let Err(error) = ControlRecord::decode(&key, &record.payload) else { return Ok(()) };
    let reason = match error {
        ControlError::Newer { .. } => DeadLetterReason::UnknownSchema,
        ControlError::Unreadable { .. } => DeadLetterReason::Undecodable,
    };
    Err((reason, error.to_string()))
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
