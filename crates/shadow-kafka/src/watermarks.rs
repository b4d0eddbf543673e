//! What a partition holds: its first offset kept and the next to be written, asked of the broker that leads it.

use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use crate::KafkaError;

/// Between looks for a leader.
const RETRY: Duration = Duration::from_millis(100);

/// First offset kept and next offset to be written. Blocks for up to `patience`, in which a leader may be elected or a new client
/// may learn of it.
///
/// # Errors
/// [`KafkaError::Client`].
pub(crate) fn watermarks<C: ConsumerContext>(
    client: &impl Consumer<C>,
    topic: &str,
    partition: i32,
    patience: Duration,
) -> Result<(i64, i64), KafkaError> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(RETRY);
        match client.fetch_watermarks(topic, partition, left) {
            Err(ClientError::MetadataFetch(
                RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable,
            )) if Instant::now() < deadline => std::thread::sleep(RETRY),
            found => return Ok(found?),
        }
    }
}
