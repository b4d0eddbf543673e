//! The words of the flow as types, and their wire form.
//!
//! A request's journey is told by these records, in this order:
//! [`CapturedExchange`] (capture agent, topic `shadow.captured.<service>`) becomes a [`ReplayedExchange`] or part of a
//! [`SkippedRange`] (replayer, topic `shadow.replayed.<service>.<launch>`), and the comparator joins the two by captured
//! offset. Beside the flow, every instance publishes [`Status`] and what cannot be read becomes a [`DeadLetter`].
//!
//! This crate does no I/O and knows no Kafka client. [`codec`] guarantees that what one version wrote, every later one reads.

pub mod codec;
mod dead_letter;
mod effect;
mod exchange;
mod names;
mod outcome;
mod route;
mod status;
mod text_bytes;
mod time;

pub use codec::{AnyRecord, DecodeError, Record, decode, decode_any, encode};
pub use dead_letter::{DeadLetter, DeadLetterReason};
pub use effect::{CorrelatedBy, Decision, Side, SideEffect};
pub use exchange::{Body, CaptureError, CapturedExchange, Header, Request, RequestId, Response, Source, Withheld};
pub use names::{InvalidName, LaunchName, ServiceName, topics};
pub use outcome::{
    ControlAnswer, FailureClass, HeldBy, Outcome, OutcomeKind, ReplayedExchange, SkipReason, SkippedRange,
};
pub use route::{InvalidRoute, Route, RouteTable, Segment};
pub use status::{Role, State, Status};
pub use time::Timestamp;
