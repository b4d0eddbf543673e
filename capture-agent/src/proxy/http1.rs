//! HTTP/1, relayed byte for byte.
//!
//! Each client connection has a primary connection of its own, opened when its first request's head is there. What one end
//! sends is passed to the other as it is: framing, order, casing, informational answers, trailers, half-closed ends. The relay
//! reads along only to know where messages begin and end (`head`, `framing`, `chunks`) and to show them to the observer.
//!
//! Guarantees:
//! - Nothing waits for anything but the two ends. Memory per connection is bounded by one head and one read each way.
//! - A request that could be read in two ways goes no further. Since no two clients share a connection to the primary, what
//!   one of them smuggles could only ever be answered to itself.
//! - The bytes differ from the sender's in two cases only: the lines that `primary.forwarded` asks for, and `Connection: close`
//!   in responses while the agent drains.

pub(crate) mod chunks;
pub(crate) mod framing;
pub(crate) mod head;
mod pump;
mod relay;

pub(crate) use pump::fitting;
pub(crate) use relay::{Relay, Shared, idle_in_drain};
