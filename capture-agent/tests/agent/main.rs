//! The agent from outside, on real sockets.

mod kafka_away;
mod streaming;
mod support;
mod transparency;
mod wire;
