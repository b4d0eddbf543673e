//! Effects of one service, read around the times at which they are asked for.
//!
//! Effects have no offset to merge by: those of a request stand in `shadow.effects.<service>` near the time at which the request was served,
//! the primary's when it was captured and the candidate's when it was replayed, perhaps hours later. So whoever needs them keeps a [`Feed`] for
//! each of the two, asks it to [`Feed::reach`] a time of the broker, and then looks up what it holds:
//!
//! ```text
//! shadow.effects.<service> -> reader -> store (by request, by time, bounded) -> feed
//! ```
//!
//! Guarantees: what [`Feed::reach`] promised was read is in the store, unless the store was too small for it, and then
//! [`Feed::complete_from`] says so; what it depends on is the broker's append time, so that reading again finds the same.

mod feed;
mod position;
mod reader;
mod store;

pub use feed::{Feed, Reached};
pub use store::Kept;
