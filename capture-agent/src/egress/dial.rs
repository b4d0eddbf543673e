//! Connections to destinations.
//!
//! Guarantee: no longer than the patience; each of a name's addresses is tried for its share of it; the agent never connects to its own
//! proxy, where a call would go round for ever, nor to its admin endpoint; and, for callers on other hosts, to no loopback or link-local
//! address that the configuration does not name.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::target::Target;
use crate::edge::own::is_at;
use crate::edge::stream::{Stream, tune};
use crate::edge::tls::ClientTls;

/// How connections to any destination are made.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    /// Longest wait, the handshake included.
    pub(super) patience: Duration,
    /// Where the agent itself takes calls in.
    pub(super) own: SocketAddr,
    /// Where its admin endpoint is, once that is known.
    pub(super) admin: Arc<OnceLock<SocketAddr>>,
    /// Hosts, in lower case, that are not looked up.
    pub(super) resolve: Arc<BTreeMap<String, SocketAddr>>,
}

impl Dial {
    /// Connects to one of the addresses of `host`.
    pub(super) async fn reach(&self, host: &str, port: u16, inner: Inner) -> io::Result<TcpStream> {
        timeout(self.patience, self.try_all(host, port, inner))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn try_all(&self, host: &str, port: u16, inner: Inner) -> io::Result<TcpStream> {
        let inner = if self.resolve.contains_key(host) { Inner::Allowed } else { inner };
        let addresses: Vec<SocketAddr> = match (self.resolve.get(host), host.parse::<IpAddr>()) {
            (Some(address), _) => vec![*address],
            (None, Ok(ip)) => vec![SocketAddr::new(ip, port)],
            (None, Err(_)) => lookup_host((host, port)).await?.collect(),
        };
        let share = self.patience / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut failure = io::Error::new(io::ErrorKind::HostUnreachable, "the name has no address");
        for address in addresses {
            if inner == Inner::Refused && is_inner(address.ip()) {
                failure = io::Error::other(Closed);
                continue;
            }
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(socket)) if is_at(self.own, &socket) => return Err(io::Error::other(Circle)),
                Ok(Ok(socket)) if self.admin.get().is_some_and(|admin| is_at(*admin, &socket)) => {
                    return Err(io::Error::other(Closed));
                }
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
}

/// Whether a connection may go to loopback and link-local addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    /// The caller is on this host, or the configuration names the destination.
    Allowed,
    /// They are this host's own, and its network's: metadata services, unprotected endpoints.
    Refused,
}

fn is_inner(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        // Whoever connects to the unspecified address comes out at loopback.
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

/// The destination is no caller's from outside, or nobody's.
#[derive(Debug, thiserror::Error)]
#[error(
    "the destination is not open to calls through this proxy; where it is meant, name it in egress.aliases or egress.resolve"
)]
struct Closed;

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
    /// Whether it may be on this host.
    pub(super) inner: Inner,
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
            let socket = self.dial.reach(&host, port, self.inner).await?;
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
        let dial = dial(&[("pay.invalid", address)]);
        let reached = dial.reach("pay.invalid", 443, Inner::Refused).await.unwrap();
        assert_eq!(reached.peer_addr().unwrap(), address, "the configuration names it");
    }

    fn dial(resolve: &[(&str, SocketAddr)]) -> Dial {
        let resolve = resolve.iter().map(|(host, address)| ((*host).to_owned(), *address)).collect();
        let own = "127.0.0.1:1".parse().unwrap();
        Dial { patience: Duration::from_secs(5), own, admin: Arc::default(), resolve: Arc::new(resolve) }
    }

    #[tokio::test]
    async fn what_is_inside_this_host_is_for_whoever_is_on_it_and_the_admin_endpoint_for_no_call() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dial = dial(&[]);
        for host in ["127.0.0.1", "localhost", "0.0.0.0", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "::1", "::"]
        {
            let refused = dial.reach(host, port, Inner::Refused).await.unwrap_err();
            assert!(refused.to_string().contains("not open to calls"), "{host}: {refused}");
        }
        assert!(dial.reach("127.0.0.1", port, Inner::Allowed).await.is_ok());
        dial.admin.set(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        for host in ["127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(dial.reach(host, port, Inner::Allowed).await.is_err(), "{host}");
        }
    }
}
