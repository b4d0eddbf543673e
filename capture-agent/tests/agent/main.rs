//! The agent from outside, on real sockets.

#![allow(clippy::unwrap_used, reason = "the lint allows it in tests, but knows them by their attribute")]

mod kafka_away;
mod streaming;
mod support;
mod transparency;
mod wire;
