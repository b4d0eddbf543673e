//! The PROXY protocol, versions 1 and 2: who the client is behind a load balancer that passes bytes only.
//!
//! Why own code: the header ends where the client's first byte begins, so a reader must know of every prefix whether it belongs
//! to the header. The crates answer "too short" for bytes that can never become a header, accept lines that the specification
//! refuses, or have panicked on such input.
//!
//! Guarantee: [`parse`] never panics and never counts a byte of the client to the header; [`read`] takes exactly the header from
//! the connection, and holds no more than [`MAX_HEADER`] bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::Ends;

#[cfg(test)]
mod tests;

/// A line with its end, by the specification.
const MAX_LINE: usize = 107;
/// Longest header taken. Version 2 allows 64 KiB of additions, which senders keep to a few hundred bytes.
pub(crate) const MAX_HEADER: usize = 16 * 1024;
/// A usual header in one look.
const LOOK: usize = 256;

const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const FIXED: usize = 16;

/// Which version is written to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The beginning of a header: all of these bytes belong to it.
    Incomplete,
    /// A header of `len` bytes. Without ends the connection's own hold: a health check, or a family other than TCP over IP.
    Header {
        /// The client and the address it connected to.
        ends: Option<Ends>,
        /// What of the bytes is the header.
        len: usize,
    },
    /// No header, whatever follows.
    Invalid(Fault),
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// Neither version begins so: most likely a client that came past the load balancer.
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    /// The line is not as the specification has it.
    #[error("the PROXY protocol line is malformed")]
    Line,
    /// The line has no end within 107 bytes.
    #[error("the PROXY protocol line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// The binary header is not as the specification has it.
    #[error("the PROXY protocol header is malformed")]
    Binary,
    /// The binary header is longer than is taken.
    #[error("the PROXY protocol header is longer than {MAX_HEADER} bytes")]
    LongBinary,
}

/// Reads the beginning of a connection.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let outcome = if agree(bytes, SIGNATURE) {
        parse_binary(bytes)
    } else if agree(bytes, LINE) {
        parse_line(bytes)
    } else {
        Err(Fault::Missing)
    };
    match outcome {
        Ok(Some((ends, len))) => Parsed::Header { ends, len },
        Ok(None) => Parsed::Incomplete,
        Err(fault) => Parsed::Invalid(fault),
    }
}

type Outcome = Result<Option<(Option<Ends>, usize)>, Fault>;

/// Whether the bytes are equal as far as both go.
fn agree(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(a, b)| a == b)
}

fn parse_line(bytes: &[u8]) -> Outcome {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(cr) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if window.len() == MAX_LINE { Err(Fault::LongLine) } else { Ok(None) };
    };
    match (window[cr], window.get(cr + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if window.len() < MAX_LINE => return Ok(None),
        _ => return Err(Fault::Line),
    }
    let words = window[..cr].strip_prefix(LINE).and_then(|words| std::str::from_utf8(words).ok());
    let ends = line_ends(words.ok_or(Fault::Line)?)?;
    Ok(Some((ends, cr + 2)))
}

fn line_ends(words: &str) -> Result<Option<Ends>, Fault> {
    let mut words = words.split(' ');
    let family = words.next();
    if family == Some("UNKNOWN") {
        // The rest of such a line is to be ignored.
        return Ok(None);
    }
    let [Some(source), Some(target), Some(from), Some(to), None] = std::array::from_fn(|_| words.next()) else {
        return Err(Fault::Line);
    };
    let (source, target) = match family {
        Some("TCP4") => (address::<Ipv4Addr>(source)?, address::<Ipv4Addr>(target)?),
        Some("TCP6") => (address::<Ipv6Addr>(source)?, address::<Ipv6Addr>(target)?),
        _ => return Err(Fault::Line),
    };
    Ok(Some(Ends { peer: SocketAddr::new(source, port(from)?), local: SocketAddr::new(target, port(to)?) }))
}

fn address<A: FromStr + Into<IpAddr>>(word: &str) -> Result<IpAddr, Fault> {
    word.parse::<A>().map(Into::into).map_err(|_| Fault::Line)
}

fn port(word: &str) -> Result<u16, Fault> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if plain { word.parse().map_err(|_| Fault::Line) } else { Err(Fault::Line) }
}

fn parse_binary(bytes: &[u8]) -> Outcome {
    let local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Fault::Binary),
    };
    // Family and transport; the command LOCAL may carry any. Then only TCP over IP says where the client is.
    let family = match bytes.get(13) {
        None => return Ok(None),
        Some(&family) => family,
    };
    if !local && (family >> 4 > 3 || family & 0x0f > 2) {
        return Err(Fault::Binary);
    }
    let Some(&[high, low]) = bytes.get(14..FIXED) else { return Ok(None) };
    let len = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let least = match family {
        _ if local => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => 0,
    };
    match len {
        _ if len > MAX_HEADER => return Err(Fault::LongBinary),
        _ if len < FIXED + least => return Err(Fault::Binary),
        _ => {}
    }
    let Some(block) = bytes.get(FIXED..len) else { return Ok(None) };
    let ends = match family {
        _ if local => None,
        0x11 => block.first_chunk::<12>().map(ends_of_ipv4),
        0x21 => block.first_chunk::<36>().map(ends_of_ipv6),
        _ => None,
    };
    Ok(Some((ends, len)))
}

fn ends_of_ipv4(block: &[u8; 12]) -> Ends {
    let [a, b, c, d, e, f, g, h, ports @ ..] = *block;
    ends(Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(e, f, g, h).into(), ports)
}

fn ends_of_ipv6(block: &[u8; 36]) -> Ends {
    let part = |at: usize| std::array::from_fn::<u8, 16, _>(|n| block[at + n]);
    ends(Ipv6Addr::from(part(0)).into(), Ipv6Addr::from(part(16)).into(), [block[32], block[33], block[34], block[35]])
}

fn ends(source: IpAddr, target: IpAddr, [a, b, c, d]: [u8; 4]) -> Ends {
    Ends {
        peer: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        local: SocketAddr::new(target, u16::from_be_bytes([c, d])),
    }
}

/// Why no header was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bytes are no header.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The connection broke, or ended within the header.
    #[error("the connection broke within the PROXY protocol header: {0}")]
    Broken(#[from] io::Error),
}

/// Takes the header, and nothing else, from a connection that begins with one. Cancelling it loses what was taken.
///
/// # Errors
/// [`ReadError`]: the connection is of no further use.
pub(crate) async fn read(stream: &mut TcpStream) -> Result<Option<Ends>, ReadError> {
    let mut header = Vec::new();
    loop {
        // A look at what is there, then a read of no more than is known to be the header.
        let known = header.len();
        header.resize(known + LOOK, 0);
        let seen = stream.peek(&mut header[known..]).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        header.truncate(known + seen);
        let parsed = parse(&header);
        let own = match parsed {
            Parsed::Incomplete => header.len(),
            Parsed::Header { len, .. } => len,
            Parsed::Invalid(fault) => return Err(fault.into()),
        };
        stream.read_exact(&mut header[known..own]).await?;
        if let Parsed::Header { ends, .. } = parsed {
            return Ok(ends);
        }
    }
}

/// The header that tells these ends.
pub(crate) fn encode(version: Version, ends: Ends) -> Vec<u8> {
    let (peer, local) = one_family(ends.peer, ends.local);
    match version {
        Version::V1 => {
            let family = if peer.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {} {} {} {}\r\n", peer.ip(), local.ip(), peer.port(), local.port()).into_bytes()
        }
        Version::V2 => {
            let mut header = SIGNATURE.to_vec();
            let (family, len) = if peer.is_ipv4() { (0x11, 12) } else { (0x21, 36) };
            header.extend([0x21, family, 0, len]);
            for end in [peer, local] {
                match end.ip() {
                    IpAddr::V4(ip) => header.extend(ip.octets()),
                    IpAddr::V6(ip) => header.extend(ip.octets()),
                }
            }
            header.extend([peer, local].iter().flat_map(|end| end.port().to_be_bytes()));
            header
        }
    }
}

/// A header has one family: IPv4 where both ends have it (also within IPv6, as a dual-stack listener gives it), else IPv6.
fn one_family(peer: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let wide = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => SocketAddr::new(end.ip(), end.port()),
    };
    match (plain(peer), plain(local)) {
        (peer, local) if peer.is_ipv4() == local.is_ipv4() => (peer, local),
        (peer, local) => (wide(peer), wide(local)),
    }
}
