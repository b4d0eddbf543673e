//! Effects on their way to Kafka.
//!
//! Guarantee: an effect is given up only when the process ends; until then it is published again. A caller waits when too many are on
//! their way: it is the shadow that waits, never production.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shadow_kafka::{Delivery, Outgoing, Producer, partition_for};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

/// Effects on their way at a time.
const MOST: usize = 4096;
/// First pause before publishing again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Publishes the effects of one service.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Inner>);

struct Inner {
    producer: Producer,
    topic: String,
    partitions: i32,
    metrics: Metrics,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Publisher {
    /// Publishes to a topic of so many partitions.
    pub(crate) fn new(producer: Producer, topic: String, partitions: i32, metrics: Metrics) -> Self {
        let (places, tasks) = (Arc::new(Semaphore::new(MOST)), TaskTracker::new());
        Self(Arc::new(Inner { producer, topic, partitions, metrics, places, tasks }))
    }

    /// A place among the effects on their way.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        self.0.places.clone().acquire_owned().await.ok()
    }

    /// Publishes an encoded effect until the broker has it. Effects of one request share their key, and so keep their order.
    pub(crate) fn publish(&self, key: [u8; 16], payload: Bytes, place: Option<OwnedSemaphorePermit>) {
        let inner = self.0.clone();
        self.0.tasks.spawn(async move {
            let mut pause = FIRST_PAUSE;
            let partition = Some(partition_for(&key, inner.partitions));
            let out = Outgoing { topic: &inner.topic, partition, key: Some(&key), payload: &payload };
            loop {
                match inner.producer.publish(out).await {
                    Delivery::Acknowledged { .. } => break,
                    Delivery::Rejected(why) | Delivery::InDoubt(why) => {
                        inner.metrics.published_again();
                        tracing::debug!(why, "effect not acknowledged; published again");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            inner.metrics.recorded();
            drop(place);
        });
    }

    /// Waits until all are acknowledged, at most `patience`; how many are not then.
    pub(crate) async fn finish(&self, patience: Duration) -> usize {
        self.0.tasks.close();
        drop(tokio::time::timeout(patience, self.0.tasks.wait()).await);
        self.0.tasks.len()
    }
}
