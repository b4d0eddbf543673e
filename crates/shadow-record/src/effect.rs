//! One outbound call of a version: what it asked of somebody else while it served a request.
//!
//! The stub records those of the candidate and the control, the capture agent's egress those of the primary.

use serde::{Deserialize, Serialize};

use crate::outcome::reason;
use crate::{LaunchName, Request, RequestId, Response, ServiceName, Timestamp};

/// One outbound call. See `schemas/SideEffect.avsc` for units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // documented field by field in the schema
pub struct SideEffect {
    pub service: ServiceName,
    pub side: Side,
    pub instance: String,
    pub epoch: i64,
    pub sequence: i64,
    pub at: Timestamp,
    pub total_us: i64,
    pub request_id: Option<RequestId>,
    pub launch: Option<LaunchName>,
    pub attempt: i32,
    pub correlated_by: CorrelatedBy,
    pub trace_id: Option<String>,
    pub destination: String,
    pub route: String,
    pub rule: Option<String>,
    pub decision: Decision,
    pub fault: Option<String>,
    pub request: Request,
    pub response: Option<Response>,
    pub ruleset: String,
    pub key_id: String,
    pub send: Option<i64>,
}

reason! {
    /// Which version called.
    Side {
        /// One this version does not know.
        Other = "other",
        /// The live version.
        Primary = "primary",
        /// The version in the shadow.
        Candidate = "candidate",
        /// The second copy of the live version.
        Control = "control",
    }
}

reason! {
    /// What in a call told which request it was made for.
    CorrelatedBy {
        /// Something this version does not know.
        Other = "other",
        /// Nothing.
        None = "none",
        /// The signed mark, in its own header.
        Mark = "mark",
        /// The signed mark, in the W3C baggage.
        Baggage = "baggage",
        /// The trace ID that the replayer gave.
        Trace = "trace",
        /// The client's own request ID, passed on.
        CorrelationId = "correlation_id",
        /// No other request was under way.
        Alone = "alone",
    }
}

reason! {
    /// How a call was answered.
    Decision {
        /// In a way this version does not know.
        Other = "other",
        /// By a rule.
        Answered = "answered",
        /// By a rule, as an earlier call with the same idempotency key was.
        Again = "again",
        /// Refused: no rule matches.
        Unmatched = "unmatched",
        /// Refused: the rule could not be carried out.
        RuleFailed = "rule_failed",
        /// By whom it was for; of the primary.
        Forwarded = "forwarded",
        /// As the primary's call was.
        Mirrored = "mirrored",
    }
}
