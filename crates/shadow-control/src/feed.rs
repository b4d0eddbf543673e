//! Reading and writing the control topic.

use std::sync::Arc;
use std::time::Duration;

use shadow_kafka::{
    Admin, Delivery, KafkaConfig, KafkaError, Outgoing, Producer, ProducerLimits, Tail, TailEvent, TailFrom, TopicSpec,
};
use shadow_record::{Timestamp, topics};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{ControlRecord, ControlState};

/// Time between attempts to open the control topic.
const RETRY: Duration = Duration::from_secs(1);
/// How long the control topic's leader may be silent before its launches pause; the lease's length.
const SILENCE: Duration = Duration::from_secs(3);

/// Creates the topics that all services share, unless they exist.
///
/// # Errors
/// [`KafkaError`].
pub async fn ensure_shared_topics(admin: &Admin) -> Result<(), KafkaError> {
    admin.ensure_topic(&TopicSpec::compacted(topics::CONTROL)).await?;
    admin.ensure_topic(&TopicSpec::deleting(topics::STATUS, 1)).await?;
    admin.ensure_topic(&TopicSpec::deleting(topics::DEAD_LETTER, 1)).await
}

/// Follows the control topic for as long as the service runs.
pub struct ControlFeed;

impl ControlFeed {
    /// Starts following; the receiver holds [`ControlState::empty`] at first. Kafka may come later: it keeps trying, and says
    /// once that it waits.
    pub fn spawn(kafka: &KafkaConfig, stop: CancellationToken) -> watch::Receiver<Arc<ControlState>> {
        let (tell, state) = watch::channel(Arc::new(ControlState::empty()));
        let kafka = kafka.clone();
        tokio::spawn(async move {
            let mut complained = false;
            while !stop.is_cancelled() {
                let followed = tokio::select! {
                    () = stop.cancelled() => return,
                    followed = follow(&kafka, &tell) => followed,
                };
                // What was read may no longer hold, and a pause would not be heard.
                let was_following = tell.borrow().caught_up;
                tell.send_modify(|state| Arc::make_mut(state).caught_up = false);
                if let Err(error) = followed
                    && (was_following || !complained)
                {
                    complained = true;
                    tracing::warn!(%error, "cannot follow the control topic; every launch stays paused here until it can");
                }
                tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(RETRY) => {} }
            }
        });
        state
    }
}

async fn follow(kafka: &KafkaConfig, tell: &watch::Sender<Arc<ControlState>>) -> Result<(), KafkaError> {
    let admin = Admin::new(kafka)?;
    ensure_shared_topics(&admin).await?;
    let (_, end) = admin.watermarks(topics::CONTROL, 0).await?;
    tokio::select! {
        ended = read(kafka, end - 1, tell) => ended,
        unreachable = probe(&admin) => Err(unreachable),
    }
}

/// A consumer waits in silence for a broker that is gone; this notices. Ends when the control topic's leader has not answered
/// for [`SILENCE`].
async fn probe(admin: &Admin) -> KafkaError {
    let mut answered = Instant::now();
    loop {
        tokio::time::sleep(RETRY).await;
        match tokio::time::timeout(SILENCE, admin.watermarks(topics::CONTROL, 0)).await {
            Ok(Ok(_)) => answered = Instant::now(),
            Ok(Err(error)) if answered.elapsed() >= SILENCE => return error,
            Ok(Err(_)) => {}
            Err(_) => return KafkaError::NoAnswer(topics::CONTROL),
        }
    }
}

/// `last` is an offset that stands in the topic before this begins, or was compacted away there.
async fn read(kafka: &KafkaConfig, last: i64, tell: &watch::Sender<Arc<ControlState>>) -> Result<(), KafkaError> {
    let tail = Tail::open(kafka, topics::CONTROL, TailFrom::Start).await?;
    let mut state = ControlState::empty();
    loop {
        match tail.recv().await? {
            TailEvent::CaughtUp => {
                state.caught_up = true;
                state.version = state.version.max(last);
            }
            TailEvent::Record(record) => {
                state.heard_at = Some(Timestamp::now());
                let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
                if let Err(error) = state.apply(record.offset, &key, &record.payload) {
                    tracing::warn!(%error, offset = record.offset, "control record refused; what it speaks of is paused");
                }
            }
        }
        // One publication for the whole backlog: nothing acts on a half-read topic.
        if state.caught_up {
            tell.send_replace(Arc::new(state.clone()));
        }
    }
}

/// Writes control records.
#[derive(Clone)]
pub struct ControlWriter {
    producer: Producer,
    brokers: String,
}

impl ControlWriter {
    /// A writer of its own.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn new(kafka: &KafkaConfig) -> Result<Self, KafkaError> {
        let limits = ProducerLimits { queue_bytes: 1 << 20, message_timeout: Duration::from_secs(10) };
        Ok(Self { producer: Producer::new(kafka, &limits)?, brokers: kafka.brokers.clone() })
    }

    /// A writer that shares a producer with other work of the process.
    pub fn over(producer: Producer, kafka: &KafkaConfig) -> Self {
        Self { producer, brokers: kafka.brokers.clone() }
    }

    /// Puts a record and gives the control version it made.
    ///
    /// # Errors
    /// [`KafkaError::Unreachable`] when it was not acknowledged; it may have been written all the same.
    pub async fn put(&self, record: &ControlRecord) -> Result<i64, KafkaError> {
        self.write(&record.key(), &record.encode()).await
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// As [`ControlWriter::put`].
    pub async fn delete(&self, key: &str) -> Result<i64, KafkaError> {
        self.write(key, &[]).await
    }

    async fn write(&self, key: &str, payload: &[u8]) -> Result<i64, KafkaError> {
        let out = Outgoing { topic: topics::CONTROL, partition: Some(0), key: Some(key.as_bytes()), payload };
        match self.producer.publish(out).await {
            Delivery::Acknowledged { offset, .. } => Ok(offset),
            Delivery::Rejected(cause) | Delivery::InDoubt(cause) => {
                Err(KafkaError::Unreachable { brokers: self.brokers.clone(), cause })
            }
        }
    }
}
