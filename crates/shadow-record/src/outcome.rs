//! What became of captured exchanges in one launch, as the replayer publishes it.
//!
//! Guarantee: an [`Outcome`] in memory is always whole. A record whose fields contradict each other does not decode.

use serde::{Deserialize, Serialize, Serializer};

use crate::{LaunchName, RequestId, Response, Timestamp};

/// The outcome of one captured record. See `schemas/ReplayedExchange.avsc` for units.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Wire")]
#[allow(missing_docs)] // documented field by field in the schema
pub struct ReplayedExchange {
    pub launch: LaunchName,
    pub partition: i32,
    pub offset: i64,
    pub low_watermark: i64,
    pub appended_at: Timestamp,
    pub request_id: Option<RequestId>,
    pub replayer: String,
    pub attempt: i32,
    pub intended_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub first_byte_us: Option<i64>,
    pub total_us: Option<i64>,
    pub outcome: Outcome,
    pub control: Option<ControlAnswer>,
    pub session: Option<String>,
    pub held_by: Option<HeldBy>,
    pub rewritten: Vec<String>,
    pub ruleset: String,
    pub key_id: String,
    pub send: Option<i64>,
    pub alone: bool,
}

/// What a second copy of the live build did with the same request at the same moment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "WireControl<Response>")]
pub struct ControlAnswer {
    /// When it was handed to the connection.
    pub sent_at: Timestamp,
    /// From then to the answer's first byte, microseconds.
    pub first_byte_us: Option<i64>,
    /// From then to the last byte or to the failure, microseconds; `None` when it was cancelled.
    pub total_us: Option<i64>,
    /// The masked answer, or why there is none.
    pub answer: Result<Response, FailureClass>,
}

/// What became of one captured exchange in one launch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The candidate answered.
    Completed(Response),
    /// It was sent, or tried to be, and gave no complete answer.
    Failed(FailureClass),
    /// It was not sent.
    Skipped(SkipReason),
    /// The captured record could not be read and went to the dead-letter topic.
    DeadLettered,
}

/// [`Outcome`] without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum OutcomeKind {
    Other,
    Completed,
    Failed,
    Skipped,
    DeadLettered,
}

impl Outcome {
    /// Which outcome this is.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Completed(_) => OutcomeKind::Completed,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::Skipped(_) => OutcomeKind::Skipped,
            Self::DeadLettered => OutcomeKind::DeadLettered,
        }
    }
}

/// An enumeration whose members have one spelling everywhere.
macro_rules! reason {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Every reason, in the order of the schema.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The reason as records, tables and metrics spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

pub(crate) use reason;

reason! {
    /// Why a request that was due gave no complete answer.
    FailureClass {
        /// A class this version does not know.
        Other = "other",
        /// No connection to the candidate.
        Connect = "connect",
        /// No answer in time.
        Timeout = "timeout",
        /// The connection broke before the answer was complete.
        Reset = "reset",
        /// The candidate broke the protocol.
        Protocol = "protocol",
        /// The kill switch cancelled it in flight.
        Killed = "killed",
        /// The target is a known upstream of production or is not allow-listed.
        TargetRefused = "target_refused",
        /// The captured request cannot be expressed as an HTTP request.
        RequestInvalid = "request_invalid",
    }
}

reason! {
    /// Why captured offsets were not sent.
    SkipReason {
        /// A reason this version does not know.
        Other = "other",
        /// Outside the launch's sample.
        SampledOut = "sampled_out",
        /// Excluded by the launch's filters.
        Filtered = "filtered",
        /// Not a safe method, and the launch declares no isolation boundary.
        UnsafeMethod = "unsafe_method",
        /// The request's body did not leave the agent whole.
        UnreplayableBody = "unreplayable_body",
        /// An earlier request of the same session did not finish within the limit.
        SessionStuck = "session_stuck",
        /// Older than the launch allows.
        TooOld = "too_old",
        /// Lost to retention before it was read.
        Expired = "expired",
        /// The offset holds no record (a compacted record or a transaction marker).
        NoRecord = "no_record",
        /// The launch's write policy leaves its route out.
        WritePolicy = "write_policy",
        /// The launch's write policy only records that it would have been sent.
        RecordOnly = "record_only",
    }
}

reason! {
    /// What made a request leave later than the pacer meant it to.
    HeldBy {
        /// Something this version does not know.
        Other = "other",
        /// The request before it in its session had not been answered.
        Session = "session",
        /// The ceiling on requests in flight was reached.
        Concurrency = "concurrency",
        /// The circuit breaker was open.
        Breaker = "breaker",
    }
}

/// Consecutive captured offsets that one launch did not replay, for one reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // documented field by field in the schema
pub struct SkippedRange {
    pub launch: LaunchName,
    pub partition: i32,
    pub first: i64,
    pub last: i64,
    pub low_watermark: i64,
    pub reason: SkipReason,
    pub replayer: String,
    pub at: Timestamp,
}

/// The flat form of [`ReplayedExchange`] that the schema describes.
#[derive(Deserialize)]
#[serde(rename = "ReplayedExchange")]
struct Wire {
    launch: LaunchName,
    partition: i32,
    offset: i64,
    low_watermark: i64,
    appended_at: Timestamp,
    request_id: Option<RequestId>,
    replayer: String,
    attempt: i32,
    intended_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
    first_byte_us: Option<i64>,
    total_us: Option<i64>,
    outcome: OutcomeKind,
    failure: Option<FailureClass>,
    skip: Option<SkipReason>,
    response: Option<Response>,
    control: Option<ControlAnswer>,
    session: Option<String>,
    held_by: Option<HeldBy>,
    #[serde(default)]
    rewritten: Vec<String>,
    ruleset: String,
    key_id: String,
    send: Option<i64>,
    #[serde(default)]
    alone: bool,
}

/// The flat form of [`ControlAnswer`] that the schema describes.
#[derive(Serialize, Deserialize)]
#[serde(rename = "ControlAnswer")]
struct WireControl<R> {
    sent_at: Timestamp,
    first_byte_us: Option<i64>,
    total_us: Option<i64>,
    response: Option<R>,
    failure: Option<FailureClass>,
}

/// The control's fields contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("a control's answer must carry either a response or a failure")]
struct ContradictoryControl;

impl TryFrom<WireControl<Response>> for ControlAnswer {
    type Error = ContradictoryControl;

    fn try_from(w: WireControl<Response>) -> Result<Self, ContradictoryControl> {
        let answer = match (w.response, w.failure) {
            (Some(response), None) => Ok(response),
            (None, Some(class)) => Err(class),
            _ => return Err(ContradictoryControl),
        };
        Ok(Self { sent_at: w.sent_at, first_byte_us: w.first_byte_us, total_us: w.total_us, answer })
    }
}

impl Serialize for ControlAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { sent_at, first_byte_us, total_us, answer } = self;
        let (sent_at, first_byte_us, total_us) = (*sent_at, *first_byte_us, *total_us);
        let (response, failure) = (answer.as_ref().ok(), answer.as_ref().err().copied());
        WireControl { sent_at, first_byte_us, total_us, response, failure }.serialize(serializer)
    }
}

/// The outcome's fields contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("an outcome of kind {0:?} must carry exactly the field that belongs to it")]
struct ContradictoryOutcome(OutcomeKind);

impl TryFrom<Wire> for ReplayedExchange {
    type Error = ContradictoryOutcome;

    fn try_from(w: Wire) -> Result<Self, ContradictoryOutcome> {
        let outcome = match (w.outcome, w.response, w.failure, w.skip) {
            (OutcomeKind::Completed, Some(response), None, None) => Outcome::Completed(response),
            (OutcomeKind::Failed, None, Some(class), None) => Outcome::Failed(class),
            (OutcomeKind::Skipped, None, None, Some(reason)) => Outcome::Skipped(reason),
            (OutcomeKind::DeadLettered, None, None, None) => Outcome::DeadLettered,
            (kind, ..) => return Err(ContradictoryOutcome(kind)),
        };
        Ok(Self {
            launch: w.launch,
            partition: w.partition,
            offset: w.offset,
            low_watermark: w.low_watermark,
            appended_at: w.appended_at,
            request_id: w.request_id,
            replayer: w.replayer,
            attempt: w.attempt,
            intended_at: w.intended_at,
            sent_at: w.sent_at,
            first_byte_us: w.first_byte_us,
            total_us: w.total_us,
            outcome,
            control: w.control,
            session: w.session,
            held_by: w.held_by,
            rewritten: w.rewritten,
            ruleset: w.ruleset,
            key_id: w.key_id,
            send: w.send,
            alone: w.alone,
        })
    }
}

impl Serialize for ReplayedExchange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut s = serializer.serialize_struct("ReplayedExchange", 24)?;
        s.serialize_field("launch", &self.launch)?;
        s.serialize_field("partition", &self.partition)?;
        s.serialize_field("offset", &self.offset)?;
        s.serialize_field("low_watermark", &self.low_watermark)?;
        s.serialize_field("appended_at", &self.appended_at)?;
        s.serialize_field("request_id", &self.request_id)?;
        s.serialize_field("replayer", &self.replayer)?;
        s.serialize_field("attempt", &self.attempt)?;
        s.serialize_field("intended_at", &self.intended_at)?;
        s.serialize_field("sent_at", &self.sent_at)?;
        s.serialize_field("first_byte_us", &self.first_byte_us)?;
        s.serialize_field("total_us", &self.total_us)?;
        s.serialize_field("outcome", &self.outcome.kind())?;
        let (response, failure, skip) = match &self.outcome {
            Outcome::Completed(response) => (Some(response), None, None),
            Outcome::Failed(class) => (None, Some(*class), None),
            Outcome::Skipped(reason) => (None, None, Some(*reason)),
            Outcome::DeadLettered => (None, None, None),
        };
        s.serialize_field("failure", &failure)?;
        s.serialize_field("skip", &skip)?;
        s.serialize_field("response", &response)?;
        s.serialize_field("control", &self.control)?;
        s.serialize_field("session", &self.session)?;
        s.serialize_field("held_by", &self.held_by)?;
        s.serialize_field("rewritten", &self.rewritten)?;
        s.serialize_field("ruleset", &self.ruleset)?;
        s.serialize_field("key_id", &self.key_id)?;
        s.serialize_field("send", &self.send)?;
        s.serialize_field("alone", &self.alone)?;
        s.end()
    }
}
