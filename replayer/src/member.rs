//! This instance's membership in a launch's consumer group: which partitions it holds, when it reads and what it commits.
//!
//! Guarantees: a commit never passes an offset without an acknowledged outcome; a partition is given up only after what is
//! in flight for it was waited for (bounded) and committed; a full window pauses its partition and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all};
use shadow_kafka::{Admin, Event, FetchLimits, GroupConsumer, KafkaError, Start, TopicPartition, TopicSpec};
use shadow_record::{LaunchName, SkipReason, topics};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::pace::Tempo;
use crate::partition::Partition;
use crate::pipeline::{Line, PipelineError};
use crate::shares::keep::Keeper;
use crate::turns::Turns;
use crate::window::Range;

/// Between commits: what a killed member's successor sends again at most.
const COMMIT: Duration = Duration::from_millis(250);
/// Longest wait for the last commit of a member. With the drain before it, it fits into the time a service has to end.
const LAST_COMMIT: Duration = Duration::from_millis(1500);

/// This instance's membership in the launch's consumer group.
pub(crate) struct Member {
    line: Arc<Line>,
    consumer: Arc<GroupConsumer>,
    captured: Arc<str>,
    /// Partitions of that topic.
    partitions: usize,
    held: BTreeMap<i32, Held>,
    keeper: Keeper,
    commit: Option<JoinHandle<()>>,
    committed: Instant,
}

struct Held {
    partition: Arc<Partition>,
    reading: Reading,
}

#[derive(Clone, Copy, PartialEq)]
enum Reading {
    On,
    Paused,
}

impl Member {
    /// Joins the group of the launch, whose replayed topic then stands beside the captured one.
    pub(crate) async fn join(line: Arc<Line>) -> Result<Self, PipelineError> {
        let launch = line.launch();
        let captured = topics::captured(&launch.service);
        let admin = Admin::new(&line.kafka)?;
        let partitions = ensure_replayed(&admin, &captured, &line.publisher.topic).await?;
        let group = topics::replayer_group(&launch.name);
        let fetch = FetchLimits { partition_bytes: line.window.bytes / 2 };
        let consumer = GroupConsumer::subscribe(&line.kafka, &group, std::slice::from_ref(&captured), fetch)?;
        let captured: Arc<str> = captured.into();
        Ok(Self {
            keeper: Keeper::start(line.clone(), captured.clone(), partitions, admin),
            line,
            consumer: Arc::new(consumer),
            captured,
            partitions,
            held: BTreeMap::new(),
            commit: None,
            committed: Instant::now(),
        })
    }

    /// The next event of the group.
    pub(crate) async fn recv(&self) -> Result<Event, KafkaError> {
        self.consumer.recv().await
    }

    /// The partition, while it is this member's.
    pub(crate) fn partition(&self, number: i32) -> Option<Arc<Partition>> {
        self.held.get(&number).map(|held| held.partition.clone())
    }

    /// This member's share of the topic's rate and the launch's timing, as they change.
    pub(crate) fn pace(&self) -> watch::Receiver<Tempo> {
        self.keeper.tempo()
    }

    /// Retention took these offsets before they were read.
    pub(crate) fn expired(&self, at: &TopicPartition, first: i64, last: i64) {
        say_expired(&self.line.publisher.launch, at, first, last);
        if let Some(partition) = self.partition(at.partition) {
            partition.skip(Range { first, last, reason: SkipReason::Expired });
        }
    }

    /// Finishes what is under way and gives everything up.
    pub(crate) async fn release(&mut self) -> Result<(), KafkaError> {
        self.drain().await;
        self.consumer.release().await
    }

    /// Takes over newly assigned partitions.
    pub(crate) async fn start(&mut self, assigned: Vec<TopicPartition>) -> Result<(), KafkaError> {
        let launch = self.line.launch();
        let starts: Vec<_> =
            assigned.into_iter().map(|at| Start { otherwise: launch.start_of(at.partition), at }).collect();
        for started in self.consumer.start(&starts).await? {
            if let Some((first, last)) = started.expired {
                say_expired(&launch.name, &started.at, first, last);
            }
            let partition = Partition::take_over(&started, self.line.window, self.line.publisher.clone());
            self.line.ledger.backlogs().take_over(started.at.partition, started.position, started.high);
            self.held.insert(started.at.partition, Held { partition, reading: Reading::On });
        }
        self.line.traffic.holds(self.held.len(), self.partitions);
        self.keeper.hold(self.held.keys().copied());
        let held: Vec<_> = self.held.keys().collect();
        tracing::info!(launch = %launch.name, partitions = ?held, "partitions assigned");
        Ok(())
    }

    /// Partitions that are not read on because most of what is unfinished in them waits for its session.
    pub(crate) fn crowded(&self, turns: &Turns) -> BTreeSet<i32> {
        let paused = self.held.iter().filter(|(_, held)| held.reading == Reading::Paused);
        let crowded =
            paused.filter(|(number, held)| 2 * turns.behind_in(**number) > held.partition.window().unfinished());
        crowded.map(|(number, _)| *number).collect()
    }

    /// Stops reading a partition whose window is full.
    pub(crate) fn pause_when_full(&mut self, number: i32) -> Result<(), KafkaError> {
        let Some(held) = self.held.get_mut(&number) else { return Ok(()) };
        if held.reading == Reading::On && held.partition.window().is_full() {
            self.consumer.pause(&[TopicPartition { topic: self.captured.clone(), partition: number }])?;
            held.reading = Reading::Paused;
        }
        Ok(())
    }

    /// Resumes partitions that have room again, publishes runs that have waited, commits, follows the rate.
    pub(crate) fn tidy(&mut self) -> Result<(), KafkaError> {
        let mut held_records = 0;
        for (number, held) in &mut self.held {
            held.partition.publish_old_run();
            let window = held.partition.window();
            held_records += window.held();
            self.line.ledger.backlogs().unfinished(*number, window.low_watermark());
            if held.reading == Reading::Paused && window.has_room() {
                self.consumer.resume(&[TopicPartition { topic: self.captured.clone(), partition: *number }])?;
                held.reading = Reading::On;
            }
        }
        self.line.ledger.held(held_records);
        if self.committed.elapsed() >= COMMIT && self.commit.as_ref().is_none_or(JoinHandle::is_finished) {
            self.committed = Instant::now();
            self.commit = self.to_commit().map(|positions| tokio::spawn(commit(self.consumer.clone(), positions)));
        }
        Ok(())
    }

    fn to_commit(&self) -> Option<Vec<Commit>> {
        let positions: Vec<_> = self
            .held
            .iter()
            .filter_map(|(number, held)| {
                let position = held.partition.window().to_commit()?;
                let at = TopicPartition { topic: self.captured.clone(), partition: *number };
                Some(Commit { partition: held.partition.clone(), at, position })
            })
            .collect();
        (!positions.is_empty()).then_some(positions)
    }

    /// Stops sending, waits for what is in flight, publishes, commits. What is unfinished then is the next owner's.
    async fn drain(&mut self) {
        let partitions: Vec<_> = self.held.values().map(|held| held.partition.clone()).collect();
        partitions.iter().for_each(Partition::stop);
        let drained = timeout(self.line.drain, join_all(partitions.iter().map(|p| p.drained())));
        // While what is in flight ends: fellows must not count on this member's word any more, nor it write shares.
        let (drained, ()) = join(drained, self.keeper.give_up()).await;
        if drained.is_err() {
            let held: usize = partitions.iter().map(|p| p.window().held()).sum();
            tracing::warn!(launch = %self.line.publisher.launch, held, "drain took too long; the next owner sends the rest again");
        }
        partitions.iter().for_each(|p| p.abandon());
        self.keeper.gave_up();
        join_all(partitions.iter().map(|p| p.ended())).await;
        let running = self.commit.take();
        if timeout(LAST_COMMIT, self.commit_last(running)).await.is_err() {
            let launch = &self.line.publisher.launch;
            tracing::warn!(%launch, "the last commit was not answered; the next owner publishes some outcomes again");
        }
        self.held.clear();
        self.line.traffic.holds(0, self.partitions);
        self.line.ledger.held(0);
    }

    async fn commit_last(&self, running: Option<JoinHandle<()>>) {
        if let Some(running) = running {
            drop(running.await);
        }
        if let Some(positions) = self.to_commit() {
            commit(self.consumer.clone(), positions).await;
        }
    }

    /// Drains and leaves the group.
    pub(crate) async fn leave(mut self) {
        self.drain().await;
        // Also answers an assignment that came just now; the client waits for that before it closes.
        if let Err(error) = self.consumer.release().await {
            tracing::debug!(%error, "partitions not released before leaving");
        }
        match Arc::try_unwrap(self.consumer) {
            Ok(consumer) => consumer.close().await,
            // A commit that is still unanswered holds the consumer, which leaves the group when that ends.
            Err(shared) => drop(shared),
        }
    }
}

/// Makes sure that the replayed topic stands beside the captured one, and gives their partition count.
async fn ensure_replayed(admin: &Admin, captured: &str, replayed: &str) -> Result<usize, PipelineError> {
    let Some(partitions) = admin.partitions(captured).await? else {
        return Err(PipelineError::NothingCaptured(captured.to_owned()));
    };
    admin.ensure_topic(&TopicSpec::deleting(replayed, partitions)).await.map_err(|cause| match cause {
        KafkaError::PartitionCount { .. } => PipelineError::ReplayedTopic {
            captured: captured.to_owned(),
            replayed: replayed.to_owned(),
            cause: Box::new(cause),
        },
        other => other.into(),
    })?;
    Ok(partitions.max(0) as usize)
}

struct Commit {
    partition: Arc<Partition>,
    at: TopicPartition,
    position: i64,
}

/// Commits; what the coordinator refuses is tried again with the next commit, or by the next owner.
async fn commit(consumer: Arc<GroupConsumer>, positions: Vec<Commit>) {
    let offsets: Vec<_> = positions.iter().map(|c| (c.at.clone(), c.position)).collect();
    match consumer.commit(&offsets).await {
        Ok(()) => positions.iter().for_each(|c| c.partition.window().committed(c.position)),
        Err(error) => tracing::warn!(%error, "commit refused; it is tried again"),
    }
}

fn say_expired(launch: &LaunchName, at: &TopicPartition, first: i64, last: i64) {
    let (topic, partition) = (&at.topic, at.partition);
    tracing::warn!(%launch, %topic, partition, first, last, "retention took records before they were replayed");
}
