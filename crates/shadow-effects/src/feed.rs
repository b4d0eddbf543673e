//! The reader: follows the topic as far as it is asked to, and a little ahead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shadow_kafka::{Admin, Consumed, KafkaConfig, KafkaError, Tail, TailEvent, TailFrom};
use shadow_record::{RequestId, ServiceName, SideEffect, Timestamp, decode, topics};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::{Kept, Store};

/// Between attempts to reach the broker.
const RETRY: Duration = Duration::from_millis(500);
/// What an effect weighs beside its bytes.
const OVERHEAD: usize = 512;

/// What became of [`Feed::reach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Everything appended before the time asked for has been read.
    Complete,
    /// The topic does not exist: the service has no effects.
    NoTopic,
    /// The feed was stopped.
    Stopped,
}

/// A reader of one service's effects. Clones read the same.
#[derive(Clone)]
pub struct Feed {
    demands: mpsc::Sender<Demand>,
    store: Arc<Mutex<Store>>,
}

type Keep = Box<dyn Fn(&SideEffect) -> bool + Send + Sync>;

/// Somebody waits until everything before a time was read.
struct Demand {
    from: Timestamp,
    until: Timestamp,
    /// The ends of the partitions, looked up after `until`: what lies beyond them came later.
    ends: Option<Vec<i64>>,
    reached: oneshot::Sender<Reached>,
}

impl Feed {
    /// A feed that keeps the effects that `keep` wants, in at most `most_bytes`. Nothing is read before the first demand.
    pub fn spawn(
        kafka: KafkaConfig,
        service: &ServiceName,
        keep: impl Fn(&SideEffect) -> bool + Send + Sync + 'static,
        most_bytes: usize,
        stop: CancellationToken,
    ) -> Self {
        let (demands, asked) = mpsc::channel(64);
        let store = Arc::new(Mutex::new(Store::new(most_bytes)));
        let reader = Reader {
            kafka,
            topic: topics::effects(service),
            keep: Box::new(keep),
            store: store.clone(),
            waiting: Vec::new(),
        };
        tokio::spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = reader.run(asked) => {} }
        });
        Self { demands, store }
    }

    /// Waits until everything was read that the broker appended from `from` up to, not including, `until`. A time to come is waited for.
    /// `from` decides where reading begins: a demand for earlier times than those read begins anew.
    pub async fn reach(&self, from: Timestamp, until: Timestamp) -> Reached {
        let (reached, answer) = oneshot::channel();
        let demand = Demand { from, until, ends: None, reached };
        if self.demands.send(demand).await.is_err() {
            return Reached::Stopped;
        }
        answer.await.unwrap_or(Reached::Stopped)
    }

    /// Effects of one request, in the order in which they were appended.
    pub fn of(&self, request: RequestId) -> Vec<Arc<Kept>> {
        self.store().of(request)
    }

    /// Effects that told of no request, appended from `from` to `until`.
    pub fn untold(&self, from: Timestamp, until: Timestamp) -> Vec<Arc<Kept>> {
        self.store().untold(from, until)
    }

    /// Drops what was appended before `at`; nobody will ask for it again.
    pub fn forget_before(&self, at: Timestamp) {
        self.store().forget_before(at);
    }

    /// What was appended before this may have been dropped for want of memory.
    pub fn complete_from(&self) -> Timestamp {
        self.store().complete_from()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.store().bytes()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    kafka: KafkaConfig,
    topic: String,
    keep: Keep,
    store: Arc<Mutex<Store>>,
    waiting: Vec<Demand>,
}

/// Where reading stands.
struct Position {
    /// Everything appended from here on is read.
    from: Timestamp,
    /// The next offset of each partition.
    next: Vec<i64>,
    /// When the last record read of each partition was appended.
    appended: Vec<Timestamp>,
}

/// Why reading begins anew.
enum Anew {
    Earlier,
    Gone,
    Broken(KafkaError),
    NobodyAsks,
}

impl Reader {
    async fn run(mut self, mut asked: mpsc::Receiver<Demand>) {
        loop {
            if self.waiting.is_empty() {
                let Some(demand) = asked.recv().await else { return };
                self.waiting.push(demand);
            }
            match self.read(&mut asked).await {
                Anew::Earlier => {}
                Anew::Gone => {
                    for demand in self.waiting.drain(..) {
                        _ = demand.reached.send(Reached::NoTopic);
                    }
                }
                Anew::Broken(error) => {
                    tracing::debug!(%error, "reading effects interrupted");
                    tokio::time::sleep(RETRY).await;
                }
                Anew::NobodyAsks => return,
            }
        }
    }

    /// Reads from the earliest time that somebody waits for.
    async fn read(&mut self, asked: &mut mpsc::Receiver<Demand>) -> Anew {
        let Some(from) = self.waiting.iter().map(|demand| demand.from).min() else { return Anew::Earlier };
        let opened = async {
            let admin = Admin::new(&self.kafka)?;
            Ok((Tail::open(&self.kafka, &self.topic, TailFrom::Since(from)).await?, admin))
        };
        let (tail, admin) = match opened.await {
            Ok(opened) => opened,
            Err(KafkaError::NoSuchTopic(_)) => return Anew::Gone,
            Err(error) => return Anew::Broken(error),
        };
        for demand in &mut self.waiting {
            demand.ends = None;
        }
        let next = tail.begin().to_vec();
        let mut position = Position { from, appended: vec![Timestamp(i64::MIN); next.len()], next };
        loop {
            self.answer(&position);
            let due = self.waiting.iter().filter(|demand| demand.ends.is_none()).map(|demand| demand.until).min();
            let reads = !self.waiting.is_empty() || self.has_room();
            tokio::select! {
                demand = asked.recv() => match demand {
                    Some(demand) => {
                        let earlier = demand.from < position.from;
                        self.waiting.push(demand);
                        if earlier {
                            return Anew::Earlier;
                        }
                    }
                    None => return Anew::NobodyAsks,
                },
                event = tail.recv(), if reads => match event {
                    Ok(TailEvent::Record(record)) => self.take(record, &mut position),
                    Ok(TailEvent::CaughtUp) => {}
                    Err(error) => return Anew::Broken(error),
                },
                () = passed(due), if due.is_some() => {
                    let now = Timestamp::now();
                    match admin.ends(&self.topic).await {
                        Ok(ends) => for demand in self.waiting.iter_mut().filter(|demand| demand.until <= now) {
                            demand.ends.get_or_insert_with(|| ends.clone());
                        },
                        Err(error) => return Anew::Broken(error),
                    }
                }
            }
        }
    }

    fn take(&self, record: Consumed, position: &mut Position) {
        let Consumed { partition, offset, appended_at, payload, .. } = record;
        if let (Some(next), Some(at)) =
            (position.next.get_mut(partition as usize), position.appended.get_mut(partition as usize))
        {
            (*next, *at) = (offset + 1, appended_at);
        }
        // What cannot be read is dead-lettered by the bookkeeping, which reads the same topic.
        let Ok(effect) = decode::<SideEffect>(&payload) else { return };
        if (self.keep)(&effect) {
            let weight = payload.len() + OVERHEAD;
            self.store().keep(Kept { appended_at, partition, offset, effect }, weight);
        }
    }

    fn answer(&mut self, position: &Position) {
        let reached = |demand: &Demand| {
            position.next.iter().zip(&position.appended).enumerate().all(|(partition, (next, appended))| {
                let end = demand.ends.as_ref().and_then(|ends| ends.get(partition));
                *appended >= demand.until || end.is_some_and(|end| next >= end)
            })
        };
        for demand in self.waiting.extract_if(.., |demand| reached(demand)) {
            _ = demand.reached.send(Reached::Complete);
        }
    }

    fn has_room(&self) -> bool {
        self.store().has_room()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves once `until` has passed.
async fn passed(until: Option<Timestamp>) {
    if let Some(until) = until {
        let left = until.micros() - Timestamp::now().micros();
        tokio::time::sleep(Duration::from_micros(left.max(0) as u64)).await;
    }
}
