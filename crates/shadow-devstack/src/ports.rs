//! Loopback ports for the servers: checks the one asked for, or finds a free one that stays free.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use crate::DevstackError;

/// Free ports are taken below the range from which systems serve outgoing connections (32768 and up on Linux), so that
/// no connection sits on a server's port while the server is being restarted.
const FREE_PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port this stack may use. Other stacks on this machine keep away from it until it is dropped.
pub(crate) struct Port {
    number: u16,
    _claim: Claim,
}

impl Port {
    /// Claims `port` for `server`, or any free port when it is 0.
    pub(crate) fn claim(port: u16, server: &'static str) -> Result<Self, DevstackError> {
        if port != 0 {
            return Self::try_claim(port)?.ok_or(DevstackError::PortInUse { port, server });
        }
        let span = u64::from(FREE_PORTS.end - FREE_PORTS.start);
        let start = RandomState::new().hash_one(server) % span;
        for step in 0..span {
            let candidate = FREE_PORTS.start + ((start + step) % span) as u16;
            if let Some(port) = Self::try_claim(candidate)? {
                return Ok(port);
            }
        }
        Err(DevstackError::PortInUse { port: FREE_PORTS.start, server })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// `None` when another program listens there or another stack is about to.
    fn try_claim(number: u16) -> Result<Option<Self>, DevstackError> {
        let failed = |source| DevstackError::Io { doing: format!("listen on port {number}"), source };
        let Some(claim) = claim(number).map_err(failed)? else {
            return Ok(None);
        };
        // The listener is closed again at once: the server itself is to listen.
        match TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
            Ok(_) => Ok(Some(Self { number, _claim: claim })),
            Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Between this check and the moment a server listens, a second passes. A socket in Linux's abstract namespace marks
/// the port as spoken for meanwhile; the kernel removes it with the process.
#[cfg(target_os = "linux")]
type Claim = std::os::unix::net::UnixDatagram;

#[cfg(target_os = "linux")]
fn claim(number: u16) -> std::io::Result<Option<Claim>> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = SocketAddr::from_abstract_name(format!("shadowline-devstack-port-{number}"))?;
    match UnixDatagram::bind_addr(&address) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
type Claim = ();

#[cfg(not(target_os = "linux"))]
fn claim(_number: u16) -> std::io::Result<Option<Claim>> {
    Ok(Some(()))
}
