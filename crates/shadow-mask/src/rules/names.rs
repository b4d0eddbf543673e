//! The names a rule selects by.

use crate::shape;
use crate::token::{Token, Tokenizer};

/// A name as the rule writes it and, where masking replaces such names, as masked data writes it. A rule so selects the
/// same values in masked data as in raw data, without which masking would not be idempotent.
#[derive(Clone)]
pub(crate) struct Name {
    raw: Box<[u8]>,
    masked: Option<Token>,
}

impl Name {
    pub(crate) fn of(raw: impl Into<Box<[u8]>>) -> Self {
        Self { raw: raw.into(), masked: None }
    }

    /// Learns what the key makes of the name.
    pub(crate) fn bind(&mut self, tokenizer: &Tokenizer) {
        self.masked = (!name_is_kept(&self.raw)).then(|| tokenizer.token(&self.raw));
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        *self.raw == *name || self.masked.is_some_and(|token| token.as_bytes() == name)
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.raw))
    }
}

/// Whether the name of a JSON member, query parameter or form field stays readable without a rule.
pub(crate) fn name_is_kept(name: &[u8]) -> bool {
    shape::is_identifier(name) || shape::is_harmless(name)
}

/// Names, or all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameSet {
    all: bool,
    names: Vec<Name>,
}

impl NameSet {
    /// `*` stands for all.
    pub(super) fn of(names: &[String]) -> Self {
        let listed = names.iter().filter(|name| *name != "*").map(|name| Name::of(name.as_bytes()));
        Self { all: names.iter().any(|name| name == "*"), names: listed.collect() }
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.all || self.lists(name)
    }

    /// Whether it holds the name itself, not by `*`.
    pub(crate) fn lists(&self, name: &[u8]) -> bool {
        self.names.iter().any(|listed| listed.matches(name))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Name> {
        self.names.iter_mut()
    }
}
