//! What cannot be read goes to the dead-letter topic with its reason, and the stream goes on.

use bytes::Bytes;
use shadow_record::{DeadLetter, DeadLetterReason, Timestamp, encode, topics};

use crate::{Consumed, Delivery, Outgoing, Producer};

/// Most of a record that its letter keeps, 1 MiB: a letter must be smaller than what its topic takes.
const LONGEST: usize = 1 << 20;

/// Files `record` under `reason`, cut at 1 MiB. Its key is `topic/partition/offset`, so filing it twice changes nothing.
///
/// Repeat it until it is [`Delivery::Acknowledged`] before committing past the record.
pub async fn dead_letter(
    producer: &Producer,
    record: &Consumed,
    reason: DeadLetterReason,
    detail: &str,
    instance: &str,
) -> Delivery {
    let length = record.payload.len();
    let cut = if length > LONGEST { format!(" (the first {LONGEST} of {length} bytes)") } else { String::new() };
    let letter = DeadLetter {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        reason,
        detail: format!("{detail}{cut}"),
        bytes: record.payload.slice(..length.min(LONGEST)),
        instance: instance.to_owned(),
        at: Timestamp::now(),
    };
    let key = format!("{}/{}/{}", record.topic, record.partition, record.offset);
    let payload: Bytes = encode(&letter);
    let out = Outgoing { topic: topics::DEAD_LETTER, partition: None, key: Some(key.as_bytes()), payload: &payload };
    producer.publish(out).await
}
