//! Effects on their way to Kafka.
//!
//! Guarantee: an effect is given up only when the process ends, or when the broker finds even its bare account too large, which is warned about
//! and counted; until then it is published again. A caller waits when too many are on their way: it is the shadow that waits, never production.

use std::sync::Arc;
use std::time::Duration;

use shadow_kafka::{Delivery, Outgoing, Producer, partition_for};
use shadow_record::{SideEffect, decode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::fitting::{LARGEST, fitting};
use crate::metrics::Metrics;

/// Effects on their way at a time.
pub(crate) const MOST: usize = 4096;
/// First pause before publishing again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How client and broker word it that a record is beyond their limit.
const TOO_LARGE: &str = "message size too large";

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

    /// Publishes an effect until the broker has it. Effects of one request share their key, and so keep their order.
    pub(crate) fn publish(&self, key: [u8; 16], effect: SideEffect, place: Option<OwnedSemaphorePermit>) {
        let inner = self.0.clone();
        self.0.tasks.spawn(async move {
            if inner.until_acknowledged(key, effect).await {
                inner.metrics.recorded();
            } else {
                inner.metrics.given_up();
            }
            drop(place);
        });
    }

    /// Waits until all are acknowledged, no longer than `until`; how many are not then.
    pub(crate) async fn finish(&self, until: Instant) -> usize {
        self.0.tasks.close();
        drop(timeout_at(until, self.0.tasks.wait()).await);
        self.0.tasks.len()
    }
}

impl Inner {
    /// Whether the broker has it in the end; `false` when it is too large for the broker, whatever is left out.
    async fn until_acknowledged(&self, key: [u8; 16], effect: SideEffect) -> bool {
        let partition = Some(partition_for(&key, self.partitions));
        let mut payload = fitting(effect, LARGEST);
        let (mut pause, mut bare) = (FIRST_PAUSE, false);
        loop {
            let out = Outgoing { topic: &self.topic, partition, key: Some(&key), payload: &payload };
            match self.producer.publish(out).await {
                Delivery::Acknowledged { .. } => return true,
                Delivery::Rejected(why) if why.to_ascii_lowercase().contains(TOO_LARGE) => {
                    // Whoever made the topic may have given it a lower limit.
                    let Some(effect) = (!bare).then(|| decode::<SideEffect>(&payload).ok()).flatten() else {
                        let bytes = payload.len();
                        tracing::warn!(
                            why,
                            bytes,
                            topic = self.topic,
                            "effect given up: raise max.message.bytes of the topic"
                        );
                        return false;
                    };
                    (payload, bare) = (fitting(effect, 0), true);
                }
                Delivery::Rejected(why) | Delivery::InDoubt(why) => {
                    self.metrics.published_again();
                    tracing::debug!(why, "effect not acknowledged; published again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shadow_kafka::{KafkaConfig, ProducerLimits};

    use super::*;
    use crate::fitting::tests::effect;
    use crate::metrics::tests::metrics;

    #[tokio::test]
    async fn an_effect_that_is_too_large_whatever_is_left_out_is_given_up_and_counted() {
        // The client refuses it before it looks for a broker.
        let producer = Producer::new(&KafkaConfig::at("127.0.0.1:1"), &ProducerLimits::default()).unwrap();
        let metrics = metrics();
        let publisher = Publisher::new(producer, "shadow.effects.checkout".to_owned(), 1, metrics.clone());
        let large = SideEffect { trace_id: Some("x".repeat(5 << 20)), ..effect(10, 10, 10) };
        publisher.publish([0; 16], large, publisher.place().await);
        assert_eq!(publisher.finish(Instant::now() + Duration::from_secs(60)).await, 0);
        assert_eq!(publisher.0.places.available_permits(), MOST);
        assert_eq!((metrics.counters()["given_up"], metrics.counters()["recorded"]), (1, 0));
    }
}
