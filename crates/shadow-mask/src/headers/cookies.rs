//! Cookies: names and attributes stay, values become tokens whatever their shape.
//!
//! A session ID may well be a UUID or a small number, so shapes do not count here. Values are taken as they are written, as
//! the client sends back what it was given: one cookie has one token in `Set-Cookie` and in `Cookie`. Of the attributes, `Path` is
//! masked as a path and `Domain` treated as the host it is.

use std::borrow::Cow;

use crate::rules::{Place, Strategy};
use crate::scope::{Action, Scope};

/// Attributes of RFC 6265, and what browsers added since, that say nothing about a person.
const ATTRIBUTES: &[&str] = &["expires", "httponly", "max-age", "partitioned", "priority", "samesite", "secure"];

impl Scope<'_> {
    /// Masks a `Cookie` line; `None` when no cookie is left.
    pub(super) fn cookie(&self, line: &[u8]) -> Option<Vec<u8>> {
        let pieces = line.split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|piece| !piece.is_empty());
        let masked: Vec<_> = pieces.filter_map(|piece| self.pair_of_cookie(piece)).collect();
        (!masked.is_empty()).then(|| masked.join(&b"; "[..]))
    }

    /// Masks a `Set-Cookie` line; `None` when its cookie is dropped.
    pub(super) fn set_cookie(&self, line: &[u8]) -> Option<Vec<u8>> {
        let mut pieces = line.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let mut masked = self.pair_of_cookie(pieces.next()?)?;
        for attribute in pieces.filter(|piece| !piece.is_empty()) {
            if let Some(attribute) = self.attribute(attribute) {
                masked.extend_from_slice(b"; ");
                masked.extend_from_slice(&attribute);
            }
        }
        Some(masked)
    }

    /// Masks one attribute; `None` for one that is dropped.
    fn attribute<'a>(&self, attribute: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let (name, value) = match attribute.iter().position(|b| *b == b'=') {
            Some(at) => (attribute[..at].trim_ascii_end(), attribute[at + 1..].trim_ascii_start()),
            None => (attribute, &b""[..]),
        };
        let written = |value: &[u8]| Cow::Owned([name, b"=", value].concat());
        let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        // As that of a GET, like the addresses in headers: it leads to where the cookie is sent back.
        if is("path")
            && let Ok(path) = std::str::from_utf8(value)
        {
            return Some(written(self.path("GET", path).as_bytes()));
        }
        if is("domain") {
            return match self.domain(value) {
                Action::Drop => None,
                action => Some(written(action.written(value))),
            };
        }
        let known = ATTRIBUTES.iter().any(|known| is(known)) && super::is_plain(attribute);
        if known {
            return Some(Cow::Borrowed(attribute));
        }
        Some(Cow::Owned(self.decide(Some(Strategy::Token), attribute).written(attribute).to_vec()))
    }

    /// A host is kept as that of the request is; the rules for it are those named `host`.
    fn domain(&self, value: &[u8]) -> Action {
        let kept = super::is_plain(value) && std::str::from_utf8(value).is_ok_and(super::is_host);
        let strategy = self.strategy_by_name(Place::Header, b"host");
        self.decide(strategy.or(Some(if kept { Strategy::Keep } else { Strategy::Token })), value)
    }

    fn pair_of_cookie(&self, piece: &[u8]) -> Option<Vec<u8>> {
        let (name, value) = match piece.iter().position(|b| *b == b'=') {
            Some(at) if is_token(piece[..at].trim_ascii_end()) => {
                (piece[..at].trim_ascii_end(), piece[at + 1..].trim_ascii_start())
            }
            _ => return Some(self.decide(Some(Strategy::Token), piece).written(piece).to_vec()),
        };
        match self.decide(self.strategy(Place::Cookie, name).or(Some(Strategy::Token)), value) {
            Action::Drop => None,
            action => Some([name, b"=", action.written(value)].concat()),
        }
    }
}

/// A cookie's name, as RFC 9110 defines `token`.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}
