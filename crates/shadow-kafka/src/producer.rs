//! Producing: a bounded queue, a send that never blocks, one [`Delivery`] for each record.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use crate::admin::MAX_RECORD_BYTES;
use crate::{KafkaConfig, KafkaError};

/// Bounds of one producer.
#[derive(Clone, Copy, Debug)]
pub struct ProducerLimits {
    /// Bytes waiting for the broker; beyond them [`SendError::QueueFull`].
    pub queue_bytes: usize,
    /// How long a record may wait for its acknowledgement.
    pub message_timeout: Duration,
}

impl Default for ProducerLimits {
    fn default() -> Self {
        Self { queue_bytes: 64 << 20, message_timeout: Duration::from_secs(30) }
    }
}

/// A record to be produced.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition; `None` only where the order of records means nothing.
    pub partition: Option<i32>,
    /// Record key.
    pub key: Option<&'a [u8]>,
    /// Record value; empty with a key is a tombstone in a compacted topic.
    pub payload: &'a [u8],
}

/// How one record ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Durable at this place.
    Acknowledged {
        /// Partition it stands in.
        partition: i32,
        /// Its offset.
        offset: i64,
    },
    /// Certainly not written.
    Rejected(String),
    /// Unknown: the broker may have written it before the answer was lost.
    InDoubt(String),
}

/// Why a record was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The bounded queue is full.
    #[error("the producer's queue is full")]
    QueueFull,
    /// The client refuses the record, for example as too large.
    #[error("record refused: {0}")]
    Invalid(String),
}

/// A shared producer.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

type Client = ThreadedProducer<Context>;

struct Inner {
    config: ClientConfig,
    /// Replaced when the client reports a fatal error: an idempotent client never sends again after one.
    client: RwLock<Arc<Client>>,
}

impl Producer {
    /// A producer; it connects in the background and queues meanwhile.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn new(config: &KafkaConfig, limits: &ProducerLimits) -> Result<Self, KafkaError> {
        let queue_kbytes = (limits.queue_bytes / 1024).max(1).to_string();
        let timeout_ms = limits.message_timeout.as_millis().to_string();
        let client = config.client(&[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("compression.type", "lz4"),
            ("linger.ms", "5"),
            ("message.max.bytes", MAX_RECORD_BYTES),
            ("queue.buffering.max.kbytes", &queue_kbytes),
            ("queue.buffering.max.messages", "200000"),
            ("message.timeout.ms", &timeout_ms),
        ]);
        let first = client.create_with_context(Context).map_err(KafkaError::Settings)?;
        Ok(Self(Arc::new(Inner { config: client, client: RwLock::new(Arc::new(first)) })))
    }

    /// Queues a record without ever blocking; `on_delivery` is called once, on the producer's own thread, unless an error is
    /// returned.
    ///
    /// # Errors
    /// [`SendError`]; the record was not queued.
    pub fn send(
        &self,
        out: Outgoing<'_>,
        on_delivery: impl FnOnce(Delivery) + Send + 'static,
    ) -> Result<(), SendError> {
        let mut record = BaseRecord::with_opaque_to(out.topic, OnDelivery::boxed(on_delivery));
        if !out.payload.is_empty() {
            record = record.payload(out.payload);
        }
        if let Some(key) = out.key {
            record = record.key(key);
        }
        if let Some(partition) = out.partition {
            record = record.partition(partition);
        }
        let client = self.client();
        let refused = match client.send(record) {
            Err((ClientError::MessageProduction(RDKafkaErrorCode::Fatal), record)) => {
                self.replace(&client).send(record)
            }
            sent => sent,
        };
        refused.map_err(|(error, _)| match error {
            ClientError::MessageProduction(RDKafkaErrorCode::QueueFull) => SendError::QueueFull,
            other => SendError::Invalid(other.to_string()),
        })
    }

    fn client(&self) -> Arc<Client> {
        self.0.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new client in place of `failed`, unless another thread was first. What `failed` still held ends in doubt.
    fn replace(&self, failed: &Arc<Client>) -> Arc<Client> {
        let mut current = self.0.client.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, failed) {
            match self.0.config.create_with_context(Context) {
                Ok(fresh) => {
                    tracing::warn!("the Kafka producer failed for good; a new one takes its place");
                    *current = Arc::new(fresh);
                    let failed = failed.clone();
                    // Its destructor waits for its thread.
                    std::thread::spawn(move || drop(failed));
                }
                Err(error) => tracing::error!(%error, "the Kafka producer failed for good and cannot be replaced"),
            }
        }
        current.clone()
    }

    /// Queues a record, waiting for room, and gives its delivery.
    pub async fn publish(&self, out: Outgoing<'_>) -> Delivery {
        loop {
            let (tell, told) = tokio::sync::oneshot::channel();
            match self.send(out, move |delivery| drop(tell.send(delivery))) {
                Ok(()) => {
                    return told.await.unwrap_or_else(|_| Delivery::InDoubt("the producer was closed".to_owned()));
                }
                Err(SendError::Invalid(why)) => return Delivery::Rejected(why),
                Err(SendError::QueueFull) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Waits until every queued record has its delivery, at most `patience`.
    pub async fn flush(&self, patience: Duration) {
        let producer = self.client();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(patience)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!(left = self.in_flight(), "records were still waiting for Kafka when the producer closed");
        }
    }

    /// Records without a delivery yet.
    pub fn in_flight(&self) -> usize {
        self.client().in_flight_count().max(0) as usize
    }
}

type Callback = Box<dyn FnOnce(Delivery) + Send>;

/// The callback in the form the client stores it: shared in type, taken once in fact.
struct OnDelivery(Mutex<Option<Callback>>);

impl OnDelivery {
    fn boxed(callback: impl FnOnce(Delivery) + Send + 'static) -> Box<Self> {
        Box::new(Self(Mutex::new(Some(Box::new(callback)))))
    }
}

struct Context;

impl ClientContext for Context {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<OnDelivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, on_delivery: Self::DeliveryOpaque) {
        let delivery = match result {
            Ok(message) => Delivery::Acknowledged { partition: message.partition(), offset: message.offset() },
            Err((error, _)) => classify(error),
        };
        let callback = on_delivery.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(callback) = callback {
            callback(delivery);
        }
    }
}

/// Only errors raised before anything left the client, or by a broker that refused the record, are certain.
fn classify(error: &ClientError) -> Delivery {
    use RDKafkaErrorCode as Code;
    match error {
        ClientError::MessageProduction(
            Code::PurgeQueue
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidMessage
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTopic
            | Code::InvalidRecord
            | Code::PolicyViolation,
        ) => Delivery::Rejected(error.to_string()),
        _ => Delivery::InDoubt(error.to_string()),
    }
}
