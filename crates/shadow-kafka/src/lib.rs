//! Sole owner of the Kafka client. Everything that touches a broker goes through here, so that the settings that make the
//! flow safe are in one place:
//!
//! - [`Producer`]: idempotent, `acks=all`, bounded queue, [`Producer::send`] never blocks, and every record ends in exactly
//!   one [`Delivery`]: acknowledged, rejected or in doubt.
//! - [`GroupConsumer`]: range assignment, no automatic commits, no silent offset reset. Rebalances are events on the caller's
//!   own task, so there are no callbacks and no locks; what retention took is reported, not skipped.
//! - [`Tail`]: one whole topic without a group, with word of when its end was reached.
//! - [`Admin`]: topics with explicit partition counts.
//!
//! Deliberately absent: transactions (the flow is idempotent by offset instead), automatic topic creation, and Kafka's
//! default partitioners (they differ between clients; callers choose the partition).

mod admin;
mod config;
mod consumer;
mod dead_letter;
mod error;
mod event;
mod producer;
mod progress;
mod tail;
mod watermarks;

pub use admin::{Admin, Cleanup, TopicSpec};
pub use config::{KafkaConfig, Mechanism};
pub use consumer::GroupConsumer;
pub use dead_letter::dead_letter;
pub use error::KafkaError;
pub use event::{Consumed, Event, FetchLimits, Start, Started, TopicPartition};
pub use producer::{Delivery, Outgoing, Producer, ProducerLimits, SendError};
pub use progress::GroupProgress;
pub use tail::{Tail, TailEvent, TailFrom};

/// The partition of `count` that a record key belongs to. Keys are HMACs, so their first bytes are already uniform.
pub fn partition_for(key: &[u8; 16], count: i32) -> i32 {
    let head = u64::from_be_bytes(key[..8].try_into().expect("8 of 16 bytes"));
    (head % count.max(1) as u64) as i32
}
