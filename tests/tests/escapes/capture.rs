//! Captures every frame that reaches a network namespace, as tcpdump does (AF_PACKET), and counts whose they are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, eth, recv, socket_with, sockopt};

/// The last packet is sent here, so that a capture knows that it has seen all before it.
pub(crate) const LAST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 250);
/// Trick 12 goes to the host itself.
const TO_HOST: u8 = 12;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

pub(crate) type Hardware = [u8; 6];

/// Whose frames count.
pub(crate) enum From {
    /// Of this one alone.
    Only(Hardware),
    /// Of all but these, which are the host's own and the world's.
    AllBut(Vec<Hardware>),
}

/// A running capture in the namespace it was started in.
pub(crate) struct Capture {
    socket: OwnedFd,
    from: From,
    host: Vec<IpAddr>,
    stub: (IpAddr, u16),
}

/// Packets by trick.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_trick: BTreeMap<u8, u64>,
    others: Vec<String>,
    /// To the stub's port.
    pub(crate) to_stub: u64,
}

impl Counts {
    pub(crate) fn of(&self, trick: u8) -> u64 {
        self.by_trick.get(&trick).copied().unwrap_or_default()
    }

    /// What belongs to no trick, and yet got there.
    pub(crate) fn others(&self) -> &[String] {
        &self.others
    }
}

impl Capture {
    /// Begins in the namespace of the calling thread, where `host` are the host's addresses.
    pub(crate) fn start(from: From, host: Vec<IpAddr>, stub: (IpAddr, u16)) -> Self {
        let socket =
            socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::NONBLOCK, Some(eth::ALL)).unwrap();
        sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20).unwrap();
        Self { socket, from, host, stub }
    }

    /// Everything up to the packet to [`LAST`].
    pub(crate) fn counts(self) -> Counts {
        let (mut counts, mut frame) = (Counts::default(), vec![0; 1 << 16]);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match recv(&self.socket, &mut frame[..], RecvFlags::empty()) {
                Ok((length, _)) => {
                    let Some(packet) = Packet::parse(&frame[..length]) else { continue };
                    if packet.to == IpAddr::V4(LAST) {
                        return counts;
                    }
                    self.count(&packet, &mut counts);
                }
                Err(Errno::AGAIN) => assert!(Instant::now() < deadline, "the last packet was not captured"),
                Err(error) => panic!("the capture broke off: {error}"),
            }
        }
    }

    fn count(&self, packet: &Packet, counts: &mut Counts) {
        let counted = match &self.from {
            From::Only(hardware) => packet.from == *hardware,
            From::AllBut(own) => !own.contains(&packet.from),
        };
        if !counted || packet.is_housekeeping() {
            return;
        }
        match packet.trick() {
            _ if (packet.protocol, packet.to, packet.port) == (TCP, self.stub.0, self.stub.1) => counts.to_stub += 1,
            Some(trick) => *counts.by_trick.entry(trick).or_default() += 1,
            None if self.host.contains(&packet.to) => *counts.by_trick.entry(TO_HOST).or_default() += 1,
            None => counts.others.push(format!("{packet:?}")),
        }
    }
}

#[derive(Debug)]
struct Packet {
    from: Hardware,
    to: IpAddr,
    protocol: u8,
    port: u16,
}

impl Packet {
    /// `None` for ARP, which asks for the neighbour that is connected anyway, and for what is not IP.
    fn parse(frame: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
        let mut at = 12;
        while number(at)? == VLAN {
            at += 4;
        }
        if number(at)? == ARP {
            return None;
        }
        let (from, packet) = (frame.get(6..12)?.try_into().ok()?, frame.get(at + 2..)?);
        let (to, protocol, head) = match packet.first()? >> 4 {
            4 => {
                let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
                (IpAddr::from(to), packet[9], usize::from(packet[0] & 15) * 4)
            }
            6 => {
                let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
                (IpAddr::from(to), packet[6], 40)
            }
            _ => return None,
        };
        let port = packet.get(head + 2..head + 4).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
        Some(Self { from, to, protocol, port })
    }

    /// What IPv6 says to its neighbours by itself.
    fn is_housekeeping(&self) -> bool {
        let IpAddr::V6(to) = self.to else { return false };
        to.is_multicast() || (self.protocol == ICMPV6 && self.trick().is_none())
    }

    /// The trick whose address it goes to.
    fn trick(&self) -> Option<u8> {
        match self.to {
            IpAddr::V4(to) => to.octets().starts_with(&[198, 51, 100]).then(|| to.octets()[3]),
            IpAddr::V6(to) => (to.segments()[..4] == Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0).segments()[..4])
                .then(|| to.octets()[15]),
        }
    }
}
