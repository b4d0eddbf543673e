//! From an accepted socket to a connection that HTTP can use.
//!
//! Guarantee: who sends no header or shakes no hands is gone when the patience is over, and holds no more than a header's bytes
//! until then.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Ends;
use super::config::Announced;
use super::proxy_protocol::{self, ReadError};
use super::stream::{self, Stream};
use super::tls::ServerTls;

#[cfg(test)]
mod tests;

/// What a connection must bring before it is let in. Clones share certificates and counters.
#[derive(Clone)]
pub(crate) struct Door {
    /// TLS, if clients must use it.
    pub tls: Option<ServerTls>,
    announced: Announced,
    patience: Duration,
    refused: Arc<[AtomicU64; REASONS.len()]>,
}

/// Why connections are not let in, as they are counted.
const REASONS: [&str; 4] = ["late", "proxy_header", "tls_handshake", "broken"];

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
    /// Its place among the [`REASONS`].
    fn reason(&self) -> usize {
        match self {
            Self::Late => 0,
            Self::Header(_) => 1,
            Self::Handshake(_) => 2,
            Self::Broken(_) => 3,
        }
    }
}

impl Door {
    /// TLS if clients must use it, whether a PROXY protocol header comes first, and the time for both together.
    pub(crate) fn new(tls: Option<ServerTls>, announced: Announced, patience: Duration) -> Self {
        Self { tls, announced, patience, refused: Arc::default() }
    }

    /// How many were not let in, by reason.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Lets a connection in; `peer` is as it was accepted. The ends are those of the client, as far as is known.
    ///
    /// # Errors
    /// [`Refusal`], which is counted.
    pub(crate) async fn admit(&self, socket: TcpStream, peer: SocketAddr) -> Result<(Stream, Ends), Refusal> {
        self.examine(socket, peer).await.inspect_err(|refusal| {
            self.refused[refusal.reason()].fetch_add(1, Ordering::Relaxed);
        })
    }

    async fn examine(&self, socket: TcpStream, peer: SocketAddr) -> Result<(Stream, Ends), Refusal> {
        stream::tune(&socket);
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
