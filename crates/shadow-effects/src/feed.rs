//! The handle: what is asked of the reader, and what it has found.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shadow_kafka::KafkaConfig;
use shadow_record::{RequestId, ServiceName, SideEffect, Timestamp, topics};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::reader::Reader;
use crate::store::{Kept, Store};

/// Demands that may wait to be heard.
const DEMANDS: usize = 64;

/// What became of [`Feed::reach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Everything appended in the time asked for has been read.
    Complete,
    /// The topic does not exist: the service has no effects.
    NoTopic,
    /// The feed was stopped.
    Stopped,
}

/// A reader of one service's effects. Clones read the same.
#[derive(Clone, Debug)]
pub struct Feed {
    demands: mpsc::Sender<Demand>,
    store: Arc<Mutex<Store>>,
}

/// Somebody waits until everything appended in some time was read.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// The ends of the partitions, looked up after `until`: what lies beyond them came later.
    pub(crate) ends: Option<Vec<i64>>,
    pub(crate) reached: oneshot::Sender<Reached>,
}

impl Feed {
    /// A feed that keeps the effects that `keep` wants, in at most `most_bytes`; `keep` may take out of them what it does not need. Nothing is
    /// read before the first demand.
    pub fn spawn(
        kafka: KafkaConfig,
        service: &ServiceName,
        keep: impl Fn(&mut SideEffect) -> bool + Send + Sync + 'static,
        most_bytes: usize,
        stop: CancellationToken,
    ) -> Self {
        let (demands, asked) = mpsc::channel(DEMANDS);
        let store = Arc::new(Mutex::new(Store::new(most_bytes)));
        let reader = Reader::new(kafka, topics::effects(service), Box::new(keep), store.clone());
        tokio::spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = reader.run(asked) => {} }
        });
        Self { demands, store }
    }

    /// Waits until everything was read that the broker appended from `from` up to, not including, `until`. A time to come is waited for, by the
    /// clock of this machine; while the broker is away, this waits too.
    ///
    /// `from` decides where reading begins: a demand for earlier times than those read, or for times that were forgotten, begins anew, and so
    /// does one for much later times when nobody waits for what lies between.
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

    /// Drops what was appended before `at`, to make room. Who asks for it again has it read again.
    pub fn forget_before(&self, at: Timestamp) {
        self.store().forget_before(at);
    }

    /// What was appended before this may be missing from the store: memory was short, or retention had taken it from the topic.
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
