//! How a command fails: a cause, a remedy and an exit code (those above 1 are from BSD's `sysexits.h`).

use std::process::ExitCode;

use shadow_kafka::KafkaError;

/// The kind of failure; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer is no: a refusal, a missing thing, a member that did not confirm.
    Negative = 1,
    /// Of `diff`, which answers 0, 1 and 2 as diff(1) does: anything but an answer. Of `preflight`: not ready.
    Trouble = 2,
    /// The command line is wrong; trying again will not help.
    Usage = 64,
    /// What was asked about is not there; of `verdict`, where 1 is an answer.
    Missing = 66,
    /// Kafka or ClickHouse did not answer; trying again may help.
    Unreachable = 69,
    /// Anything else.
    Internal = 70,
    /// Ctrl-C.
    Interrupted = 130,
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        Self::from(kind as u8)
    }
}

/// Why a command failed and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) cause: String,
    /// As an imperative; empty when the cause already says it.
    pub(crate) remedy: String,
}

impl Failure {
    fn of(kind: Kind, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), remedy: remedy.into() }
    }

    pub(crate) fn negative(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::of(Kind::Negative, cause, remedy)
    }

    /// For a command whose exit code 1 is an answer.
    pub(crate) fn without_answer(mut self) -> Self {
        if self.kind == Kind::Negative {
            self.kind = Kind::Missing;
        }
        self
    }

    pub(crate) fn usage(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::of(Kind::Usage, cause, remedy)
    }

    pub(crate) fn unreachable(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::of(Kind::Unreachable, cause, remedy)
    }

    pub(crate) fn trouble(cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::of(Kind::Trouble, cause, remedy)
    }

    /// The same, as `diff` exits with it.
    pub(crate) fn into_trouble(self) -> Self {
        Self { kind: Kind::Trouble, ..self }
    }

    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        Self::of(Kind::Internal, format!("{cause:#}"), "")
    }

    pub(crate) fn interrupted(cause: impl Into<String>) -> Self {
        Self::of(Kind::Interrupted, cause, "")
    }
}

/// What to do when Kafka does not answer.
pub(crate) const KAFKA_REMEDY: &str =
    "start it (`shadowctl devstack up` runs one here), or name it with --kafka-brokers or SHADOW_KAFKA_BROKERS";
/// What to do when ClickHouse does not answer.
pub(crate) const CLICKHOUSE_REMEDY: &str =
    "start it (`shadowctl devstack up` runs one here), or name it with --clickhouse-url or SHADOW_CLICKHOUSE_URL";

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::Unreachable { brokers, cause } => {
                Self::unreachable(format!("cannot reach Kafka at {brokers}: {cause}"), KAFKA_REMEDY)
            }
            KafkaError::Settings(_) => Self::usage(error.to_string(), "correct the file of --kafka-properties"),
            KafkaError::NoSuchTopic(_)
            | KafkaError::PartitionCount { .. }
            | KafkaError::CreateTopic { .. }
            | KafkaError::Delete { .. }
            | KafkaError::GroupInUse(_) => Self::negative(error.to_string(), ""),
            KafkaError::Client(_) | KafkaError::NoAnswer(_) => Self::unreachable(error.to_string(), KAFKA_REMEDY),
            KafkaError::Truncated { .. } | KafkaError::ShuttingDown => Self::internal(error),
        }
    }
}
