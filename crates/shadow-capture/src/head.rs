//! What the line needs of a message's head, whatever form the head has where it is seen.
//!
//! Guarantee: on the hot path a head is looked at where it lies and copied once; it is taken apart on the masking threads.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, request, response};

/// Most header lines of one head.
pub const MAX_LINES: usize = 256;

/// A request's head where it is seen.
pub trait RequestHead {
    /// As the client wrote it.
    fn method(&self) -> &str;
    /// Raw, without scheme, host and query.
    fn path(&self) -> &str;
    /// The values of one header, in order.
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]>;
    /// Bytes that a copy takes.
    fn size(&self) -> usize;
    /// A copy that shares no memory with the connection.
    fn copy(&self) -> RequestCopy;
}

/// A response's head where it is seen.
pub trait ResponseHead {
    /// Status code.
    fn status(&self) -> u16;
    /// Bytes that a copy takes.
    fn size(&self) -> usize;
    /// A copy that shares no memory with the connection.
    fn copy(&self) -> LinesCopy;
}

/// A copied request head.
#[derive(Debug)]
pub enum RequestCopy {
    /// As an HTTP library parsed it.
    Parsed(Box<OpenHead>),
    /// The bytes of an HTTP/1 head, start line and empty line included, which some parser has accepted.
    Wire(Box<[u8]>),
}

/// Copied header lines of a response.
#[derive(Debug)]
pub enum LinesCopy {
    /// As an HTTP library parsed them.
    Parsed(HeaderMap),
    /// The bytes of an HTTP/1 head, status line and empty line included, which some parser has accepted.
    Wire(Box<[u8]>),
}

/// A request's head taken apart.
#[derive(Clone, Debug)]
pub struct OpenHead {
    /// As the client wrote it.
    pub method: String,
    /// Host the client asked for.
    pub authority: String,
    /// Raw, without the query.
    pub path: String,
    /// Raw.
    pub query: Option<String>,
    /// All header lines.
    pub headers: HeaderMap,
}

/// A copied head is not HTTP after all.
#[derive(Debug, thiserror::Error)]
#[error("a copied head cannot be read again: {0}")]
pub struct Unreadable(String);

impl RequestCopy {
    /// Takes the head apart.
    ///
    /// # Errors
    /// [`Unreadable`] if no parser ever accepted it.
    pub fn open(self) -> Result<OpenHead, Unreadable> {
        match self {
            Self::Parsed(head) => Ok(*head),
            Self::Wire(bytes) => open_wire(&bytes),
        }
    }
}

impl LinesCopy {
    /// Takes the lines apart.
    ///
    /// # Errors
    /// [`Unreadable`] if no parser ever accepted them.
    pub fn open(self) -> Result<HeaderMap, Unreadable> {
        let bytes = match self {
            Self::Parsed(headers) => return Ok(headers),
            Self::Wire(bytes) => bytes,
        };
        let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
        let mut head = httparse::Response::new(&mut lines);
        response_parser().parse_response(&mut head, &bytes).map_err(|error| Unreadable(error.to_string()))?;
        header_map(head.headers)
    }
}

/// How leniently a primary's response heads are read. What passes is passed on byte for byte in any case.
pub fn response_parser() -> httparse::ParserConfig {
    let mut parser = httparse::ParserConfig::default();
    parser
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    parser
}

fn open_wire(bytes: &[u8]) -> Result<OpenHead, Unreadable> {
    let start = RequestLine::read(bytes).ok_or_else(|| Unreadable("its request line".to_owned()))?;
    let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
    let headers = match httparse::parse_headers(&bytes[start.length..], &mut lines) {
        Ok(httparse::Status::Complete((_, lines))) => header_map(lines)?,
        Ok(httparse::Status::Partial) => return Err(Unreadable("it has no end".to_owned())),
        Err(error) => return Err(Unreadable(error.to_string())),
    };
    let target = start.target_text();
    let (authority, path, query) = split_target(&target);
    let authority = authority.map_or_else(|| host(&headers), str::to_owned);
    Ok(OpenHead {
        method: start.method.to_owned(),
        authority,
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers,
    })
}

/// The first line of an HTTP/1 request. Its target may have any byte that cannot end it: servers take more than grammars allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// As the client wrote it.
    pub method: &'a str,
    /// Raw.
    pub target: &'a [u8],
    /// The x of HTTP/1.x; higher versions are read as the highest known.
    pub minor_version: u8,
    /// Bytes of the line, its end included.
    pub length: usize,
}

impl<'a> RequestLine<'a> {
    /// Reads the line at the front of a head. `None`: it is none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let length = bytes.iter().position(|&byte| byte == b'\n')? + 1;
        let line = bytes[..length].strip_suffix(b"\r\n")?;
        let mut words = line.split(|&byte| byte == b' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let minor = version.strip_prefix(b"HTTP/1.").filter(|minor| minor.len() == 1 && minor[0].is_ascii_digit())?;
        let targeted = !target.is_empty() && target.iter().all(|&byte| byte > b' ' && byte != 0x7f);
        let named = !method.is_empty() && method.iter().all(|&byte| is_token(byte));
        if words.next().is_some() || !targeted || !named {
            return None;
        }
        let method = std::str::from_utf8(method).ok()?;
        Some(Self { method, target, minor_version: (minor[0] - b'0').min(1), length })
    }

    /// The target as text: bytes beyond ASCII that are not UTF-8 are written as `%XX`.
    pub fn target_text(&self) -> Cow<'a, str> {
        match std::str::from_utf8(self.target) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => self.target.iter().fold(String::with_capacity(self.target.len() + 16), escape).into(),
        }
    }
}

fn escape(mut text: String, &byte: &u8) -> String {
    if byte.is_ascii() {
        text.push(char::from(byte));
    } else {
        // Writing to a string cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
    text
}

/// What names are made of (RFC 9110 section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The authority (of an absolute target only), path and query of a request target. A target without a path has the path `/`.
pub fn split_target(target: &str) -> (Option<&str>, &str, Option<&str>) {
    let (authority, rest) = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ => (None, target),
    };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    (authority, if path.is_empty() { "/" } else { path }, query)
}

fn header_map(lines: &[httparse::Header<'_>]) -> Result<HeaderMap, Unreadable> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|error| Unreadable(error.to_string()))?;
        let value = HeaderValue::from_bytes(&unfolded(line.value)).map_err(|error| Unreadable(error.to_string()))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// A value that was folded over lines, on one (RFC 9112 section 5.2).
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        value.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }).collect()
    } else {
        Cow::Borrowed(value)
    }
}

fn host(headers: &HeaderMap) -> String {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned()
}

impl RequestHead for request::Parts {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        self.uri.path()
    }

    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn size(&self) -> usize {
        self.uri.path().len() + self.uri.query().map_or(0, str::len) + lines_size(&self.headers)
    }

    fn copy(&self) -> RequestCopy {
        let authority = self.uri.authority().map(|authority| authority.as_str().to_owned());
        RequestCopy::Parsed(Box::new(OpenHead {
            method: self.method.as_str().to_owned(),
            authority: authority.unwrap_or_else(|| host(&self.headers)),
            path: self.uri.path().to_owned(),
            query: self.uri.query().map(str::to_owned),
            headers: detach(&self.headers),
        }))
    }
}

impl RequestHead for OpenHead {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn size(&self) -> usize {
        self.path.len() + self.query.as_ref().map_or(0, String::len) + lines_size(&self.headers)
    }

    fn copy(&self) -> RequestCopy {
        RequestCopy::Parsed(Box::new(self.clone()))
    }
}

impl ResponseHead for response::Parts {
    fn status(&self) -> u16 {
        self.status.as_u16()
    }

    fn size(&self) -> usize {
        lines_size(&self.headers)
    }

    fn copy(&self) -> LinesCopy {
        LinesCopy::Parsed(detach(&self.headers))
    }
}

fn lines_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// A copy that shares no memory with the connection's read buffer, which a shared header value would pin as a whole.
fn detach(headers: &HeaderMap) -> HeaderMap {
    let mut values = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    headers.values().for_each(|value| values.extend_from_slice(value.as_bytes()));
    let mut values = values.freeze();
    let mut copy = headers.clone();
    for value in copy.values_mut() {
        let own: Bytes = values.split_to(value.len());
        if let Ok(own) = HeaderValue::from_maybe_shared(own) {
            *value = own;
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detached_headers_equal_the_original_in_order_and_repetition() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", ""), ("a", "2"), ("c", "x y"), ("b", "3")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let copy = detach(&headers);
        assert_eq!(copy, headers);
        assert!(copy.iter().zip(&headers).all(|(a, b)| a == b));
    }

    #[test]
    fn request_lines_are_read_whatever_their_target_holds() {
        let line = RequestLine::read(b"GET /a|b\xe9 HTTP/1.1\r\nHost: h\r\n").unwrap();
        assert_eq!((line.method, line.minor_version, line.length), ("GET", 1, 20));
        assert_eq!(line.target_text(), "/a|b%E9");
        assert_eq!(RequestLine::read("GET /\u{e9} HTTP/1.0\r\n".as_bytes()).unwrap().target_text(), "/\u{e9}");
        for none in [
            &b"GET / HTTP/1.1\n"[..],
            b"GET /  HTTP/1.1\r\n",
            b"GET  HTTP/1.1\r\n",
            b" GET / HTTP/1.1\r\n",
            b"G@T / HTTP/1.1\r\n",
            b"GET /a b HTTP/1.1\r\n",
            b"GET /\t HTTP/1.1\r\n",
            b"GET / HTTP/2.0\r\n",
            b"GET / HTTP/1.10\r\n",
            b"GET / http/1.1\r\n",
            b"GET /\r\n",
            b"GET / HTTP/1.1",
        ] {
            assert_eq!(RequestLine::read(none), None, "{}", none.escape_ascii());
        }
    }

    #[test]
    fn targets_split_into_authority_path_and_query() {
        for (target, expected) in [
            ("/", (None, "/", None)),
            ("/a/b?c=d?e", (None, "/a/b", Some("c=d?e"))),
            ("/to?url=http://x/y", (None, "/to", Some("url=http://x/y"))),
            ("/http://x", (None, "/http://x", None)),
            ("*", (None, "*", None)),
            ("http://shop:80/a?b", (Some("shop:80"), "/a", Some("b"))),
            ("http://shop", (Some("shop"), "/", None)),
            ("http://shop?q", (Some("shop"), "/", Some("q"))),
            ("shop:443", (None, "shop:443", None)),
        ] {
            assert_eq!(split_target(target), expected, "{target}");
        }
    }

    #[test]
    fn a_head_copied_from_the_wire_opens_as_its_parsed_twin_does() {
        let wire = b"GET /a?b=c HTTP/1.1\r\nHost: shop\r\nX-A: 1\r\nx-a: 2\r\nX-Raw: \xe9\r\n\r\n";
        let open = RequestCopy::Wire(wire.to_vec().into()).open().unwrap();
        assert_eq!((open.method.as_str(), open.authority.as_str(), open.path.as_str()), ("GET", "shop", "/a"));
        assert_eq!(open.query.as_deref(), Some("b=c"));
        assert_eq!(open.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(open.headers["x-raw"].as_bytes(), b"\xe9");
        let folded = b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\n\r\n";
        let lines = LinesCopy::Wire(folded.to_vec().into()).open().unwrap();
        assert_eq!(lines["x-long"].to_str().unwrap().split_whitespace().collect::<Vec<_>>(), ["one", "two"]);
        assert!(RequestCopy::Wire(b"nonsense".to_vec().into()).open().is_err());
    }
}
