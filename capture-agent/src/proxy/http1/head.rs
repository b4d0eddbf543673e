//! Reads the heads that pass: where they end, how the body behind them is framed, and what the relay must know besides.
//!
//! Guarantee: a request that two readers could take for different ones is refused before a byte of it goes on
//! ([`Refusal`]). Responses come from a trusted side and are read leniently; one that cannot be read is passed on unread.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use http::{HeaderName, StatusCode};
use shadow_capture::head::{
    LinesCopy, MAX_LINES, RequestCopy, RequestHead, RequestLine, ResponseHead, response_parser, split_target,
};

use super::chunks::Chunks;
use super::framing::Framing;

/// Most bytes of one head.
pub(crate) const MAX_HEAD: usize = 64 << 10;

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not HTTP/1.
    #[error("this is not an HTTP/1 request")]
    Malformed,
    /// A version that is not spoken here.
    #[error("this HTTP version is not supported")]
    Version,
    /// Lines must end in CR LF.
    #[error("a line does not end in CR LF")]
    BareLineFeed,
    /// More than one length, or one beside `Transfer-Encoding`.
    #[error("the body's framing is ambiguous")]
    Ambiguous,
    /// The length is not a number.
    #[error("the Content-Length is not a length")]
    Length,
    /// A coding other than `chunked`.
    #[error("the Transfer-Encoding is not supported")]
    Coding,
    /// The body's chunks.
    #[error("the chunked body is malformed")]
    Chunks,
    /// The head is too long.
    #[error("the head is too large")]
    TooLarge,
    /// The head took too long.
    #[error("the request took too long")]
    TooSlow,
}

impl Refusal {
    /// What the client is told.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What the relay must know of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestFacts {
    /// Bytes of the head, empty line included.
    pub length: usize,
    /// The body behind it.
    pub framing: Framing,
    /// What the request's method makes of its response.
    pub kind: Kind,
    /// Whether it offers to switch protocols, so that what follows may not be HTTP.
    pub switches: bool,
}

/// What a request's method makes of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A response to it has no body, whatever its head says.
    Head,
    /// A successful response to it makes the connection a tunnel.
    Connect,
    /// Anything else.
    Ordinary,
}

/// What the relay must know of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseFacts {
    /// Bytes of the head, empty line included.
    pub length: usize,
    /// What comes behind it.
    pub then: Then,
}

/// What comes behind a response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Another response to the same request.
    Another,
    /// The response's body.
    Body(Framing),
    /// Bytes of another protocol.
    Tunnel,
}

/// A request's head in the connection's buffer.
pub(crate) struct WireRequest<'a> {
    bytes: &'a [u8],
    method: &'a str,
    path: Cow<'a, str>,
    lines: &'a [httparse::Header<'a>],
}

/// A response's head in the connection's buffer.
pub(crate) struct WireResponse<'a> {
    bytes: &'a [u8],
    status: u16,
}

/// Finds the end of a request's head that arrives in pieces, going over each byte once.
#[derive(Debug, Default)]
pub(crate) struct HeadEnd {
    searched: usize,
    lines: usize,
}

impl HeadEnd {
    /// Length of the head at the front of `bytes`, once it is all there.
    ///
    /// # Errors
    /// A line that does not end in CR LF; a head that is too large.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        for feed in memchr::memchr_iter(b'\n', &bytes[self.searched..]) {
            let end = self.searched + feed + 1;
            if !bytes[..end].ends_with(b"\r\n") {
                return Err(Refusal::BareLineFeed);
            }
            if bytes[..end].ends_with(b"\r\n\r\n") {
                *self = Self::default();
                return if end > MAX_HEAD { Err(Refusal::TooLarge) } else { Ok(Some(end)) };
            }
            self.lines += 1;
            // The request line is none of the header's.
            if self.lines > MAX_LINES + 1 {
                return Err(Refusal::TooLarge);
            }
        }
        self.searched = bytes.len();
        if bytes.len() > MAX_HEAD { Err(Refusal::TooLarge) } else { Ok(None) }
    }
}

/// Header lines for which there is room at once; more are looked for only where there are more.
const USUAL_LINES: usize = 48;

/// Reads a whole request head and shows it to `seen`.
///
/// # Errors
/// [`Refusal`]; `seen` has not been called then.
pub(crate) fn read_request<R>(
    bytes: &[u8],
    seen: impl FnOnce(&WireRequest<'_>) -> R,
) -> Result<(RequestFacts, R), Refusal> {
    let Some(start) = RequestLine::read(bytes) else {
        return Err(if is_other_version(bytes) { Refusal::Version } else { Refusal::Malformed });
    };
    let mut usual = [httparse::EMPTY_HEADER; USUAL_LINES];
    match httparse::parse_headers(&bytes[start.length..], &mut usual) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
            let parsed = httparse::parse_headers(&bytes[start.length..], &mut lines);
            read_lines(bytes, start, parsed, seen)
        }
        parsed => read_lines(bytes, start, parsed, seen),
    }
}

/// Whether it is a request but for its version.
fn is_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    line.rsplit(|&byte| byte == b' ').next().is_some_and(|version| version.starts_with(b"HTTP/"))
}

fn read_lines<R>(
    bytes: &[u8],
    start: RequestLine<'_>,
    parsed: httparse::Result<(usize, &[httparse::Header<'_>])>,
    seen: impl FnOnce(&WireRequest<'_>) -> R,
) -> Result<(RequestFacts, R), Refusal> {
    let lines = match parsed {
        Ok(httparse::Status::Complete((length, lines))) if start.length + length == bytes.len() => lines,
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        _ => return Err(Refusal::Malformed),
    };
    let (method, minor) = (start.method, start.minor_version);
    let mut framing = RequestFraming::default();
    let mut switches = method == "CONNECT";
    for line in lines {
        match line.name.len() {
            14 if line.name.eq_ignore_ascii_case("content-length") => framing.length(line.value)?,
            17 if line.name.eq_ignore_ascii_case("transfer-encoding") => framing.coding(line.value, minor)?,
            7 if line.name.eq_ignore_ascii_case("upgrade") => switches = true,
            _ => {}
        }
    }
    let facts = RequestFacts { length: bytes.len(), framing: framing.decide()?, kind: Kind::of(method), switches };
    let path = match start.target_text() {
        Cow::Borrowed(target) => Cow::Borrowed(split_target(target).1),
        Cow::Owned(target) => Cow::Owned(split_target(&target).1.to_owned()),
    };
    Ok((facts, seen(&WireRequest { bytes, method, path, lines })))
}

impl Kind {
    fn of(method: &str) -> Self {
        match method {
            "HEAD" => Self::Head,
            "CONNECT" => Self::Connect,
            _ => Self::Ordinary,
        }
    }
}

/// The framing lines of a request, of which there must not be two.
#[derive(Default)]
struct RequestFraming(Option<Framing>);

impl RequestFraming {
    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.only(Framing::Length(content_length(value).ok_or(Refusal::Length)?))
    }

    fn coding(&mut self, value: &[u8], minor_version: u8) -> Result<(), Refusal> {
        if minor_version == 0 {
            return Err(Refusal::Ambiguous);
        }
        self.only(Framing::Chunked(Chunks::begin()))?;
        if value.eq_ignore_ascii_case(b"chunked") { Ok(()) } else { Err(Refusal::Coding) }
    }

    fn only(&mut self, framing: Framing) -> Result<(), Refusal> {
        if self.0.replace(framing).is_some() { Err(Refusal::Ambiguous) } else { Ok(()) }
    }

    fn decide(self) -> Result<Framing, Refusal> {
        Ok(self.0.unwrap_or(Framing::NONE))
    }
}

/// Digits and nothing else, within 64 bits.
fn content_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

/// A response's head that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Reads the response head at the front of `bytes` and shows a final one to `seen`. `None` while it is not all there.
///
/// # Errors
/// [`Unreadable`].
pub(crate) fn read_response(
    bytes: &[u8],
    to: Kind,
    seen: impl FnOnce(&WireResponse<'_>),
) -> Result<Option<ResponseFacts>, Unreadable> {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_LINES];
    let mut head = httparse::Response::new(&mut []);
    let parsed = response_parser().parse_response_with_uninit_headers(&mut head, bytes, &mut lines);
    let length = match parsed.map_err(|_| Unreadable)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if bytes.len() > MAX_HEAD => return Err(Unreadable),
        httparse::Status::Partial => return Ok(None),
    };
    let (Some(status), Some(minor)) = (head.code, head.version) else { return Err(Unreadable) };
    let then = match (status, to) {
        (101, _) | (200..300, Kind::Connect) => Then::Tunnel,
        (100..200, _) => Then::Another,
        (204 | 304, _) | (_, Kind::Head) => Then::Body(Framing::NONE),
        _ => Then::Body(response_framing(head.headers, minor)?),
    };
    if matches!(then, Then::Body(_)) {
        seen(&WireResponse { bytes: &bytes[..length], status });
    }
    Ok(Some(ResponseFacts { length, then }))
}

/// RFC 9112 section 6.3, as a client reads it.
fn response_framing(lines: &[httparse::Header<'_>], minor_version: u8) -> Result<Framing, Unreadable> {
    let mut length = None;
    let mut codings = None;
    for line in lines {
        if line.name.eq_ignore_ascii_case("transfer-encoding") {
            codings = Some(line.value);
        } else if line.name.eq_ignore_ascii_case("content-length") {
            // A list of equal lengths is one (RFC 9112 section 6.3).
            for found in line.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                let found = content_length(found).ok_or(Unreadable)?;
                if length.replace(found).is_some_and(|before| before != found) {
                    return Err(Unreadable);
                }
            }
        }
    }
    let last = codings.and_then(|value| value.rsplit(|&byte| byte == b',').next());
    Ok(match (last, length) {
        (Some(last), _) if minor_version == 1 && last.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            Framing::Chunked(Chunks::begin_response())
        }
        (None, Some(length)) => Framing::Length(length),
        _ => Framing::UntilClose,
    })
}

impl<'a> WireRequest<'a> {
    /// As it stands in the buffer, start line and empty line included.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Name and value of each line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.lines.iter().map(|line| (line.name, line.value))
    }
}

impl RequestHead for WireRequest<'_> {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.lines().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_str())).map(|(_, value)| value)
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn copy(&self) -> RequestCopy {
        RequestCopy::Wire(self.bytes.into())
    }
}

impl ResponseHead for WireResponse<'_> {
    fn status(&self) -> u16 {
        self.status
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn copy(&self) -> LinesCopy {
        LinesCopy::Wire(self.bytes.into())
    }
}

#[cfg(test)]
mod tests;
