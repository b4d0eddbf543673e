//! How people and instances agree on what runs: launches, rates, the kill switch and heartbeats.
//!
//! [`ControlWriter`] puts a [`ControlRecord`] on the compacted control topic; every instance folds the topic into a
//! [`ControlState`] through its [`ControlFeed`] and lets each launch's [`Gate`] follow it. [`Heart`] publishes heartbeats, reads
//! its own back, and shuts the gates when it cannot (the lease): an instance that has lost Kafka cannot be told to stop, so it
//! stops by itself.
//!
//! Guarantees: a gate starts shut and opens only after the control topic was read to its end; a control record that this
//! version cannot read pauses what it speaks of; nothing is sent while a gate is shut.

mod board;
mod feed;
mod fellows;
mod gate;
mod heart;
mod launch;
mod mark;
mod ramp;
mod record;
mod replay;
mod shares;
mod state;
mod trace_id;

pub use board::{Member, StatusBoard};
pub use feed::{ControlFeed, ControlWriter, ensure_shared_topics};
pub use fellows::Fellow;
pub use gate::{Cause, Gate};
pub use heart::{Heart, HeartConfig, LastWord, Subject};
pub use launch::{Comparison, Control, Filters, Launch, LaunchLimits, LaunchStatus};
pub use mark::{Leg, MARK_HEADER, Mark, in_baggage, to_baggage};
pub use ramp::{OnFail, Ramp, RampState, Step};
pub use record::{Change, ControlError, ControlRecord, Pause, Rate, Upstream};
pub use replay::{
    Breaker, Handshake, JsonPlace, LearnRule, Order, Replay, RequestPart, SampleBy, Sending, Timing, WritePolicy,
    WriteRule, may_be_set,
};
pub use shares::{Shares, SharesError, Standing};
pub use state::ControlState;
pub use trace_id::TraceId;
