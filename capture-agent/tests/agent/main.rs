//! The agent from outside, on real sockets.

#![allow(clippy::unwrap_used, reason = "the lint allows it in tests, but knows them by their attribute")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod aborts;
mod circle;
mod connections;
mod conversation;
mod egress;
mod egress_tunnels;
mod endings;
mod http2;
mod kafka_away;
mod nginx;
mod refusals;
mod secure;
mod streaming;
mod support;
mod transparency;
mod tunnels;
mod wire;
