//! The edge: how connections come in and go out, below HTTP.
//!
//! ```text
//! in:   limits (a place) -> accept: PROXY protocol header -> TLS handshake -> Stream
//! out:  dial: resolve -> connect (own: not to this agent) -> PROXY protocol header -> TLS handshake -> Stream
//! beside: takeover, the listening socket from one agent to the next; tls, certificates that change
//! ```
//!
//! Guarantee: nothing here knows HTTP, and without TLS and the PROXY protocol a connection costs nothing beyond the socket's
//! own calls. Every wait is bounded.

use std::net::SocketAddr;

pub(crate) mod accept;
pub(crate) mod config;
pub(crate) mod dial;
pub(crate) mod limits;
pub(crate) mod own;
pub(crate) mod proxy_protocol;
mod resolve;
pub(crate) mod seldom;
pub(crate) mod stream;
pub(crate) mod takeover;
pub(crate) mod tls;

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    /// The client.
    pub peer: SocketAddr,
    /// What it connected to.
    pub local: SocketAddr,
}
