//! Records that could not be read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// An unreadable record and why; (topic, partition, offset) identify it, so finding it twice changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // documented field by field in the schema
pub struct DeadLetter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub reason: DeadLetterReason,
    pub detail: String,
    #[serde(with = "crate::text_bytes")]
    pub bytes: Bytes,
    pub instance: String,
    pub at: Timestamp,
}

/// Why a record could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterReason {
    /// A reason this version does not know.
    Other,
    /// Not Avro single-object encoding, or the content contradicts its schema.
    Undecodable,
    /// Written with a schema this version does not know; upgrade readers before writers.
    UnknownSchema,
    /// A readable record of a kind that does not belong in the topic.
    UnexpectedKind,
    /// The record speaks of another partition than the one it stands in.
    WrongPartition,
    /// The replayed topic promised an outcome for this captured offset and held none that could be read.
    OutcomeLost,
}

impl DeadLetterReason {
    /// The reason as records, tables and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Undecodable => "undecodable",
            Self::UnknownSchema => "unknown_schema",
            Self::UnexpectedKind => "unexpected_kind",
            Self::WrongPartition => "wrong_partition",
            Self::OutcomeLost => "outcome_lost",
        }
    }
}
