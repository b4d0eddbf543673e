//! Step 4: settle. What both versions asked of others while they served a request, compared: the fault that hurts most, charging twice, shows
//! in no answer.
//!
//! ```text
//! captured and replayed record -> Served    what must be known of an exchange beside its row
//! shadow.effects.<service>  -> two feeds -> own      which calls belong to it
//!                                        -> intents  which of them are compared
//!                                        -> compare  calls, then pairs of calls, then their order
//!                                        -> judge    what that comes to, or why it cannot be told
//!                                        -> join     into the row of the exchange
//! ```
//!
//! Effects have no offset to merge by, so an exchange settles for a declared window of the broker's time: what was appended until then counts,
//! what came later does not. Everything here but the feeds is pure.
//!
//! Guarantees: reading the same topics again gives the same rows, unless memory was short (`forgotten`); calls that several requests may have made
//! are never given to one of them by guess.

use shadow_record::{RequestId, Timestamp};

mod compare;
#[cfg(test)]
mod examples;
mod intents;
mod join;
mod judge;
mod order;
mod own;
mod pair_calls;

pub use compare::{Compared, compare};
pub use intents::{MOST_CALLS, intents};
pub use join::join;
pub use judge::{EffectsResult, Judge, Judged, Reason};
pub use own::Held;

/// What settling an exchange needs beside its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The captured request.
    pub request_id: RequestId,
    /// Its route, as signatures have it.
    pub route: String,
    /// When the primary served it, by the agent's clock.
    pub primary: Span,
    /// When the broker appended the captured record.
    pub captured_at: Timestamp,
    /// Whether the agent recorded every outbound call of the primary.
    pub recorded: bool,
    /// How it was sent; `None` where it was only recorded.
    pub sent: Option<Sent>,
}

/// What settling needs of a request that the candidate answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When the candidate served it, by the replayer's clock.
    pub candidate: Span,
    /// When the control served it; `None` where it gave no answer.
    pub control: Option<Span>,
    /// Whether it went to the control too, answered or not.
    pub to_control: bool,
    /// When the broker appended the replayed record.
    pub replayed_at: Timestamp,
    /// Number of the send.
    pub send: Option<i64>,
    /// Whether no other request was under way.
    pub alone: bool,
    /// Whether it was sent so that nothing should be done.
    pub dry_run: bool,
}

/// From the first byte of a request to the last of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Span {
    /// A span that took `total_us` microseconds.
    pub fn of(from: Timestamp, total_us: i64) -> Self {
        Self { from, until: Timestamp(from.micros().saturating_add(total_us.max(0))) }
    }
}
