//! Where this agent itself listens, and whether a connection comes out there.
//!
//! A primary that is the agent itself would have each request go round until the connections are used up.
//!
//! Guarantee: nothing is asked of a resolver, and no packet is sent, to judge an address before it is connected to; whoever listens on
//! every address of this host is recognised at each of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;

#[cfg(test)]
mod tests;

/// The agent's listeners. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    /// Where clients connect, and where the primary's calls come in.
    traffic: Vec<SocketAddr>,
    /// The admin endpoint, which is there last.
    admin: Arc<OnceLock<SocketAddr>>,
}

impl Own {
    /// Those that are there before any traffic is.
    pub(crate) fn new(traffic: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { traffic: traffic.into_iter().collect(), admin: Arc::default() }
    }

    /// The admin endpoint is there too.
    pub(crate) fn keep_from(&self, admin: SocketAddr) {
        let _ = self.admin.set(admin);
    }

    /// The listener that a connection to `address` came out at, if it is one of these. Other ports cost the hot path nothing.
    pub(crate) fn reached(&self, address: SocketAddr, socket: &TcpStream) -> Option<SocketAddr> {
        let mut alike =
            self.traffic.iter().chain(self.admin.get()).filter(|listener| listener.port() == address.port());
        alike.find(|listener| is_at(**listener, socket)).copied()
    }
}

/// Whether `listener` is what was connected to.
pub(crate) fn is_at(listener: SocketAddr, socket: &TcpStream) -> bool {
    let (Ok(peer), Ok(local)) = (socket.peer_addr(), socket.local_addr()) else { return false };
    is_between(listener, peer, local.ip())
}

/// Whether a connection to `address` would reach `listener`, as the routes of this host are now.
pub(crate) fn leads_to(listener: SocketAddr, address: SocketAddr) -> bool {
    // Without a route it is another host's, or the loopback address of a family that is off.
    let (peer, local) = route(address).unwrap_or((address, Ipv4Addr::UNSPECIFIED.into()));
    listener.port() != 0 && is_between(listener, peer, local)
}

/// The addresses that a host in a URL stands for without asking anybody: one in figures, or those of `localhost`.
pub(crate) fn known_addresses(host: &str) -> Vec<IpAddr> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    host.parse().into_iter().collect()
}

/// Whoever listens on every address of a host is reached there from the very address that is connected to, or over loopback. An address that
/// this host holds for others (a virtual server's) looks the same.
fn is_between(listener: SocketAddr, peer: SocketAddr, local: IpAddr) -> bool {
    let (to, from) = (peer.ip().to_canonical(), local.to_canonical());
    let here = to == from || to.is_loopback();
    let everywhere = match listener.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() && to.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    peer.port() == listener.port() && (to == listener.ip().to_canonical() || everywhere && here)
}

/// Both ends of a connection to `address`. A datagram's socket learns them from the routes alone.
fn route(address: SocketAddr) -> io::Result<(SocketAddr, IpAddr)> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok((socket.peer_addr()?, socket.local_addr()?.ip()))
}
