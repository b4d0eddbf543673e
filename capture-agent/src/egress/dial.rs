//! Connections to destinations.
//!
//! Guarantee: no longer than the patience; each of a name's addresses is tried for its share of it; the agent never connects to its own
//! proxy, where a call would go round for ever.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::target::Target;
use crate::edge::stream::{Stream, tune};
use crate::edge::tls::ClientTls;

/// How connections to any destination are made.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    /// Longest wait, the handshake included.
    pub(super) patience: Duration,
    /// Where the agent itself takes calls in.
    pub(super) own: SocketAddr,
    /// Hosts, in lower case, that are not looked up.
    pub(super) resolve: Arc<BTreeMap<String, SocketAddr>>,
}

impl Dial {
    /// Connects to one of the addresses of `host`.
    pub(super) async fn reach(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        timeout(self.patience, self.try_all(host, port)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn try_all(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = match (self.resolve.get(host), host.parse::<IpAddr>()) {
            (Some(address), _) => vec![*address],
            (None, Ok(ip)) => vec![SocketAddr::new(ip, port)],
            (None, Err(_)) => lookup_host((host, port)).await?.collect(),
        };
        let share = self.patience / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut failure = io::Error::new(io::ErrorKind::HostUnreachable, "the name has no address");
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(socket)) if self.is_own(&socket) => return Err(io::Error::other(Circle)),
                Ok(Ok(socket)) => {
                    tune(&socket);
                    return Ok(socket);
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }

    /// Whoever listens on every address of a host is reached there from the very address that is connected to.
    fn is_own(&self, socket: &TcpStream) -> bool {
        let (Ok(peer), Ok(local)) = (socket.peer_addr(), socket.local_addr()) else { return false };
        let here = peer.ip().to_canonical() == local.ip().to_canonical();
        peer.port() == self.own.port() && (peer.ip() == self.own.ip() || self.own.ip().is_unspecified() && here)
    }
}

/// The destination is the agent itself.
#[derive(Debug, thiserror::Error)]
#[error("the destination is this proxy itself; mend the address, or name what is meant in egress.aliases")]
pub(super) struct Circle;

/// Opens connections for the HTTP library.
#[derive(Clone)]
pub(super) struct Connector {
    /// How.
    pub(super) dial: Dial,
    /// What is connected to, whatever the host in the URI: where a tunnel leads.
    pub(super) instead: Option<(String, u16)>,
    /// TLS with it.
    pub(super) tls: ClientTls,
}

impl Connector {
    async fn connect(self, uri: Uri) -> io::Result<Stream> {
        let secure = uri.scheme_str() == Some("https");
        let target = uri.authority().and_then(|authority| Target::of(secure, authority));
        let target = target.ok_or_else(|| io::Error::other("the call names no host"))?;
        let (host, port) = self.instead.unwrap_or_else(|| (target.host.clone(), target.port));
        let shaken = async {
            let socket = self.dial.reach(&host, port).await?;
            if !secure {
                return Ok(Stream::Tcp(socket));
            }
            let name = ServerName::try_from(target.host).map_err(io::Error::other)?;
            self.tls.named(name).connect(socket).await
        };
        timeout(self.dial.patience, shaken).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(uri).await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_host_whose_address_is_configured_is_not_looked_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let resolve = Arc::new(BTreeMap::from([("pay.invalid".to_owned(), address)]));
        let dial = Dial { patience: Duration::from_secs(5), own: "127.0.0.1:1".parse().unwrap(), resolve };
        assert_eq!(dial.reach("pay.invalid", 443).await.unwrap().peer_addr().unwrap(), address);
    }
}
