//! From an accepted socket to a connection that HTTP can use.
//!
//! Guarantee: who sends no header or shakes no hands is gone when the patience is over, and holds no more than a header's bytes
//! until then.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Ends;
use super::config::Announced;
use super::proxy_protocol::{self, ReadError};
use super::stream::Stream;
use super::tls::ServerTls;

#[cfg(test)]
mod tests;

/// What a connection must bring before it is let in.
#[derive(Clone)]
pub(crate) struct Door {
    /// TLS, if clients must use it.
    pub tls: Option<ServerTls>,
    /// Whether a PROXY protocol header comes first.
    pub announced: Announced,
    /// For the header and the handshake together.
    pub patience: Duration,
}

/// A connection that was not let in. It is closed already; nobody was told anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It took too long.
    #[error("no PROXY protocol header or TLS handshake in time")]
    Late,
    /// No usable PROXY protocol header.
    #[error(transparent)]
    Header(#[from] ReadError),
    /// The handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// The socket broke before anything could be done with it.
    #[error("the connection broke at once: {0}")]
    Broken(io::Error),
}

impl Refusal {
    /// One word, for counting.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Header(_) => "proxy_header",
            Self::Handshake(_) => "tls_handshake",
            Self::Broken(_) => "broken",
        }
    }
}

impl Door {
    /// Lets a connection in; `peer` is as it was accepted. The ends are those of the client, as far as is known.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) async fn admit(&self, socket: TcpStream, peer: SocketAddr) -> Result<(Stream, Ends), Refusal> {
        // Only latency is lost without it.
        let _ = socket.set_nodelay(true);
        let ends = Ends { peer, local: socket.local_addr().map_err(Refusal::Broken)? };
        if self.tls.is_none() && self.announced == Announced::Off {
            return Ok((Stream::Tcp(socket), ends));
        }
        timeout(self.patience, self.introduce(socket, ends)).await.unwrap_or(Err(Refusal::Late))
    }

    async fn introduce(&self, mut socket: TcpStream, own: Ends) -> Result<(Stream, Ends), Refusal> {
        let ends = match self.announced {
            Announced::Off => own,
            Announced::Required => proxy_protocol::read(&mut socket).await?.unwrap_or(own),
        };
        let stream = match &self.tls {
            None => Stream::Tcp(socket),
            Some(tls) => tls.accept(socket).await.map_err(Refusal::Handshake)?,
        };
        Ok((stream, ends))
    }
}
