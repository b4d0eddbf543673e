//! Heartbeats and the lease.
//!
//! Every interval the instance publishes one [`Status`] for each of its subjects with `acks=all` and must read it back from the
//! topic: that proves the whole way from the instance to Kafka and back, which is the way a pause would come. The lease runs
//! from the moment a heartbeat was sent, not from when it was read, so a slow broker cannot stretch it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shadow_kafka::{Delivery, KafkaConfig, KafkaError, Outgoing, Producer, ProducerLimits, Tail, TailEvent, TailFrom};
use shadow_record::{LaunchName, Role, State, Status, Timestamp, decode, encode, topics};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fellows::{Fellow, Fellows};
use crate::{Cause, Gate};

/// How one instance presents itself.
#[derive(Clone, Debug)]
pub struct HeartConfig {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// Instance name; two running instances must not share one.
    pub instance: String,
    /// Which service it is.
    pub role: Role,
    /// Logical service; empty for several.
    pub service: String,
    /// Start of the process.
    pub epoch: Timestamp,
    /// Time between heartbeats.
    pub interval: Duration,
    /// How long after sending a heartbeat that came back the gates may stay open.
    pub lease: Duration,
}

impl HeartConfig {
    /// Two heartbeats a second and a lease of three seconds.
    pub fn of(kafka: &KafkaConfig, instance: impl Into<String>, role: Role, service: impl Into<String>) -> Self {
        Self {
            kafka: kafka.clone(),
            instance: instance.into(),
            role,
            service: service.into(),
            epoch: Timestamp::now(),
            interval: Duration::from_millis(500),
            lease: Duration::from_secs(3),
        }
    }
}

/// What a heartbeat speaks of: the instance itself or one launch on it.
#[derive(Clone)]
pub struct Subject {
    /// `None` for the instance itself.
    pub launch: Option<LaunchName>,
    /// The launch's gate; it gives state, acknowledged version and last send, and obeys the lease.
    pub gate: Option<Arc<Gate>>,
    /// Cumulative counters.
    pub counters: Arc<dyn Fn() -> BTreeMap<String, i64> + Send + Sync>,
}

/// Whether Kafka has every subject's last heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWord {
    /// It has.
    Acknowledged,
    /// It may not.
    InDoubt,
}

/// The running heart of one instance.
#[derive(Clone)]
pub struct Heart(Arc<Inner>);

struct Inner {
    config: HeartConfig,
    producer: Producer,
    subjects: Mutex<Subjects>,
    fellows: Mutex<Fellows>,
    beat: Notify,
    /// Ended before the last heartbeat, so that nothing follows it.
    beating: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Subjects {
    list: Vec<Subject>,
    sequence: i64,
    /// When heartbeats without an echo were sent, by sequence.
    sent: HashMap<i64, Instant>,
    leased_until: Option<Instant>,
}

impl Heart {
    /// Starts beating until `stop`; a last heartbeat is [`Heart::stopped`]'s.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn spawn(config: HeartConfig, stop: CancellationToken) -> Result<Self, KafkaError> {
        let limits = ProducerLimits { queue_bytes: 1 << 20, message_timeout: config.lease.max(Duration::from_secs(1)) };
        let producer = Producer::new(&config.kafka, &limits)?;
        let heart = Self(Arc::new(Inner {
            fellows: Mutex::new(Fellows::new(config.lease)),
            config,
            producer,
            subjects: Mutex::default(),
            beat: Notify::new(),
            beating: Mutex::default(),
        }));
        let beating = tokio::spawn(heart.clone().run(stop.clone()));
        heart.0.beating.lock().unwrap_or_else(PoisonError::into_inner).replace(beating);
        tokio::spawn(heart.clone().listen(stop));
        Ok(heart)
    }

    /// Speaks of one more subject from now on.
    pub fn register(&self, subject: Subject) {
        let mut subjects = self.subjects();
        if let (Some(gate), Some(until)) = (&subject.gate, subjects.leased()) {
            gate.lease(until);
        }
        subjects.list.push(subject);
        drop(subjects);
        self.beat_now();
    }

    /// No longer speaks of `launch`, after one last word that it stopped here.
    pub fn unregister(&self, launch: &LaunchName) {
        let mut subjects = self.subjects();
        let (gone, kept) = subjects.list.drain(..).partition(|s| s.launch.as_ref() == Some(launch));
        subjects.list = kept;
        let gone: Vec<Subject> = gone;
        drop(subjects);
        for subject in gone {
            self.publish(&subject, Some(State::Stopped));
        }
    }

    /// The live members of `launch`, this one among them, as their heartbeats have come in.
    pub fn fellows(&self, launch: &LaunchName) -> Vec<Fellow> {
        self.0.fellows.lock().unwrap_or_else(PoisonError::into_inner).of(launch, Instant::now())
    }

    /// Publishes at once, for an acknowledgement that somebody waits for.
    pub fn beat_now(&self) {
        self.0.beat.notify_one();
    }

    /// The last heartbeat: call when everything has drained. No other follows it.
    pub async fn stopped(&self) -> LastWord {
        let beating = self.0.beating.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(beating) = beating {
            beating.abort();
            // Its end is what matters, not that it was aborted.
            drop(beating.await);
        }
        let list = self.subjects().list.clone();
        let acknowledged = Arc::new(AtomicUsize::new(0));
        for subject in &list {
            let acknowledged = acknowledged.clone();
            self.publish_and(subject, Some(State::Stopped), move |delivery| {
                if matches!(delivery, Delivery::Acknowledged { .. }) {
                    acknowledged.fetch_add(1, Ordering::Release);
                }
            });
        }
        self.0.producer.flush(Duration::from_secs(2)).await;
        if acknowledged.load(Ordering::Acquire) == list.len() { LastWord::Acknowledged } else { LastWord::InDoubt }
    }

    async fn run(self, stop: CancellationToken) {
        let mut beats = tokio::time::interval(self.0.config.interval);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Finer than the interval, so that a lease that runs out is noticed promptly.
        let mut watch = tokio::time::interval((self.0.config.lease / 20).max(Duration::from_millis(10)));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = watch.tick() => self.apply_lease(),
                () = self.0.beat.notified() => self.beat(None),
                _ = beats.tick() => self.beat(None),
            }
        }
    }

    fn beat(&self, state: Option<State>) {
        let list = self.subjects().list.clone();
        for subject in &list {
            self.publish(subject, state);
        }
    }

    fn publish(&self, subject: &Subject, state: Option<State>) {
        self.publish_and(subject, state, drop);
    }

    fn publish_and(&self, subject: &Subject, state: Option<State>, told: impl FnOnce(Delivery) + Send + 'static) {
        let config = &self.0.config;
        let mut subjects = self.subjects();
        let sequence = subjects.sequence;
        subjects.sequence += 1;
        subjects.sent.insert(sequence, Instant::now());
        let horizon = Instant::now().checked_sub(config.lease);
        subjects.sent.retain(|_, at| horizon.is_none_or(|h| *at >= h));
        drop(subjects);
        let gate = subject.gate.as_ref();
        let status = Status {
            instance: config.instance.clone(),
            role: config.role,
            service: config.service.clone(),
            launch: subject.launch.clone(),
            epoch: config.epoch.micros(),
            sequence,
            at: Timestamp::now(),
            state: state.unwrap_or_else(|| gate.map_or(State::Running, |gate| state_of(gate))),
            control_version: gate.map_or(-1, |gate| gate.version()),
            heard_at: gate.and_then(|gate| gate.heard_at()),
            last_send_at: gate.and_then(|gate| gate.last_send()),
            counters: (subject.counters)(),
        };
        let out = Outgoing {
            topic: topics::STATUS,
            partition: Some(0),
            key: Some(config.instance.as_bytes()),
            payload: &encode(&status),
        };
        if let Err(error) = self.0.producer.send(out, told) {
            tracing::debug!(%error, "heartbeat not queued");
        }
    }

    /// Reads heartbeats back; its own extend the lease.
    async fn listen(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                result = self.follow() => if let Err(error) = result {
                    tracing::debug!(%error, "waiting for the status topic");
                },
            }
            tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(self.0.config.interval) => {} }
        }
    }

    async fn follow(&self) -> Result<(), KafkaError> {
        let tail = Tail::open(&self.0.config.kafka, topics::STATUS, TailFrom::End).await?;
        loop {
            let TailEvent::Record(record) = tail.recv().await? else { continue };
            let Ok(status) = decode::<Status>(&record.payload) else { continue };
            if status.instance == self.0.config.instance && status.epoch == self.0.config.epoch.micros() {
                self.echoed(status.sequence);
            }
            self.0.fellows.lock().unwrap_or_else(PoisonError::into_inner).hear(status, Instant::now());
        }
    }

    fn echoed(&self, sequence: i64) {
        let mut subjects = self.subjects();
        if let Some(sent) = subjects.sent.remove(&sequence) {
            let until = sent + self.0.config.lease;
            subjects.leased_until = subjects.leased_until.max(Some(until));
        }
        drop(subjects);
        self.apply_lease();
    }

    fn apply_lease(&self) {
        let subjects = self.subjects();
        for gate in subjects.list.iter().filter_map(|s| s.gate.as_ref()) {
            match subjects.leased() {
                Some(until) => gate.lease(until),
                None if gate.is_shut_by(Cause::Lease) => {}
                None => {
                    gate.shut(Cause::Lease);
                    tracing::warn!("heartbeats do not come back from Kafka; sending stops until they do");
                }
            }
        }
    }

    fn subjects(&self) -> MutexGuard<'_, Subjects> {
        self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subjects {
    /// The end of the lease, while it lasts.
    fn leased(&self) -> Option<Instant> {
        self.leased_until.filter(|until| Instant::now() < *until)
    }
}

fn state_of(gate: &Gate) -> State {
    if gate.is_open() {
        State::Running
    } else if gate.is_shut_by(Cause::Starting) {
        State::Starting
    } else {
        State::Paused
    }
}
