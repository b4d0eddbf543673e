//! `name=value&...`: query strings and forms.
//!
//! Values are decided on decoded, so that one value has one token in every encoding; what is kept is copied as it was written.
//! A piece without `=` is a value, not a name: `?alice` must not pass as an identifier.

use std::borrow::Cow;

use crate::rules::{Place, Strategy};
use crate::scope::{Action, Scope, Syntax};

impl Scope<'_> {
    /// Masks a query string.
    pub(crate) fn query(&self, query: &str) -> String {
        String::from_utf8_lossy(&self.pairs(Place::Query, query.as_bytes())).into_owned()
    }

    /// Masks pairs in order; dropped ones leave no trace.
    pub(crate) fn pairs(&self, place: Place, pairs: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(pairs.len() + 64);
        let mut first = true;
        for piece in pairs.split(|b| *b == b'&') {
            let start = masked.len();
            if !first {
                masked.push(b'&');
            }
            if self.pair(place, piece, &mut masked) {
                first = false;
            } else {
                masked.truncate(start);
            }
        }
        masked
    }

    /// Writes one masked piece; whether it is still there.
    fn pair(&self, place: Place, piece: &[u8], masked: &mut Vec<u8>) -> bool {
        let (raw_name, raw_value) = match piece.iter().position(|b| *b == b'=') {
            Some(at) => (&piece[..at], Some(&piece[at + 1..])),
            None => (piece, None),
        };
        let name = form_decode(raw_name);
        let treatment = self.treatment(place, &name);
        let at = || format!("{place:?} {}", String::from_utf8_lossy(&self.name(&name))).to_lowercase();
        let Some(raw_value) = raw_value else {
            let action = self.decide(&at, treatment, &name);
            action.write(raw_name, Syntax::Percent, masked);
            return !matches!(action, Action::Drop);
        };
        let action = self.decide(&at, treatment, &form_decode(raw_value));
        match self.name(&name) {
            _ if treatment.is(Strategy::Keep) && !self.hides(&name) => masked.extend_from_slice(raw_name),
            Cow::Borrowed(_) => masked.extend_from_slice(raw_name),
            Cow::Owned(token) => masked.extend_from_slice(&token),
        }
        masked.push(b'=');
        action.write(raw_value, Syntax::Percent, masked);
        !matches!(action, Action::Drop)
    }
}

/// Undoes percent-encoding; escapes that are none stay.
pub(crate) fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 2;
            }
            (byte, ..) => decoded.push(byte),
        }
        at += 1;
    }
    Cow::Owned(decoded)
}

/// The same for forms, in which a plus sign is a space.
fn form_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text);
    }
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    Cow::Owned(percent_decode(&spaced).into_owned())
}
