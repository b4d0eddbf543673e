//! Cookies: names and attributes stay, values become tokens whatever their shape.
//!
//! A session ID may well be a UUID or a small number, so shapes do not count here. Values are taken as they are written, as
//! the client sends back what it was given: one cookie has one token in `Set-Cookie` and in `Cookie`.

use crate::rules::{Place, Strategy};
use crate::scope::{Action, Scope};

/// Attributes of RFC 6265 and what browsers added since.
const ATTRIBUTES: &[&str] =
    &["domain", "expires", "httponly", "max-age", "partitioned", "path", "priority", "samesite", "secure"];

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
            masked.extend_from_slice(b"; ");
            let known = is_attribute(attribute);
            let action = self.decide(Some(if known { Strategy::Keep } else { Strategy::Token }), attribute);
            masked.extend_from_slice(action.written(attribute));
        }
        Some(masked)
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

fn is_attribute(attribute: &[u8]) -> bool {
    let end = attribute.iter().position(|b| *b == b'=').unwrap_or(attribute.len());
    let name = attribute[..end].trim_ascii_end();
    ATTRIBUTES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)) && super::is_plain(attribute)
}

/// A cookie's name, as RFC 9110 defines `token`.
fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}
