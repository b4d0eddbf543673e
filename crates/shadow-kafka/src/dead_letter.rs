//! What cannot be read goes to the dead-letter topic, whole and with its reason, and the stream goes on.

use bytes::Bytes;
use shadow_record::{DeadLetter, DeadLetterReason, Timestamp, encode, topics};

use crate::{Consumed, Delivery, Outgoing, Producer};

/// Files `record` under `reason`. Its key is `topic/partition/offset`, so filing it twice changes nothing.
///
/// Repeat it until it is [`Delivery::Acknowledged`] before committing past the record.
pub async fn dead_letter(
    producer: &Producer,
    record: &Consumed,
    reason: DeadLetterReason,
    detail: &str,
    instance: &str,
) -> Delivery {
    let letter = DeadLetter {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        reason,
        detail: detail.to_owned(),
        bytes: record.payload.clone(),
        instance: instance.to_owned(),
        at: Timestamp::now(),
    };
    let key = format!("{}/{}/{}", record.topic, record.partition, record.offset);
    let payload: Bytes = encode(&letter);
    let out = Outgoing { topic: topics::DEAD_LETTER, partition: None, key: Some(key.as_bytes()), payload: &payload };
    producer.publish(out).await
}
