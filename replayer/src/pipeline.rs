//! One launch on this instance: consume -> guard -> pace -> rewrite -> send -> publish, then commit.
//!
//! [`run`] owns the group membership. It reads records into their partition's window, hands those that pass the guard to
//! [`dispatch`], which gives each its intended time and a place among the requests in flight; [`replay`] is the rest of one
//! record's way. Committing follows the windows from behind.
//!
//! Guarantees: nothing is committed before its outcome is acknowledged, and nothing beyond an offset that has none; nothing
//! is sent unless the gate lets it pass at that moment, and what is in flight when it shuts is cancelled and recorded; memory
//! is bounded by the windows, however far the launch is behind. There is no order among requests in this form.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use shadow_control::{ControlState, Gate, Launch, Mark};
use shadow_kafka::{
    Admin, Consumed, Event, FetchLimits, GroupConsumer, KafkaConfig, KafkaError, Start, TopicPartition, TopicSpec,
};
use shadow_mask::Masker;
use shadow_record::{
    CapturedExchange, FailureClass, Outcome, Request, RequestId, SkipReason, Timestamp, decode, topics,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::guard::{self, Account};
use crate::metrics::Ledger;
use crate::pace::{Pace, Pacer};
use crate::partition::Partition;
use crate::publish::{Place, Publisher, Times};
use crate::rewrite;
use crate::send::Sender;
use crate::window::{Limits, Range};

/// Between looks at the windows: resuming, closing runs.
const TIDY: Duration = Duration::from_millis(50);
/// Between commits: what a killed member's successor sends again at most.
const COMMIT: Duration = Duration::from_millis(250);
/// The last commit of a member gets at least this long, even when it does not drain.
const SHORTEST_COMMIT: Duration = Duration::from_secs(1);

/// Why a launch's replay ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The captured topic is not there.
    #[error("topic {0} does not exist: no agent has captured this service yet, or the launch names another one")]
    NothingCaptured(String),
    /// The replayed topic does not fit beside the captured one.
    #[error("{replayed} must stand partition by partition beside {captured}: {cause}")]
    ReplayedTopic {
        /// The captured topic.
        captured: String,
        /// The replayed topic.
        replayed: String,
        /// What is wrong.
        cause: KafkaError,
    },
    /// Kafka gave up.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// What every step of one launch's line shares.
pub(crate) struct Line {
    pub(crate) launch: watch::Receiver<Launch>,
    pub(crate) control: watch::Receiver<Arc<ControlState>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) kafka: KafkaConfig,
    pub(crate) masker: Arc<Masker>,
    pub(crate) sender: Sender,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) ledger: Ledger,
    pub(crate) window: Limits,
    pub(crate) drain: Duration,
}

/// A record on its way to the candidate.
struct Due {
    partition: Arc<Partition>,
    place: Place,
    request_id: RequestId,
    request: Request,
    ready: Instant,
}

/// Replays until `stop`, then drains.
pub(crate) async fn run(line: Arc<Line>, stop: CancellationToken) -> Result<(), PipelineError> {
    let mut member = Member::join(line).await?;
    let mut tidy = interval(TIDY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        let step = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            event = member.consumer.recv() => match event {
                Ok(event) => member.consume(event).await,
                Err(error) => Err(error),
            },
            _ = tidy.tick() => member.tidy(),
        };
        if let Err(error) = step {
            break Err(error.into());
        }
    };
    member.leave().await;
    ended
}

/// This instance's membership in the launch's consumer group.
struct Member {
    line: Arc<Line>,
    consumer: Arc<GroupConsumer>,
    captured: Arc<str>,
    partitions: usize,
    held: BTreeMap<i32, Held>,
    due: mpsc::UnboundedSender<Due>,
    pace: watch::Sender<Pace>,
    dispatcher: JoinHandle<()>,
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
    async fn join(line: Arc<Line>) -> Result<Self, PipelineError> {
        let launch = line.launch.borrow().clone();
        let captured = topics::captured(&launch.service);
        let partitions = ensure_replayed(&line.kafka, &captured, &line.publisher.topic).await?;
        let group = topics::replayer_group(&launch.name);
        let fetch = FetchLimits { partition_bytes: line.window.bytes / 2 };
        let consumer = GroupConsumer::subscribe(&line.kafka, &group, std::slice::from_ref(&captured), fetch)?;
        let (due, queue) = mpsc::unbounded_channel();
        let (pace, follow) = watch::channel(Pace::Halted);
        Ok(Self {
            dispatcher: tokio::spawn(dispatch(line.clone(), queue, Pacer::new(follow), launch.limits.max_in_flight)),
            line,
            consumer: Arc::new(consumer),
            captured: captured.into(),
            partitions,
            held: BTreeMap::new(),
            due,
            pace,
            commit: None,
            committed: Instant::now(),
        })
    }

    async fn consume(&mut self, event: Event) -> Result<(), KafkaError> {
        match event {
            Event::Record(record) => self.take(record)?,
            Event::Expired { at, first, last } => {
                tracing::warn!(launch = %self.line.publisher.launch, topic = %at.topic, partition = at.partition, first, last, "retention took records before they were replayed");
                if let Some(held) = self.held.get(&at.partition) {
                    held.partition.skip(Range { first, last, reason: SkipReason::Expired });
                }
            }
            Event::Assigned(assigned) => self.start(assigned).await?,
            Event::Revoked(_) => {
                self.drain().await;
                self.consumer.release().await?;
            }
        }
        Ok(())
    }

    async fn start(&mut self, assigned: Vec<TopicPartition>) -> Result<(), KafkaError> {
        let launch = self.line.launch.borrow().clone();
        let starts: Vec<_> =
            assigned.into_iter().map(|at| Start { otherwise: launch.start_of(at.partition), at }).collect();
        for started in self.consumer.start(&starts).await? {
            if let Some((first, last)) = started.expired {
                tracing::warn!(launch = %launch.name, topic = %started.at.topic, partition = started.at.partition, first, last, "retention took records before they were replayed");
            }
            let partition = Partition::take_over(&started, self.line.window, self.line.publisher.clone());
            self.held.insert(started.at.partition, Held { partition, reading: Reading::On });
        }
        self.follow_pace();
        let held: Vec<_> = self.held.keys().collect();
        tracing::info!(launch = %launch.name, partitions = ?held, "partitions assigned");
        Ok(())
    }

    /// Takes one record in: dead letter, skip, or on to the candidate.
    fn take(&mut self, record: Consumed) -> Result<(), KafkaError> {
        let Some(held) = self.held.get_mut(&record.partition) else { return Ok(()) };
        let partition = held.partition.clone();
        let place = Place { partition: record.partition, offset: record.offset, appended_at: record.appended_at };
        match decode::<CapturedExchange>(&record.payload) {
            Err(error) => {
                if partition.read(record.offset, record.payload.len()) {
                    let (launch, offset) = (&self.line.publisher.launch, record.offset);
                    tracing::warn!(%launch, topic = %record.topic, partition = record.partition, offset, %error, "unreadable record goes to the dead-letter topic");
                    let p = partition.clone();
                    partition.work(async move { p.dead_letter(record, error).await });
                }
            }
            Ok(exchange) => self.judge(&partition, place, record.payload.len(), exchange),
        }
        self.pause_when_full(place.partition)
    }

    fn judge(&self, partition: &Arc<Partition>, place: Place, bytes: usize, exchange: CapturedExchange) {
        let admitted = guard::admit(&self.line.launch.borrow(), &exchange);
        match admitted {
            Err(reason) if guard::account(reason) == Account::Range => {
                partition.skip(Range { first: place.offset, last: place.offset, reason });
            }
            Err(reason) => {
                if partition.read(place.offset, bytes) {
                    let (id, p) = (exchange.request_id, partition.clone());
                    partition.work(async move {
                        p.settle(place, Some(id), Times::default(), Outcome::Skipped(reason)).await;
                    });
                }
            }
            Ok(()) => {
                if partition.read(place.offset, bytes) {
                    let CapturedExchange { request_id, request, .. } = exchange;
                    let due = Due { partition: partition.clone(), place, request_id, request, ready: Instant::now() };
                    // The dispatcher ends only after this member has left.
                    drop(self.due.send(due));
                }
            }
        }
    }

    fn pause_when_full(&mut self, number: i32) -> Result<(), KafkaError> {
        let Some(held) = self.held.get_mut(&number) else { return Ok(()) };
        if held.reading == Reading::On && held.partition.window().is_full() {
            self.consumer.pause(&[TopicPartition { topic: self.captured.clone(), partition: number }])?;
            held.reading = Reading::Paused;
        }
        Ok(())
    }

    /// Resumes partitions that have room again, publishes runs that have waited, commits, follows the rate.
    fn tidy(&mut self) -> Result<(), KafkaError> {
        let mut held_records = 0;
        for (number, held) in &mut self.held {
            held.partition.publish_old_run();
            let window = held.partition.window();
            held_records += window.held();
            if held.reading == Reading::Paused && window.has_room() {
                self.consumer.resume(&[TopicPartition { topic: self.captured.clone(), partition: *number }])?;
                held.reading = Reading::On;
            }
        }
        self.line.ledger.held(held_records);
        self.follow_pace();
        if self.committed.elapsed() >= COMMIT && self.commit.as_ref().is_none_or(JoinHandle::is_finished) {
            self.committed = Instant::now();
            self.commit = self.to_commit().map(|positions| tokio::spawn(commit(self.consumer.clone(), positions)));
        }
        Ok(())
    }

    fn follow_pace(&self) {
        let rate = self.line.control.borrow().rate_of(&self.captured);
        let pace = Pace::share(rate, self.held.len(), self.partitions);
        self.pace.send_if_modified(|current| std::mem::replace(current, pace) != pace);
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
        let drained = timeout(self.line.drain, join_all(partitions.iter().map(|p| p.drained()))).await;
        if drained.is_err() {
            let held: usize = partitions.iter().map(|p| p.window().held()).sum();
            tracing::warn!(launch = %self.line.publisher.launch, held, "drain took too long; the next owner sends the rest again");
        }
        partitions.iter().for_each(|p| p.abandon());
        join_all(partitions.iter().map(|p| p.drained())).await;
        let running = self.commit.take();
        if timeout(self.line.drain.max(SHORTEST_COMMIT), self.commit_last(running)).await.is_err() {
            let launch = &self.line.publisher.launch;
            tracing::warn!(%launch, "the last commit was not answered; the next owner publishes some outcomes again");
        }
        self.held.clear();
        self.follow_pace();
    }

    async fn commit_last(&self, running: Option<JoinHandle<()>>) {
        if let Some(running) = running {
            drop(running.await);
        }
        if let Some(positions) = self.to_commit() {
            commit(self.consumer.clone(), positions).await;
        }
    }

    async fn leave(mut self) {
        self.drain().await;
        self.dispatcher.abort();
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
async fn ensure_replayed(kafka: &KafkaConfig, captured: &str, replayed: &str) -> Result<usize, PipelineError> {
    let admin = Admin::new(kafka)?;
    let Some(partitions) = admin.partitions(captured).await? else {
        return Err(PipelineError::NothingCaptured(captured.to_owned()));
    };
    admin.ensure_topic(&TopicSpec::deleting(replayed, partitions)).await.map_err(|cause| match cause {
        KafkaError::PartitionCount { .. } => {
            PipelineError::ReplayedTopic { captured: captured.to_owned(), replayed: replayed.to_owned(), cause }
        }
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

/// Gives each record its intended time and a place among the requests in flight.
async fn dispatch(line: Arc<Line>, mut queue: mpsc::UnboundedReceiver<Due>, mut pacer: Pacer, max_in_flight: usize) {
    let places = Arc::new(Semaphore::new(max_in_flight.clamp(1, Semaphore::MAX_PERMITS)));
    while let Some(due) = queue.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Some(intended) = slot(&line, &mut pacer, &due).await else { continue };
        let partition = due.partition.clone();
        partition.work(replay(line.clone(), due, intended, place));
    }
}

/// The time for this record, once the gate is open; `None` when its partition goes to another member.
async fn slot(line: &Line, pacer: &mut Pacer, due: &Due) -> Option<Instant> {
    loop {
        if !line.gate.is_open() {
            tokio::select! { () = due.partition.stopping() => return None, () = line.gate.opened() => pacer.restart() }
        }
        tokio::select! {
            biased;
            () = due.partition.stopping() => return None,
            () = line.gate.shutting() => {}
            intended = pacer.due(due.ready) => return Some(intended),
        }
    }
}

/// The rest of one record's way: rewrite, send, mask, publish.
async fn replay(line: Arc<Line>, due: Due, intended: Instant, place: OwnedSemaphorePermit) {
    let Some((times, outcome)) = attempt(&line, &due, intended).await else { return };
    drop(place);
    due.partition.settle(due.place, Some(due.request_id), times, outcome).await;
}

/// Sends it, or gives `None` when its partition went to another member first.
async fn attempt(line: &Line, due: &Due, intended: Instant) -> Option<(Times, Outcome)> {
    let mut times = Times { intended_at: Some(wall_clock(intended)), ..Times::default() };
    let launch = line.launch.borrow().clone();
    let mark = Mark { launch: launch.name, request_id: due.request_id, attempt: 1 };
    let request = match rewrite::request(&launch.candidate, &due.request, &mark, |b| line.masker.record_key(b)) {
        Ok(request) => request,
        Err(unsendable) => {
            tracing::debug!(partition = due.place.partition, offset = due.place.offset, %unsendable, "not sent");
            return Some((times, Outcome::Failed(FailureClass::RequestInvalid)));
        }
    };
    while due.partition.is_stopped() || !line.gate.pass() {
        tokio::select! { biased; () = due.partition.stopping() => return None, () = line.gate.opened() => {} }
    }
    times.sent_at = Some(Timestamp::now());
    let in_flight = line.ledger.sending(intended.elapsed());
    let sent = tokio::select! {
        biased;
        () = line.gate.shutting() => return Some((times, Outcome::Failed(FailureClass::Killed))),
        sent = line.sender.send(request, line.masker.digester()) => sent,
    };
    drop(in_flight);
    line.ledger.answered(sent.total);
    times = Times { sent_at: Some(sent.sent_at), first_byte: sent.first_byte, total: Some(sent.total), ..times };
    let outcome = match sent.answer {
        Ok(answer) => Outcome::Completed(line.masker.response(&due.request.method, &due.request.path, answer)),
        Err(class) => Outcome::Failed(class),
    };
    Some((times, outcome))
}

/// The wall clock's reading at `instant`.
fn wall_clock(instant: Instant) -> Timestamp {
    let (wall, now) = (Timestamp::now(), Instant::now());
    match instant.checked_duration_since(now) {
        Some(ahead) => wall.plus(ahead),
        None => Timestamp(wall.micros() - now.duration_since(instant).as_micros() as i64),
    }
}
