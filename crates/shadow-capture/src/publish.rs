//! Hands masked records to Kafka without ever waiting for it.
//!
//! Guarantee: each record ends as acknowledged, in doubt or dropped with its reason, by the producer's own word.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use shadow_kafka::{Delivery, KafkaConfig, KafkaError, Outgoing, Producer, ProducerLimits, SendError, partition_for};

use crate::ledger::{DropReason, Settlement, Ticket};
use crate::mask::Masked;

/// Publishes to one topic, once its partition count is known.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Inner>);

struct Inner {
    producer: Producer,
    topic: String,
    partitions: OnceLock<i32>,
    opened: Receiver<()>,
    /// Dropped to open.
    opener: Mutex<Option<Sender<()>>>,
}

impl Publisher {
    /// A publisher that is not open yet.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub(crate) fn new(kafka: &KafkaConfig, limits: &ProducerLimits, topic: String) -> Result<Self, KafkaError> {
        let (opener, opened) = crossbeam_channel::bounded(0);
        Ok(Self(Arc::new(Inner {
            producer: Producer::new(kafka, limits)?,
            topic,
            partitions: OnceLock::new(),
            opened,
            opener: Mutex::new(Some(opener)),
        })))
    }

    /// One for another topic that is not open yet either. They share the Kafka client with its bounds.
    pub(crate) fn beside(&self, topic: String) -> Self {
        let (opener, opened) = crossbeam_channel::bounded(0);
        Self(Arc::new(Inner {
            producer: self.0.producer.clone(),
            topic,
            partitions: OnceLock::new(),
            opened,
            opener: Mutex::new(Some(opener)),
        }))
    }

    /// The topic.
    pub(crate) fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The topic has this many partitions: publishing may begin.
    pub(crate) fn open(&self, partitions: i32) {
        let _ = self.0.partitions.set(partitions);
        lock(&self.0.opener).take();
    }

    /// Whether publishing has begun.
    pub(crate) fn is_open(&self) -> bool {
        self.0.partitions.get().is_some()
    }

    /// Disconnects when publishing may begin.
    pub(crate) fn opened(&self) -> &Receiver<()> {
        &self.0.opened
    }

    /// Hands one record over. Its ticket is settled when the producer knows how it ended.
    pub(crate) fn publish(&self, masked: &Masked, ticket: Ticket) {
        if let Err((ticket, error)) = self.offer(masked, ticket) {
            tracing::debug!(%error, "record not queued");
            ticket.dropped(match error {
                SendError::QueueFull => DropReason::KafkaQueueFull,
                SendError::Invalid(_) => DropReason::Unpublishable,
            });
        }
    }

    /// The same, but a record that is not queued comes back with its ticket.
    ///
    /// # Errors
    /// Why it is not queued.
    pub(crate) fn offer(&self, masked: &Masked, ticket: Ticket) -> Result<(), (Ticket, SendError)> {
        let Some(&partitions) = self.0.partitions.get() else {
            ticket.dropped(DropReason::Stopped);
            return Ok(());
        };
        let out = Outgoing {
            topic: &self.0.topic,
            partition: Some(partition_for(&masked.key, partitions)),
            key: Some(&masked.key),
            payload: &masked.payload,
        };
        // A refused record's callback is dropped unused, so the ticket stays reachable from here.
        let shared = Arc::new(Mutex::new(Some(ticket.handed_to_kafka())));
        let in_kafka = shared.clone();
        let sent = self.0.producer.send(out, move |delivery| {
            if let Some(ticket) = lock(&in_kafka).take() {
                settle(ticket, &delivery);
            }
        });
        match sent {
            Ok(()) => Ok(()),
            Err(error) => lock(&shared).take().map_or(Ok(()), |ticket| Err((ticket, error))),
        }
    }

    /// Records without a delivery yet.
    pub(crate) fn waiting(&self) -> usize {
        self.0.producer.in_flight()
    }

    /// Waits until every record has its delivery, at most `patience`.
    pub(crate) async fn flush(&self, patience: Duration) {
        self.0.producer.flush(patience).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settle(ticket: Ticket, delivery: &Delivery) {
    ticket.settle(match delivery {
        Delivery::Acknowledged { .. } => Settlement::Acknowledged,
        Delivery::InDoubt(why) => {
            tracing::debug!(why, "a record is in doubt");
            Settlement::InDoubt
        }
        Delivery::Rejected(why) => {
            tracing::debug!(why, "a record was rejected");
            Settlement::Dropped(DropReason::DeliveryFailed)
        }
    });
}
