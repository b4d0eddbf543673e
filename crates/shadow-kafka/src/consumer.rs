//! Consuming in a group, with everything on the caller's own task.
//!
//! A rebalance is an [`Event`] like a record: the caller drains, commits and then calls [`GroupConsumer::release`] or
//! [`GroupConsumer::start`]. Nothing is committed, reset or skipped unless the caller says so.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::admin::blocking;
use crate::event::{Consumed, Event, FetchLimits, Start, Started, TopicPartition};
use crate::tail::heals;
use crate::watermarks::watermarks;
use crate::{KafkaConfig, KafkaError};

/// Longest wait for the group's coordinator or a partition's leader.
const PATIENCE: Duration = Duration::from_secs(15);

/// A member of a consumer group.
pub struct GroupConsumer {
    consumer: Arc<StreamConsumer<Context>>,
    incoming: tokio::sync::Mutex<Incoming>,
    places: Mutex<Places>,
}

/// What arrives beside records. A recovery under way is kept here, so that a cancelled [`GroupConsumer::recv`] does not start
/// it over: the client says only once that a partition stopped.
struct Incoming {
    rebalances: mpsc::UnboundedReceiver<Rebalance>,
    recovery: Option<JoinHandle<Result<Vec<Recovered>, KafkaError>>>,
}

/// Where a partition stood when the client stopped at an offset that is no longer kept, and what is kept.
struct Recovered {
    at: TopicPartition,
    position: i64,
    low: i64,
}

/// What this member holds, for going on after an expiry.
#[derive(Default)]
struct Places {
    positions: HashMap<TopicPartition, i64>,
    paused: HashSet<TopicPartition>,
    expired: VecDeque<Event>,
}

enum Rebalance {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
}

impl From<Rebalance> for Event {
    fn from(rebalance: Rebalance) -> Self {
        match rebalance {
            Rebalance::Assigned(list) => Self::Assigned(list),
            Rebalance::Revoked(list) => Self::Revoked(list),
        }
    }
}

impl GroupConsumer {
    /// Joins `group` for `topics`; the assignment arrives as an event.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn subscribe(
        config: &KafkaConfig,
        group: &str,
        topics: &[String],
        limits: FetchLimits,
    ) -> Result<Self, KafkaError> {
        let kbytes = (limits.partition_bytes / 1024).max(64).to_string();
        let client = config.client(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("partition.assignment.strategy", "range"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "1000"),
            ("fetch.wait.max.ms", "50"),
            // A partition whose buffer was full is fetched again this much later; the client's own second starves whoever is
            // fast at emptying it (a replayer at 5,000/s from an uneven topic missed a quarter of its rate).
            ("fetch.queue.backoff.ms", "10"),
            ("queued.max.messages.kbytes", &kbytes),
            ("fetch.message.max.bytes", "1048576"),
        ]);
        let (tell, rebalances) = mpsc::unbounded_channel();
        let context = Context { tell, closing: AtomicBool::new(false) };
        let consumer: StreamConsumer<Context> = client.create_with_context(context).map_err(KafkaError::Settings)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(KafkaError::Settings)?;
        Ok(Self {
            consumer: Arc::new(consumer),
            incoming: tokio::sync::Mutex::new(Incoming { rebalances, recovery: None }),
            places: Mutex::default(),
        })
    }

    /// The next event. Lost connections heal inside and are not errors. Safe to cancel.
    ///
    /// # Errors
    /// [`KafkaError::Client`] for errors that will not heal, [`KafkaError::Truncated`] when the topic was recreated.
    pub async fn recv(&self) -> Result<Event, KafkaError> {
        let mut incoming = self.incoming.lock().await;
        let Incoming { rebalances, recovery } = &mut *incoming;
        loop {
            if let Some(task) = recovery {
                tokio::select! {
                    biased;
                    // A rebalance settles anew where everything stands.
                    Some(rebalance) = rebalances.recv() => {
                        *recovery = None;
                        return Ok(rebalance.into());
                    }
                    recovered = task => {
                        *recovery = None;
                        self.skip_expired(recovered.unwrap_or(Err(KafkaError::ShuttingDown))?)?;
                    }
                }
            }
            if let Some(expired) = self.places().expired.pop_front() {
                return Ok(expired);
            }
            let message = tokio::select! {
                biased;
                Some(rebalance) = rebalances.recv() => return Ok(rebalance.into()),
                message = self.consumer.recv() => message,
            };
            match message {
                Ok(message) => {
                    let record = Consumed::copy(&message);
                    self.places().positions.insert(record.at(), record.offset + 1);
                    return Ok(Event::Record(record));
                }
                Err(ClientError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                )) => *recovery = Some(self.look_for_expired()),
                Err(error) if heals(&error) => tracing::debug!(%error, "consumer interrupted"),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Begins reading newly assigned partitions at their committed offsets, else where the caller says.
    ///
    /// # Errors
    /// [`KafkaError::Client`] when the coordinator or a leader does not answer, [`KafkaError::Truncated`].
    pub async fn start(&self, starts: &[Start]) -> Result<Vec<Started>, KafkaError> {
        let consumer = self.consumer.clone();
        let wanted = starts.to_vec();
        let started = blocking(move || {
            let mut list = TopicPartitionList::new();
            for start in &wanted {
                list.add_partition(&start.at.topic, start.at.partition);
            }
            let committed = consumer.committed_offsets(list, PATIENCE)?;
            let mut started = Vec::with_capacity(wanted.len());
            for start in wanted {
                let found = committed.find_partition(&start.at.topic, start.at.partition).map(|e| e.offset());
                let committed = if let Some(Offset::Offset(offset)) = found { Some(offset) } else { None };
                let wanted = committed.unwrap_or(start.otherwise);
                let (low, high) = watermarks(&*consumer, &start.at.topic, start.at.partition, PATIENCE)?;
                if wanted > high {
                    let topic = start.at.topic.to_string();
                    return Err(KafkaError::Truncated { topic, partition: start.at.partition, wanted, high });
                }
                let expired = (wanted < low).then_some((wanted, low - 1));
                started.push(Started { at: start.at, committed, position: wanted.max(low), expired, high });
            }
            let mut list = TopicPartitionList::new();
            for s in &started {
                list.add_partition_offset(&s.at.topic, s.at.partition, Offset::Offset(s.position))?;
            }
            consumer.assign(&list)?;
            // The client remembers a pause across rebalances; the caller begins with everything being read.
            consumer.resume(&list)?;
            Ok(started)
        })
        .await?;
        let mut places = self.places();
        places.paused.clear();
        places.positions = started.iter().map(|s| (s.at.clone(), s.position)).collect();
        Ok(started)
    }

    /// Gives up everything this member holds. Records still on their way to the caller are dropped.
    ///
    /// # Errors
    /// [`KafkaError::Client`].
    pub async fn release(&self) -> Result<(), KafkaError> {
        *self.places() = Places::default();
        let consumer = self.consumer.clone();
        blocking(move || Ok(consumer.unassign()?)).await
    }

    /// Stops reading these partitions until [`GroupConsumer::resume`].
    ///
    /// # Errors
    /// [`KafkaError::Client`] when a partition is not this member's.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.places().paused.extend(partitions.iter().cloned());
        Ok(self.consumer.pause(&list_of(partitions))?)
    }

    /// Reads these partitions again.
    ///
    /// # Errors
    /// [`KafkaError::Client`] when a partition is not this member's.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let mut places = self.places();
        for partition in partitions {
            places.paused.remove(partition);
        }
        drop(places);
        Ok(self.consumer.resume(&list_of(partitions))?)
    }

    /// Commits the next offset to read of each partition, all in one request, and waits for the coordinator.
    ///
    /// # Errors
    /// [`KafkaError::Client`]; after a rebalance the coordinator refuses commits for partitions that moved.
    pub async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (at, next) in offsets {
            list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*next))?;
        }
        let consumer = self.consumer.clone();
        blocking(move || Ok(consumer.commit(&list, CommitMode::Sync)?)).await
    }

    /// First offset kept and next offset to be written.
    ///
    /// # Errors
    /// [`KafkaError::Client`].
    pub async fn watermarks(&self, at: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        let (consumer, at) = (self.consumer.clone(), at.clone());
        blocking(move || watermarks(&*consumer, &at.topic, at.partition, PATIENCE)).await
    }

    /// Leaves the group. Dropping does the same but blocks the thread while it waits for the coordinator.
    pub async fn close(self) {
        let dropped = tokio::task::spawn_blocking(move || drop(self));
        if dropped.await.is_err() {
            tracing::debug!("the runtime stopped before the consumer had left its group");
        }
    }

    /// Asks what is still kept of everything this member holds.
    fn look_for_expired(&self) -> JoinHandle<Result<Vec<Recovered>, KafkaError>> {
        let positions: Vec<_> = self.places().positions.iter().map(|(at, p)| (at.clone(), *p)).collect();
        let consumer = self.consumer.clone();
        tokio::task::spawn_blocking(move || {
            let mut recovered = Vec::new();
            for (at, position) in positions {
                let (low, high) = watermarks(&*consumer, &at.topic, at.partition, PATIENCE)?;
                if position > high {
                    let topic = at.topic.to_string();
                    return Err(KafkaError::Truncated { topic, partition: at.partition, wanted: position, high });
                }
                recovered.push(Recovered { at, position, low });
            }
            Ok(recovered)
        })
    }

    /// Notes what was lost and goes on behind it. A seek is refused in this state, so everything is assigned anew from where
    /// it stood.
    fn skip_expired(&self, recovered: Vec<Recovered>) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        let mut places = self.places();
        for Recovered { at, position, low } in recovered {
            list.add_partition_offset(&at.topic, at.partition, Offset::Offset(position.max(low)))?;
            if position < low {
                places.positions.insert(at.clone(), low);
                places.expired.push_back(Event::Expired { at, first: position, last: low - 1 });
            }
        }
        let paused: Vec<_> = places.paused.iter().cloned().collect();
        drop(places);
        self.consumer.assign(&list)?;
        Ok(self.consumer.pause(&list_of(&paused))?)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::SeqCst);
        // A rebalance that nobody answered would keep the client's destructor waiting for ever.
        drop(self.consumer.unassign());
    }
}

fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        list.add_partition(&at.topic, at.partition);
    }
    list
}

/// Turns rebalances into events; the client stays in its waiting state until the caller assigns or releases.
struct Context {
    tell: mpsc::UnboundedSender<Rebalance>,
    closing: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = list
            .elements()
            .iter()
            .map(|e| TopicPartition { topic: e.topic().into(), partition: e.partition() })
            .collect();
        let rebalance = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(partitions),
            _ => Rebalance::Revoked(partitions),
        };
        // Nobody will answer any more once the consumer is being dropped, and its destructor waits for an answer.
        if self.closing.load(Ordering::SeqCst) || self.tell.send(rebalance).is_err() {
            drop(consumer.unassign());
        }
    }
}
