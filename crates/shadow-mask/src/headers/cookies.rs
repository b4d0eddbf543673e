//! Cookies: names and attributes stay, values become tokens whatever their shape.
//!
//! A session ID may well be a UUID or a small number, so shapes do not count here. Values are taken as they are written, as
//! the client sends back what it was given: one cookie has one token in `Set-Cookie` and in `Cookie`. Of the attributes, `Path` is
//! masked as a path and `Domain` treated as the host it is.

use std::borrow::Cow;

use crate::rules::{Place, Strategy};
use crate::scope::{Action, Scope, Syntax, Treatment};

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
                action => Some(written(&action.written(value, Syntax::Plain))),
            };
        }
        let known = ATTRIBUTES.iter().any(|known| is(known)) && self.is_public(attribute);
        if known {
            return Some(Cow::Borrowed(attribute));
        }
        let place = || "attribute of a cookie".to_owned();
        Some(Cow::Owned(self.decide(&place, Treatment::SECRET, attribute).written(attribute, Syntax::Plain)))
    }

    /// A host is kept as that of the request is; the rules for it are those named `host`.
    fn domain(&self, value: &[u8]) -> Action {
        let kept = super::is_plain(value) && std::str::from_utf8(value).is_ok_and(super::is_host);
        match self.rule_by_name(Place::Header, b"host") {
            None if kept => Action::Keep,
            rule => self.decide(&|| "domain of a cookie".to_owned(), rule.unwrap_or(Treatment::SECRET), value),
        }
    }

    fn pair_of_cookie(&self, piece: &[u8]) -> Option<Vec<u8>> {
        let (name, value) = match piece.iter().position(|b| *b == b'=') {
            Some(at) if is_token(piece[..at].trim_ascii_end()) => {
                (piece[..at].trim_ascii_end(), piece[at + 1..].trim_ascii_start())
            }
            _ => {
                let place = || "cookie without a name".to_owned();
                return Some(self.decide(&place, Treatment::SECRET, piece).written(piece, Syntax::Plain));
            }
        };
        let treatment = match self.treatment(Place::Cookie, name) {
            rule @ Treatment::Rule(_) => rule,
            Treatment::Name(_) => Treatment::SECRET,
        };
        let shown = if treatment.is(Strategy::Keep) { name.into() } else { self.name(name) };
        match self.decide(&|| format!("cookie {}", String::from_utf8_lossy(&shown)), treatment, value) {
            Action::Drop => None,
            action => Some([&shown, &b"="[..], &action.written(value, Syntax::Plain)].concat()),
        }
    }
}

/// A cookie's name, as RFC 9110 defines `token`.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}
