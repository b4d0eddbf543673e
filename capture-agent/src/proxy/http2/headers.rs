//! What a proxy must change in a message's head, and nothing else.
//!
//! Guarantee: only hop-by-hop fields (RFC 9110 section 7.6.1) and the framing between two connections change. Everything else
//! keeps its value, order and repetition.

use std::net::SocketAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Uri, Version, request, response};

use crate::config::{Forwarded, Protocol};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether a request carries content, which the head alone does not say in HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// None.
    Absent,
    /// Some, of a length the head may or may not give.
    Present,
}

/// How to address the primary.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its `host:port`.
    pub authority: Authority,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it is told about the client.
    pub forwarded: Forwarded,
    /// What the connection to it uses.
    pub scheme: Scheme,
    /// What the client's connection uses.
    pub client_scheme: &'static str,
}

/// Makes a client's request one to the primary.
pub(super) fn towards_primary(parts: &mut request::Parts, content: Content, target: &Target, peer: SocketAddr) {
    let trailers_wanted = wants_trailers(&parts.headers);
    if target.protocol == Protocol::Http1 {
        remove_hop_by_hop(&mut parts.headers);
        join_cookies(&mut parts.headers);
    }
    if target.forwarded == Forwarded::Append {
        append_forwarded(parts, peer, target.client_scheme);
    }
    readdress(parts, target);
    if target.protocol == Protocol::Http1 {
        if trailers_wanted {
            parts.headers.insert(TE, HeaderValue::from_static("trailers"));
            parts.headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        if content == Content::Present && !parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// Makes the primary's response one to the client.
pub(super) fn towards_client(parts: &mut response::Parts) {
    remove_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_2;
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    codings.map(str::trim).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = connection_tokens(headers).filter_map(|name| name.parse().ok()).collect();
        for name in named {
            // Fields that a message cannot do without are not the connection's to name.
            if name != HOST && name != CONTENT_LENGTH {
                headers.remove(name);
            }
        }
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// RFC 9113 section 8.2.3: HTTP/2 may split the cookie into lines; everyone else expects one.
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(lines) = headers.entry(COOKIE) else { return };
    if lines.iter().count() > 1 {
        let joined = lines.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            headers.insert(COOKIE, joined);
        }
    }
}

fn append_forwarded(parts: &mut request::Parts, peer: SocketAddr, scheme: &'static str) {
    let before = parts.headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let peer = peer.ip().to_canonical().to_string();
    let chain = before.chain([peer.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
    if let Ok(chain) = HeaderValue::from_bytes(&chain) {
        parts.headers.insert(FORWARDED_FOR, chain);
    }
    parts.headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
    if let Some(host) = asked_host(parts) {
        parts.headers.entry(FORWARDED_HOST).or_insert(host);
    }
}

/// An absolute or HTTP/2 target outranks the `Host` header (RFC 9112 section 3.2.2).
fn asked_host(parts: &request::Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => parts.headers.get(HOST).cloned(),
    }
}

fn readdress(parts: &mut request::Parts, target: &Target) {
    let host = asked_host(parts);
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(target.scheme.clone());
    uri.path_and_query = Some(parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    uri.authority = Some(target.authority.clone());
    parts.version = match target.protocol {
        Protocol::Http1 => {
            if let Some(host) = host {
                parts.headers.insert(HOST, host);
            }
            Version::HTTP_11
        }
        Protocol::Http2 => {
            // The connection is the primary's already, so `:authority` is free to say what the client asked for.
            let asked = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
            parts.headers.remove(HOST);
            uri.authority = asked.or(uri.authority);
            Version::HTTP_2
        }
    };
    if let Ok(uri) = Uri::from_parts(uri) {
        parts.uri = uri;
    }
}

#[cfg(test)]
mod tests;
