//! The reader: follows the topic as far as it is asked to, and a little ahead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shadow_kafka::{Admin, Consumed, KafkaConfig, KafkaError, Tail, TailEvent, TailFrom};
use shadow_record::{SideEffect, Timestamp, decode};
use tokio::sync::mpsc;

use crate::feed::{Demand, Reached};
use crate::position::Position;
use crate::store::{Kept, Store};

/// Between attempts to reach the broker.
const RETRY: Duration = Duration::from_millis(500);
/// What an effect weighs beside its texts.
const OVERHEAD: usize = 1024;
/// What lies so far ahead of everything read is gone to directly.
const FAR: Duration = Duration::from_secs(60);

/// How far the broker's clock may be from this one's.
const CLOCKS: Duration = Duration::from_secs(60);

/// Says which effects are kept.
pub(crate) type Keep = Box<dyn Fn(&mut SideEffect) -> bool + Send + Sync>;

pub(crate) struct Reader {
    kafka: KafkaConfig,
    topic: String,
    keep: Keep,
    store: Arc<Mutex<Store>>,
    waiting: Vec<Demand>,
}

/// Why reading begins anew.
enum Anew {
    Elsewhere,
    Gone,
    Broken(KafkaError),
    NobodyAsks,
}

impl Reader {
    pub(crate) fn new(kafka: KafkaConfig, topic: String, keep: Keep, store: Arc<Mutex<Store>>) -> Self {
        Self { kafka, topic, keep, store, waiting: Vec::new() }
    }

    /// Reads until nobody can ask any more.
    pub(crate) async fn run(mut self, mut asked: mpsc::Receiver<Demand>) {
        loop {
            if self.waiting.is_empty() {
                let Some(demand) = asked.recv().await else { return };
                self.waiting.push(demand);
            }
            match self.read(&mut asked).await {
                Anew::Elsewhere => {}
                Anew::Gone => {
                    for demand in self.waiting.drain(..) {
                        _ = demand.reached.send(Reached::NoTopic);
                    }
                }
                Anew::Broken(error) => {
                    tracing::debug!(%error, topic = self.topic, "reading effects interrupted");
                    tokio::time::sleep(RETRY).await;
                }
                Anew::NobodyAsks => return,
            }
        }
    }

    /// Reads from the earliest time that somebody waits for.
    async fn read(&mut self, asked: &mut mpsc::Receiver<Demand>) -> Anew {
        // Who has given up waiting is not read for.
        self.waiting.retain(|demand| !demand.reached.is_closed());
        let Some(from) = self.waiting.iter().map(|demand| demand.from).min() else { return Anew::Elsewhere };
        let (admin, tail, mut position) = match self.open(from).await {
            Ok(opened) => opened,
            Err(KafkaError::NoSuchTopic(_)) => return Anew::Gone,
            Err(error) => return Anew::Broken(error),
        };
        self.store().begin(from);
        for demand in &mut self.waiting {
            demand.ends = None;
        }
        loop {
            self.answer(&position);
            let due = self.waiting.iter().filter(|demand| demand.ends.is_none()).map(|demand| demand.until).min();
            let reads = !self.waiting.is_empty() || self.store().has_room();
            tokio::select! {
                demand = asked.recv() => {
                    let Some(demand) = demand else { return Anew::NobodyAsks };
                    let mut elsewhere = self.demanded(demand, &position);
                    while let Ok(demand) = asked.try_recv() {
                        elsewhere |= self.demanded(demand, &position);
                    }
                    if elsewhere {
                        return Anew::Elsewhere;
                    }
                }
                event = tail.recv(), if reads => match event {
                    Ok(TailEvent::Record(record)) => self.take(record, &mut position),
                    Ok(TailEvent::CaughtUp) => {}
                    Err(error) => return Anew::Broken(error),
                },
                () = passed(due), if due.is_some() => {
                    let now = Timestamp::now();
                    match admin.ends(&self.topic).await {
                        // Partitions were added.
                        Ok(ends) if !position.is_of(&ends) => return Anew::Elsewhere,
                        Ok(ends) => self.ended(now, ends, &mut position),
                        Err(error) => return Anew::Broken(error),
                    }
                }
            }
        }
    }

    async fn open(&self, from: Timestamp) -> Result<(Admin, Tail, Position), KafkaError> {
        let tail = Tail::open(&self.kafka, &self.topic, TailFrom::Since(from)).await?;
        let admin = Admin::new(&self.kafka)?;
        let begin = tail.begin().to_vec();
        let mut shortened = Vec::with_capacity(begin.len());
        for (partition, &next) in begin.iter().enumerate() {
            let (low, _) = admin.watermarks(&self.topic, partition as i32).await?;
            shortened.push(low > 0 && next <= low);
        }
        if shortened.contains(&true) && self.is_kept_since(from, &admin).await {
            shortened.fill(false);
        }
        Ok((admin, tail, Position::new(from, begin, shortened)))
    }

    /// Whether retention has taken nothing that was appended from `from` on, for all that is known: a partition that has been quiet for longer
    /// than records are kept begins anew, and lacks nothing of today.
    async fn is_kept_since(&self, from: Timestamp, admin: &Admin) -> bool {
        match admin.kept_for(&self.topic).await {
            Ok(kept) => kept.is_some_and(|kept| from.plus(kept) > Timestamp::now().plus(CLOCKS)),
            Err(error) => {
                tracing::warn!(
                    %error,
                    topic = self.topic,
                    "how long calls are kept cannot be told, so some may count as forgotten: may this user DescribeConfigs?"
                );
                false
            }
        }
    }

    /// Takes a demand, and says whether reading must begin elsewhere for it.
    fn demanded(&mut self, demand: Demand, position: &Position) -> bool {
        let earlier = demand.from < position.from() || demand.from < self.store().forgotten_before();
        let far = self.waiting.is_empty() && demand.from > position.frontier().plus(FAR);
        self.waiting.push(demand);
        earlier || far
    }

    fn take(&self, record: Consumed, position: &mut Position) {
        let Consumed { partition, offset, appended_at, payload, .. } = record;
        if let Some(from) = position.passed(partition, offset, appended_at) {
            self.store().lost_before(from);
        }
        // What cannot be read is dead-lettered by the bookkeeping, which reads the same topic.
        let Ok(mut effect) = decode::<SideEffect>(&payload) else { return };
        if (self.keep)(&mut effect) {
            let weight = weight(&effect);
            self.store().keep(Kept { appended_at, partition, offset, effect }, weight);
        }
    }

    /// The partitions ended there at `now`.
    fn ended(&mut self, now: Timestamp, ends: Vec<i64>, position: &mut Position) {
        for demand in self.waiting.iter_mut().filter(|demand| demand.until <= now) {
            demand.ends.get_or_insert_with(|| ends.clone());
        }
        position.ended(now, ends);
    }

    fn answer(&mut self, position: &Position) {
        // Who has given up waiting hears nothing.
        let done = |demand: &mut Demand| {
            demand.reached.is_closed() || position.has_reached(demand.until, demand.ends.as_deref())
        };
        for demand in self.waiting.extract_if(.., done) {
            _ = demand.reached.send(Reached::Complete);
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About what an effect takes in memory.
fn weight(effect: &SideEffect) -> usize {
    let request = &effect.request;
    let headers = request.headers.iter().chain(effect.response.iter().flat_map(|response| &response.headers));
    let headers = headers.map(|header| 64 + header.name.len() + header.value.len()).sum::<usize>();
    let bodies = [Some(&request.body), effect.response.as_ref().map(|response| &response.body)];
    let bodies = bodies.iter().flatten().map(|body| body.content.as_ref().map_or(0, |content| content.len()));
    OVERHEAD + headers + bodies.sum::<usize>() + request.path.len() + request.query.as_ref().map_or(0, String::len)
}

/// Resolves once `until` has passed.
async fn passed(until: Option<Timestamp>) {
    if let Some(until) = until {
        let left = until.micros() - Timestamp::now().micros();
        tokio::time::sleep(Duration::from_micros(left.max(0) as u64)).await;
    }
}
