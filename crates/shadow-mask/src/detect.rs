//! Detectors: what private values look like wherever they stand, for the profile `detect` and for the forms of tokens.
//!
//! Each class has a file with one function that finds all its places in a text, in time linear in the text: every attempt
//! looks a bounded number of bytes ahead. One pass over the text first tells which detectors can have anything to find. Places that
//! overlap go to the class listed first in [`Class`].

pub(crate) mod address;
pub(crate) mod card;
pub(crate) mod iban;
pub(crate) mod key;
pub(crate) mod mail;
pub(crate) mod number;
pub(crate) mod phone;
pub(crate) mod secret;
pub(crate) mod ssn;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::names::Hint;
use crate::token::Form;

/// What the detectors find. On overlap the class listed first wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A PEM block, from its first dash to its last.
    Pem,
    /// User and password in an address.
    UrlCredentials,
    /// JSON Web Tokens, signed or encrypted.
    Jwt,
    /// Keys of well-known families, by their prefix.
    ApiKey,
    /// What stands behind `password=` and its like in text.
    NamedSecret,
    /// E-mail addresses, internationalised ones too.
    Mail,
    /// IBANs of the registered countries that hold by mod 97.
    Iban,
    /// Card numbers of known issuers that hold by Luhn.
    Card,
    /// US social security numbers.
    Ssn,
    /// Telephone numbers in international form.
    Phone,
    /// Telephone numbers as their country writes them.
    NationalPhone,
    /// IPv6 addresses.
    Ipv6,
    /// IPv4 addresses.
    Ipv4,
    /// Long random strings, such as bearer tokens.
    Entropy,
}

impl Class {
    /// All of them, in order of precedence.
    pub const ALL: [Self; 14] = [
        Self::Pem,
        Self::UrlCredentials,
        Self::Jwt,
        Self::ApiKey,
        Self::NamedSecret,
        Self::Mail,
        Self::Iban,
        Self::Card,
        Self::Ssn,
        Self::Phone,
        Self::NationalPhone,
        Self::Ipv6,
        Self::Ipv4,
        Self::Entropy,
    ];

    /// The form of its tokens.
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Mail => Form::Mail,
            Self::Iban => Form::Iban,
            Self::Card => Form::Card,
            Self::Ssn => Form::Ssn,
            Self::Phone | Self::NationalPhone => Form::Phone,
            Self::Ipv6 => Form::Ipv6,
            Self::Ipv4 => Form::Ipv4,
            Self::Pem | Self::UrlCredentials | Self::Jwt | Self::ApiKey | Self::NamedSecret | Self::Entropy => {
                Form::Text
            }
        }
    }
}

/// The classes in use, and the countries whose national telephone numbers are looked for without a name that says so.
#[derive(Clone, Debug)]
pub(crate) struct Detectors {
    pub(crate) classes: Vec<Class>,
    pub(crate) regions: Vec<phone::Region>,
}

impl Default for Detectors {
    fn default() -> Self {
        Self { classes: Class::ALL.to_vec(), regions: Vec::new() }
    }
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) at: Range<usize>,
    pub(crate) class: Class,
}

/// What a text holds at all: which detectors are worth running.
struct Traits {
    /// Every kind of byte that is there, as bits of [`KINDS`].
    kinds: u8,
    digits: usize,
    /// Of letters, digits, `-` and `_`.
    longest_run: usize,
}

const DIGIT: u8 = 1;
const AT: u8 = 2;
const COLON: u8 = 4;
const DOT: u8 = 8;
const SIGN: u8 = 16;
const HIGH: u8 = 32;
const RUN: u8 = 64;

/// The kinds of every byte.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT | RUN,
            b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => RUN,
            b'@' => AT,
            b':' => COLON,
            b'.' => DOT,
            b'=' | b'+' => SIGN,
            0x80.. => HIGH,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

impl Traits {
    fn of(text: &[u8]) -> Self {
        let (mut traits, mut run) = (Self { kinds: 0, digits: 0, longest_run: 0 }, 0_usize);
        for byte in text {
            let kind = KINDS[usize::from(*byte)];
            traits.kinds |= kind;
            traits.digits += usize::from(kind & DIGIT);
            run = if kind & RUN == 0 { 0 } else { run + 1 };
            traits.longest_run = traits.longest_run.max(run);
        }
        traits
    }

    fn has(&self, kinds: u8) -> bool {
        self.kinds & kinds != 0
    }

    /// Too few of anything for any class: the shortest run is that of `-----BEGIN`.
    fn is_dull(&self) -> bool {
        self.digits < 4 && self.longest_run < 10 && !self.has(AT | COLON | SIGN | HIGH)
    }
}

impl Detectors {
    /// Every private place of `text`, in order, without overlaps.
    pub(crate) fn find(&self, text: &[u8], hint: Hint) -> Vec<Found> {
        let traits = Traits::of(text);
        if traits.is_dull() {
            return Vec::new();
        }
        let count = |byte: u8| text.iter().filter(|b| **b == byte).count();
        let mut found: Vec<Found> = Vec::new();
        for class in &self.classes {
            if found.last().is_some_and(|last| last.at == (0..text.len())) {
                break;
            }
            let mut take = |at| found.push(Found { at, class: *class });
            match class {
                Class::Pem if traits.longest_run >= 5 && text.len() >= 20 => secret::pem(text, &mut take),
                Class::UrlCredentials if traits.has(AT) && traits.has(COLON) => secret::url(text, &mut take),
                Class::Jwt if traits.has(DOT) && traits.longest_run >= 8 => key::jwt(text, &mut take),
                // The shortest prefix with a dot leaves the rest of its run.
                Class::ApiKey if traits.longest_run >= 16 => key::families(text, &mut take),
                Class::NamedSecret if traits.has(SIGN | COLON) => secret::named(text, &mut take),
                Class::Mail if traits.has(AT | HIGH) => mail::find(text, &mut take),
                Class::Iban if traits.digits >= 4 && text.len() >= 15 => iban::find(text, &mut take),
                Class::Card if traits.digits >= 13 => card::find(text, &mut take),
                Class::Ssn if traits.digits >= 9 => ssn::find(text, hint, &mut take),
                Class::Phone if traits.digits >= 7 && (traits.has(SIGN) || hint == Hint::Phone) => {
                    phone::international(text, hint, &mut take);
                }
                Class::NationalPhone if traits.digits >= 7 && (hint == Hint::Phone || !self.regions.is_empty()) => {
                    phone::national(text, hint, &self.regions, &mut take);
                }
                Class::Ipv6 if traits.has(COLON) && count(b':') >= 2 => address::v6(text, &mut take),
                Class::Ipv4 if traits.has(DOT) && traits.digits >= 4 && count(b'.') >= 3 => {
                    address::v4(text, hint, &mut take)
                }
                Class::Entropy if traits.longest_run >= 11 => key::entropy(text, hint, &mut take),
                _ => {}
            }
        }
        settle(found)
    }
}

/// In order of place; of two that overlap the class listed first stays.
fn settle(mut found: Vec<Found>) -> Vec<Found> {
    if found.len() < 2 {
        return found;
    }
    found.sort_by(|a, b| a.at.start.cmp(&b.at.start).then(a.class.cmp(&b.class)));
    let mut settled: Vec<Found> = Vec::with_capacity(found.len());
    for next in found {
        match settled.last_mut() {
            // What looks like an address there is the password and the host, which stays.
            Some(last) if next.at.start < last.at.end && last.class == Class::UrlCredentials => {}
            Some(last) if next.at.start < last.at.end => {
                // The cover of both leaves nothing of either.
                let at = last.at.start..last.at.end.max(next.at.end);
                *last = Found { class: last.class.min(next.class), at };
            }
            _ => settled.push(next),
        }
    }
    settled
}

/// Finds all places of one class.
type Finder = fn(&[u8], &mut dyn FnMut(Range<usize>));

/// The class of which the whole of `value` is one, as far as tokens have forms for it.
pub(crate) fn whole(value: &[u8]) -> Option<Class> {
    let all = 0..value.len();
    let covers = |find: Finder| {
        let mut whole = false;
        find(value, &mut |at| whole |= at == all);
        whole
    };
    if value.contains(&b'@') && covers(mail::find) {
        return Some(Class::Mail);
    }
    match value {
        [a, b, c, d, ..]
            if value.len() <= 42
                && [a, b].iter().all(|l| l.is_ascii_alphabetic())
                && [c, d].iter().all(|d| d.is_ascii_digit()) =>
        {
            covers(iban::find).then_some(Class::Iban)
        }
        [b'0'..=b'9', ..] if value.len() <= 15 && value.contains(&b'.') => address::is_v4(value).then_some(Class::Ipv4),
        _ if value.len() <= 45 && value.contains(&b':') => address::is_v6(value).then_some(Class::Ipv6),
        _ => None,
    }
}

/// Whether a word ends before `at`: nothing of it reaches into what starts there.
fn free_before(text: &[u8], at: usize) -> bool {
    at == 0 || !text[at - 1].is_ascii_alphanumeric()
}

/// Whether no word goes on at `at`.
fn free_after(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
