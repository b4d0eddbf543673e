//! One launch, from the topics to rows: consume -> pair -> diff -> classify -> settle -> store, then commit.
//!
//! ```text
//! shadow.captured.<service>   -\
//!                               > Join (by captured offset, per partition) -> Classifier -> Batch -> Effects -> ClickHouse -> commit
//! shadow.replayed.<s>.<launch> -/                                                                       |
//! shadow.effects.<service>     -------------------------------------------------------------------------/
//! ```
//!
//! **The idempotency zone** reaches from the two topics to the tables. A batch is inserted first, and only then are both
//! offsets committed, in one request: the captured one up to the lowest offset without a stored row, the replayed one back to
//! the first record that speaks of an offset at or above it. Whoever comes after a crash reads the same records again, settles
//! the same offsets in the same way (see [`crate::pair`]), and inserts rows of the same identity and version, which replace
//! those that were stored before the crash. So a row may be inserted often and is there once, and no view can tell.
//!
//! **Bounds**: each partition's join is bounded by its limits, which pause one of the two topics; rows not yet stored are
//! bounded by pausing everything, also while a batch waits for its effects. Pausing never stops the polling, so the member stays in its group while ClickHouse is away.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use shadow_control::{ControlState, Launch};
use shadow_kafka::{Admin, Consumed, Event, FetchLimits, GroupConsumer, KafkaError, Start, Started, TopicPartition};
use shadow_record::{CapturedExchange, DeadLetterReason, Timestamp, decode, topics};
use shadow_runtime::telemetry::traces;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::classify::{Captured, Classified, Classifier, RangeInfo, Replay};
use crate::pair::{Flow, Join, Limits, Replayed};
use crate::shared::Shared;
use crate::store::Batch;

mod flush;
mod settling;
mod spoken;
mod storing;
mod trace;

use flush::{NOT_WRITTEN, Progress};
use settling::{Effects, Unsettled};
use spoken::{Spoken, What};

/// How long a partition that is taken away, or a stop, waits for rows to be stored. What is not is read again.
const DRAIN: Duration = Duration::from_secs(4);
/// How long after a stop everything is dropped where it stands; a service has 8 s in all.
const STOP: Duration = Duration::from_secs(5);
/// Time between attempts to join the group again after an error.
const RETRY: Duration = Duration::from_secs(2);
/// Between looks for a topic that its service has not created yet.
const AWAIT_TOPIC: Duration = Duration::from_millis(250);
/// Between refreshments of the progress of a partition in which nothing happens.
const IDLE_REFRESH: Duration = Duration::from_secs(5);
/// Bytes of unstored rows that end a batch early.
const BATCH_BYTES: usize = 16 << 20;
/// Batches that may wait behind the one that is being stored, before everything is paused.
const BATCHES_AHEAD: usize = 2;

/// Compares one launch until `stop`. Errors are reported and tried again: nothing is lost by beginning anew.
pub async fn compare_launch(shared: Shared, launch: Launch, stop: CancellationToken) {
    let mut last = String::new();
    loop {
        let pipeline = Pipeline::new(shared.clone(), launch.clone(), stop.clone());
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP).await;
        };
        // Some calls of the Kafka client wait long for a broker that is away.
        let result = tokio::select! { result = pipeline.run() => result, () = overdue => return };
        let Err(error) = result else { return };
        // Said again only when it changes.
        let text = error.to_string();
        if text != last {
            tracing::error!(launch = %launch.name, %error, "comparison interrupted; it goes on where rows were stored");
            last = text;
        }
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(RETRY) => {} }
    }
}

/// One partition of the pair of topics.
struct Partition {
    join: Join<Captured, Replay, RangeInfo>,
    start: i64,
    /// The lowest offset without a row when it was taken over.
    begun: i64,
    high: i64,
    /// Low and high as last written.
    written: (i64, i64),
    /// Which of the two topics is paused.
    paused: Flow,
}

struct Pipeline {
    shared: Shared,
    launch: Launch,
    stop: CancellationToken,
    captured: Arc<str>,
    replayed: Arc<str>,
    classifier: Classifier,
    partitions: BTreeMap<i32, Partition>,
    /// `None` where effects are not compared.
    effects: Option<Effects>,
    pending: Batch,
    pending_bytes: usize,
    /// Which pending rows have effects to settle.
    unsettled: Unsettled,
    /// Cancelled while nothing is waited for.
    hurry: CancellationToken,
    refreshed: Instant,
    /// Whether the control topic holds other rules than those in use.
    refused: bool,
}

/// A batch on its way into ClickHouse, which ends when it is there, or with `None` when it was given up.
type Storing<'a> = Pin<Box<dyn Future<Output = Option<Vec<Progress>>> + Send + 'a>>;

impl Pipeline {
    fn new(shared: Shared, launch: Launch, stop: CancellationToken) -> Self {
        let classifier = Classifier::new(&launch, shared.settings.body.as_len());
        Self {
            captured: topics::captured(&launch.service).into(),
            replayed: topics::replayed(&launch.service, &launch.name).into(),
            effects: Effects::of(&shared, &launch, classifier.rules()),
            classifier,
            shared,
            launch,
            stop,
            partitions: BTreeMap::new(),
            pending: Batch::default(),
            pending_bytes: 0,
            unsettled: Unsettled::new(),
            hurry: CancellationToken::new(),
            refreshed: Instant::now(),
            refused: false,
        }
    }

    async fn run(mut self) -> Result<(), KafkaError> {
        let stop = self.stop.clone();
        tokio::select! { () = stop.cancelled() => return Ok(()), exist = self.topics_exist() => exist? }
        let group = topics::comparator_group(&self.launch.name);
        let names = [self.captured.to_string(), self.replayed.to_string()];
        let consumer = GroupConsumer::subscribe(&self.shared.kafka, &group, &names, FetchLimits::default())?;
        let result = self.consume(&consumer).await;
        for partition in self.partitions.keys() {
            self.shared.metrics.forget_partition(self.launch.name.as_str(), *partition);
        }
        consumer.close().await;
        result
    }

    /// Waits for both topics, so that the group begins with both.
    async fn topics_exist(&self) -> Result<(), KafkaError> {
        let admin = Admin::new(&self.shared.kafka)?;
        loop {
            match (admin.partitions(&self.captured).await?, admin.partitions(&self.replayed).await?) {
                (Some(captured), Some(replayed)) if captured == replayed => return Ok(()),
                (Some(wanted), Some(found)) => {
                    return Err(KafkaError::PartitionCount { topic: self.replayed.to_string(), found, wanted });
                }
                _ => tokio::time::sleep(AWAIT_TOPIC).await,
            }
        }
    }

    async fn consume(&mut self, consumer: &GroupConsumer) -> Result<(), KafkaError> {
        let mut flush = tokio::time::interval(self.shared.settings.flush.get());
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut storing: Option<Storing<'_>> = None;
        let stop = self.stop.clone();
        let mut control = self.shared.control.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.drain(consumer, storing).await;
                    return Ok(());
                }
                stored = async { storing.as_mut().expect("guarded").await }, if storing.is_some() => {
                    storing = None;
                    // Given up without having been told to: what comes after it must not be committed.
                    self.stored(stored.ok_or(KafkaError::ShuttingDown)?);
                    if self.pending_batches() >= 1 {
                        storing = self.begin_storing(consumer);
                    }
                }
                _ = flush.tick() => if storing.is_none() {
                    storing = self.begin_storing(consumer);
                },
                Ok(()) = control.changed() => self.refuse_other_rules(&mut control),
                event = consumer.recv() => match event? {
                    Event::Record(record) => {
                        self.read(consumer, record).await;
                        if storing.is_none() && self.pending_batches() >= 1 {
                            storing = self.begin_storing(consumer);
                        }
                    }
                    Event::Expired { at, first, last } => self.expired(&at, first, last),
                    Event::Assigned(list) => self.assigned(consumer, list).await?,
                    Event::Revoked(_) => {
                        self.drain(consumer, storing.take()).await;
                        self.forget();
                        consumer.release().await?;
                    }
                },
            }
            self.apply_flow(consumer)?;
        }
    }

    /// A launch keeps the rules it was created with: what is read again after a crash must be compared as it was before.
    fn refuse_other_rules(&mut self, control: &mut watch::Receiver<Arc<ControlState>>) {
        let state = control.borrow_and_update();
        let Some(now) = state.launches.get(&self.launch.name) else { return };
        let kept = (&self.launch.rules, self.launch.comparison);
        let other = (&now.rules, now.comparison) != kept;
        if other && !self.refused {
            tracing::error!(
                launch = %self.launch.name,
                "the control topic holds other comparison rules than the launch began with; they are not used: create another launch"
            );
        }
        self.refused = other;
    }

    /// Step 1: consume. Begins every assigned partition where the last stored row left off.
    async fn assigned(&mut self, consumer: &GroupConsumer, list: Vec<TopicPartition>) -> Result<(), KafkaError> {
        let otherwise =
            |at: &TopicPartition| if at.topic == self.captured { self.launch.start_of(at.partition) } else { 0 };
        if list.is_empty() {
            self.forget();
            return consumer.release().await;
        }
        let starts: Vec<Start> = list.into_iter().map(|at| Start { otherwise: otherwise(&at), at }).collect();
        let started = consumer.start(&starts).await?;
        self.forget();
        for Started { at, expired, .. } in &started {
            if let Some((first, last)) = expired {
                self.report_expired(at, *first, *last);
            }
        }
        for captured in started.iter().filter(|s| s.at.topic == self.captured) {
            let partition = captured.at.partition;
            let start = self.launch.start_of(partition);
            let low = captured.committed.unwrap_or(start);
            let replayed = started.iter().find(|s| s.at.topic == self.replayed && s.at.partition == partition);
            let Some(replayed) = replayed else { continue };
            let mut join = Join::new(low, replayed.position, Limits::default());
            join.captured_gap(captured.position);
            let (written, paused) = (NOT_WRITTEN, Flow::default());
            let state = Partition { join, start, begun: low, high: captured.high, written, paused };
            self.partitions.insert(partition, state);
        }
        tracing::info!(launch = %self.launch.name, partitions = self.partitions.len(), "comparing");
        self.settle_all();
        Ok(())
    }

    /// Drops what belongs to partitions that are no longer this member's; whoever has them reads it again.
    fn forget(&mut self) {
        for partition in self.partitions.keys() {
            self.shared.metrics.forget_partition(self.launch.name.as_str(), *partition);
        }
        self.partitions.clear();
        self.pending = Batch::default();
        self.pending_bytes = 0;
        self.unsettled.clear();
    }

    fn expired(&mut self, at: &TopicPartition, first: i64, last: i64) {
        self.report_expired(at, first, last);
        if at.topic == self.captured
            && let Some(partition) = self.partitions.get_mut(&at.partition)
        {
            partition.join.captured_gap(last + 1);
            self.settle(at.partition);
        }
    }

    fn report_expired(&self, at: &TopicPartition, first: i64, last: i64) {
        let TopicPartition { topic, partition } = at;
        tracing::warn!(launch = %self.launch.name, %topic, partition, first, last, "retention took records before they were compared");
    }

    /// Step 2: pair.
    async fn read(&mut self, consumer: &GroupConsumer, record: Consumed) {
        let (number, bytes) = (record.partition, record.payload.len());
        if record.topic == self.captured {
            let captured = match decode::<CapturedExchange>(&record.payload) {
                Ok(exchange) => Captured::of(record.appended_at, exchange),
                // The replayer may have read it, or not looked at it: then nobody else would file it. Filed twice it is one row.
                Err(error) => {
                    let detail = error.to_string();
                    if !self.shared.file(&record, error.reason(), &detail, &self.stop).await {
                        return;
                    }
                    Captured::unreadable(record.appended_at)
                }
            };
            let Some(Partition { join, .. }) = self.partitions.get_mut(&number) else { return };
            join.captured(record.offset, captured, bytes);
        } else {
            let mut spoken = Spoken::of(&self.launch.name, &record);
            if let Ok(Spoken { last, .. }) = &spoken
                && !self.was_captured(consumer, number, *last).await
            {
                spoken =
                    Err((DeadLetterReason::Undecodable, format!("speaks of offset {last}, which was never captured")));
            }
            if let Err((reason, detail)) = &spoken {
                self.shared.metrics.unusable(self.launch.name.as_str());
                if !self.shared.file(&record, *reason, detail, &self.stop).await {
                    return;
                }
            }
            let Some(Partition { join, .. }) = self.partitions.get_mut(&number) else { return };
            let repeated = match spoken {
                Ok(Spoken { low_watermark, first, last, what }) => {
                    let at = Replayed { at: record.offset, low_watermark };
                    match what {
                        What::Outcome(exchange) => {
                            let replay = Replay { appended_at: record.appended_at, exchange: *exchange };
                            i64::from(!join.outcome(at, first, replay, bytes))
                        }
                        What::Range(info) => join.skipped(at, first, last, &info),
                    }
                }
                Err(_) => {
                    join.unusable(record.offset);
                    0
                }
            };
            self.shared.metrics.repeated(self.launch.name.as_str(), repeated);
        }
        self.settle(number);
    }

    /// Whether the captured partition reaches as far as `offset`. One that is made up would let the captured cursor run
    /// ahead without bound. The broker is asked only about offsets beyond all that were seen.
    async fn was_captured(&mut self, consumer: &GroupConsumer, number: i32, offset: i64) -> bool {
        let at = TopicPartition { topic: self.captured.clone(), partition: number };
        let Some(partition) = self.partitions.get_mut(&number) else { return true };
        if offset < partition.high.max(partition.join.captured_next()) {
            return true;
        }
        match consumer.watermarks(&at).await {
            Ok((_, high)) => partition.high = high,
            // The broker gave the record a moment ago; without it there is no telling, and no more records to read ahead.
            Err(_) => return true,
        }
        offset < partition.high
    }

    fn settle_all(&mut self) {
        let numbers: Vec<i32> = self.partitions.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.settle(number));
    }

    /// Step 3: diff and classify what the join settled.
    fn settle(&mut self, number: i32) {
        let Some(Partition { join, .. }) = self.partitions.get_mut(&number) else { return };
        for settled in join.take_settled() {
            let began = traces::on().then(Timestamp::now);
            match self.classifier.classify(number, settled) {
                Classified::Exchange(row, served) => {
                    // What its calls come to belongs to the result.
                    if served.is_none() {
                        trace::compared(&row, began);
                    }
                    self.shared.metrics.classified(1);
                    self.pending_bytes += row.weight();
                    self.unsettled.extend(served.map(|served| (self.pending.exchanges.len(), served)));
                    self.pending.exchanges.push(*row);
                }
                Classified::Range(row) => {
                    let offsets = row.last_offset - row.first_offset + 1;
                    self.shared.metrics.classified(offsets);
                    self.pending.ranges.push(row);
                }
            }
        }
    }
}
