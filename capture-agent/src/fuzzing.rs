//! Everything of ours that reads bytes from outside, laid open for `fuzz/` and `tests/framing`. No part of the crate's interface.

use crate::edge::proxy_protocol::{self, Parsed};
use crate::proxy::http1::chunks::Chunks;
use crate::proxy::http1::framing::Framing;
use crate::proxy::http1::head::{HeadEnd, Kind, Then, read_request, read_response};

/// What became of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// More must come.
    Incomplete,
    /// Understood: how many bytes, and what they say.
    Done(usize, T),
    /// Not understood, whatever follows.
    Refused,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All until the connection ends.
    UntilClose,
    /// Another protocol.
    Tunnel,
    /// Another response.
    Response,
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked(_) => Self::Chunked,
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

/// Reads a request's head that arrives in pieces of `piece` bytes.
pub fn request_head(bytes: &[u8], piece: usize) -> Read<Body> {
    let mut end = HeadEnd::default();
    let mut arrived = 0;
    while arrived < bytes.len() {
        arrived = bytes.len().min(arrived.saturating_add(piece.max(1)));
        match end.find(&bytes[..arrived]) {
            Ok(None) => {}
            Err(_) => return Read::Refused,
            Ok(Some(length)) => {
                return match read_request(&bytes[..length], |_| ()) {
                    Ok((facts, ())) => Read::Done(length, facts.framing.into()),
                    Err(_) => Read::Refused,
                };
            }
        }
    }
    Read::Incomplete
}

/// Reads a response's head.
pub fn response_head(bytes: &[u8]) -> Read<Body> {
    match read_response(bytes, Kind::Ordinary, |_| ()) {
        Ok(None) => Read::Incomplete,
        Err(_) => Read::Refused,
        Ok(Some(facts)) => {
            let body = match facts.then {
                Then::Body(framing) => framing.into(),
                Then::Tunnel => Body::Tunnel,
                Then::Another => Body::Response,
            };
            Read::Done(facts.length, body)
        }
    }
}

/// Reads a chunked body that arrives in pieces of `piece` bytes; gives its content.
pub fn chunked(bytes: &[u8], piece: usize) -> Read<Vec<u8>> {
    let (mut chunks, mut content, mut used) = (Chunks::begin(), Vec::new(), 0);
    for part in bytes.chunks(piece.max(1)) {
        match chunks.scan(part, |data| content.extend_from_slice(data)) {
            Ok(count) => used += count,
            Err(_) => return Read::Refused,
        }
        if chunks.is_done() {
            return Read::Done(used, content);
        }
    }
    Read::Incomplete
}

/// Reads a PROXY protocol header.
pub fn proxy_header(bytes: &[u8]) -> Read<()> {
    match proxy_protocol::parse(bytes) {
        Parsed::Incomplete => Read::Incomplete,
        Parsed::Header { len, .. } => Read::Done(len, ()),
        Parsed::Invalid(_) => Read::Refused,
    }
}
