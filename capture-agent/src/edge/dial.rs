//! Connections to the primary.
//!
//! Guarantee: each of the primary's addresses is tried once for each call, for its share of the patience, so that one that
//! swallows packets does not hide the others; no byte of a request before the way is open as configured, and no longer than
//! the patience; no request goes to this agent's own listeners, where it would go round for ever. What fails is counted by
//! its reason.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Ends;
use super::own::Own;
use super::proxy_protocol::{self, Version};
use super::resolve::Host;
use super::seldom::Seldom;
use super::stream::{self, Stream};
use super::tls::{Alpn, ClientTls};

#[cfg(test)]
mod tests;

/// The way to the primary. Clones share the addresses and certificates.
#[derive(Clone)]
pub(crate) struct Dial {
    host: Arc<Host>,
    /// Which of its addresses answered last; the first to be tried.
    good: Arc<AtomicUsize>,
    tls: Option<ClientTls>,
    announce: Option<Version>,
    /// What the handshake must agree on, if it agrees on anything.
    protocol: Alpn,
    patience: Duration,
    /// What the primary cannot be.
    own: Own,
    failed: Arc<[AtomicU64; REASONS.len()]>,
    warning: Arc<Seldom>,
}

/// Why there is no connection to the primary, as it is counted.
const REASONS: [&str; 5] = ["timeout", "connect", "handshake", "protocol", "itself"];

/// No connection to the primary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// It took too long.
    #[error("no connection within the time for it")]
    Timeout,
    /// It does not accept, or has no address.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// It accepts, but the TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// It does not speak the protocol that it is configured to speak.
    #[error("the primary did not agree to HTTP/2 in the TLS handshake; set primary.protocol to http1")]
    Protocol,
    /// It is this agent.
    #[error("the primary's address leads to this agent itself, at {0}; set primary.url to where the primary listens")]
    Itself(SocketAddr),
}

impl DialError {
    /// Its place among the [`REASONS`].
    fn reason(&self) -> usize {
        match self {
            Self::Timeout => 0,
            Self::Connect(_) => 1,
            Self::Handshake(_) => 2,
            Self::Protocol => 3,
            Self::Itself(_) => 4,
        }
    }
}

impl Dial {
    /// `host` is a name or an address without brackets. `protocol` is what the connection is for.
    pub(crate) fn new(
        host: &str,
        port: u16,
        tls: Option<ClientTls>,
        announce: Option<Version>,
        protocol: Alpn,
        patience: Duration,
    ) -> Self {
        Self {
            host: Arc::new(Host::new(host, port)),
            good: Arc::default(),
            tls,
            announce,
            protocol,
            patience,
            own: Own::default(),
            failed: Arc::default(),
            warning: Arc::default(),
        }
    }

    /// Never to one of these.
    pub(crate) fn apart_from(self, own: Own) -> Self {
        Self { own, ..self }
    }

    /// How many connections could not be had, by reason.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.into_iter().zip(self.failed.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// TLS, if the primary is spoken to over it.
    pub(crate) fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// Connects on behalf of a client.
    ///
    /// # Errors
    /// [`DialError`], of which the log has one every so often.
    pub(crate) async fn connect(&self, client: Ends) -> Result<Stream, DialError> {
        let opened = timeout(self.patience, self.open(client)).await.unwrap_or_else(|_| {
            self.host.doubt();
            Err(DialError::Timeout)
        });
        opened.inspect_err(|error| {
            self.failed[error.reason()].fetch_add(1, Ordering::Relaxed);
            if self.warning.is_due() {
                tracing::warn!(%error, "no connection to the primary; clients are told so");
            }
        })
    }

    async fn open(&self, client: Ends) -> Result<Stream, DialError> {
        let mut socket = self.reach().await?;
        stream::tune(&socket);
        if let Some(version) = self.announce {
            socket.write_all(&proxy_protocol::encode(version, client)).await.map_err(DialError::Connect)?;
        }
        let Some(tls) = &self.tls else { return Ok(Stream::Tcp(socket)) };
        let stream = tls.connect(socket).await.map_err(DialError::Handshake)?;
        match (self.protocol, stream.alpn()) {
            (Alpn::Http2, None | Some(Alpn::Http1)) => Err(DialError::Protocol),
            _ => Ok(stream),
        }
    }

    async fn reach(&self) -> Result<TcpStream, DialError> {
        let addresses = self.host.addresses().await.map_err(DialError::Connect)?;
        let share = self.patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let good = self.good.load(Ordering::Relaxed);
        let mut failure = DialError::Timeout;
        for index in (good..good + addresses.len()).map(|index| index % addresses.len()) {
            match try_address(addresses[index], share).await {
                Ok(socket) => {
                    if let Some(listener) = self.own.reached(addresses[index], &socket) {
                        failure = DialError::Itself(listener);
                        continue;
                    }
                    self.good.store(index, Ordering::Relaxed);
                    return Ok(socket);
                }
                Err(error) => failure = error,
            }
        }
        self.host.doubt();
        Err(failure)
    }
}

async fn try_address(address: SocketAddr, patience: Duration) -> Result<TcpStream, DialError> {
    let connected = timeout(patience, TcpStream::connect(address)).await;
    connected.map_err(|_| DialError::Timeout)?.map_err(DialError::Connect)
}
