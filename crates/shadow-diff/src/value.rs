//! When two unequal values count as equal: what each kind of rule says about two scalars.
//!
//! The same holds for values of bodies and of headers, which are strings.

mod instant;
mod tolerance;

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};

use crate::document::{Document, Id, Kind};
use crate::hash;
use crate::number::{Decimal, is_number};

pub(crate) use tolerance::Tolerance;

/// A value without parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
}

impl<'a> Scalar<'a> {
    /// The value at `id`, unless it has parts.
    pub(crate) fn of(document: &'a Document, id: Id) -> Option<Self> {
        let kind = document.kind(id);
        let whole = !matches!(kind, Kind::Array | Kind::Object | Kind::Ambiguous);
        whole.then(|| Self { kind, text: document.text(id) })
    }

    /// A header's value.
    pub(crate) fn header(text: &'a str) -> Self {
        Self { kind: Kind::String, text }
    }

    /// The number it is, or spells.
    fn number(&self) -> Option<Decimal<'a>> {
        let numeric = match self.kind {
            Kind::Number => true,
            Kind::String => is_number(self.text),
            _ => false,
        };
        numeric.then(|| Decimal::read(self.text))
    }
}

/// What a rule says about two scalars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Equivalence {
    Tolerance(Tolerance),
    Pattern(Pattern),
    Normalization(Normalization),
    Timestamp {
        /// Nanoseconds.
        within: i128,
        /// Whether an instant may be written otherwise, in another unit for instance.
        any_notation: bool,
    },
    Uuid,
}

/// A regular expression for whole values.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Pattern {
    pub(crate) fn parse(pattern: &str) -> Result<Self, &'static str> {
        // The pattern alone is parsed first: `a)|(b` must not become one by being wrapped.
        let parsed = RegexBuilder::new(pattern).size_limit(1 << 20).build();
        let whole = parsed.and_then(|_| RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build());
        whole.map(Self).map_err(|_| "`pattern` is not a regular expression that can be used")
    }
}

/// What does not count of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Normalization {
    pub(crate) case: bool,
    /// At both ends, and how much of it between words.
    pub(crate) whitespace: bool,
    /// How a string writes a number.
    pub(crate) number: bool,
    /// Whether a number is written as a string.
    pub(crate) number_type: bool,
}

impl Normalization {
    /// What drops all that either drops.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            case: self.case || other.case,
            whitespace: self.whitespace || other.whitespace,
            number: self.number || other.number,
            number_type: self.number_type || other.number_type,
        }
    }

    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = match self.whitespace {
            true => Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            false => Cow::Borrowed(text),
        };
        if self.case { Cow::Owned(text.to_lowercase()) } else { text }
    }

    /// A hash of what counts; equal exactly for equal values.
    fn hash(&self, scalar: Scalar<'_>) -> Option<u128> {
        let text = match scalar.kind {
            Kind::String => self.text(scalar.text),
            Kind::Number if self.number_type => return Some(Decimal::read(scalar.text).hash()),
            _ => return None,
        };
        if self.number && is_number(&text) {
            return Some(Decimal::read(&text).hash());
        }
        Some(hash::text(b's', text.as_bytes()))
    }
}

impl Equivalence {
    /// Whether the two count as equal.
    pub(crate) fn holds(&self, a: Scalar<'_>, b: Scalar<'_>) -> bool {
        match self {
            Self::Tolerance(tolerance) => match (a.number(), b.number()) {
                (Some(x), Some(y)) => a.kind == b.kind && tolerance.allows(x, y),
                _ => false,
            },
            Self::Timestamp { within, any_notation } => match (instant::of(a), instant::of(b)) {
                (Some(x), Some(y)) => {
                    let alike = a.kind == b.kind && (*any_notation || x.notation == y.notation);
                    alike && x.nanoseconds.abs_diff(y.nanoseconds) <= within.unsigned_abs()
                }
                _ => false,
            },
            Self::Pattern(_) | Self::Normalization(_) | Self::Uuid => {
                let (a, b) = (self.fold(a), self.fold(b));
                a.is_some() && a == b
            }
        }
    }

    /// A hash that all values have which may count as equal to this one; `None` for values that the rule says nothing about.
    pub(crate) fn fold(&self, scalar: Scalar<'_>) -> Option<u128> {
        let class = |of: bool, tag: u8| of.then(|| hash::text(tag, scalar.kind.as_str().as_bytes()));
        match self {
            Self::Tolerance(_) => class(scalar.number().is_some(), b'T'),
            Self::Timestamp { any_notation, .. } => {
                let notation = instant::of(scalar)?.notation;
                let notation = if *any_notation { u8::MAX } else { notation as u8 };
                Some(hash::joined(b'I', &[notation], scalar.kind.as_str().as_bytes()))
            }
            Self::Pattern(Pattern(regex)) => {
                let text = matches!(scalar.kind, Kind::String | Kind::Number).then_some(scalar.text);
                class(text.is_some_and(|text| regex.is_match(text)), b'P')
            }
            Self::Normalization(normalization) => normalization.hash(scalar),
            Self::Uuid => class(scalar.kind == Kind::String && is_uuid(scalar.text), b'U'),
        }
    }

    /// Where the value stands among those it may count as equal to: pairs that are nearest are compared. Approximate.
    pub(crate) fn rank(&self, scalar: Scalar<'_>) -> Option<f64> {
        match self {
            Self::Tolerance(_) => scalar.number().and_then(|_| scalar.text.parse().ok()),
            Self::Timestamp { .. } => instant::of(scalar).map(|at| at.nanoseconds as f64),
            _ => None,
        }
    }
}

/// The notation with hyphens, or 32 digits without any.
fn is_uuid(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    let hyphenated = text.len() == 36;
    (hyphenated || text.len() == 32)
        && text.bytes().enumerate().all(|(at, byte)| match hyphenated && hyphens.contains(&at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests;
