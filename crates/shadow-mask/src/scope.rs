//! The rules that apply to one message, and the decision about one value.
//!
//! Everything that is masked passes through [`Scope::decide`]. Further profiles and detectors belong there.

use std::borrow::Cow;

use crate::masker::Masker;
use crate::rules::{JsonPath, Place, Rule, Strategy};
use crate::secret::is_secret;
use crate::shape;
use crate::token::{REDACTED, Token, Tokenizer};

/// What becomes of one value.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Copied as it was written.
    Keep,
    /// Replaced.
    Token(Token),
    /// Replaced by the mark.
    Redact,
    /// Removed with its name.
    Drop,
}

impl Action {
    /// What is written in the value's place; nothing for a dropped one.
    pub(crate) fn written<'a>(&'a self, raw: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Keep => raw,
            Self::Token(token) => token.as_bytes(),
            Self::Redact => REDACTED.as_bytes(),
            Self::Drop => b"",
        }
    }
}

/// The rules in scope of one message, in order.
pub(crate) struct Scope<'m> {
    pub(crate) masker: &'m Masker,
    pub(crate) rules: Vec<&'m Rule>,
}

impl<'m> Scope<'m> {
    /// The strategy of the first rule that selects `name`; without one, that of a name which says it is secret.
    pub(crate) fn strategy(&self, place: Place, name: &[u8]) -> Option<Strategy> {
        let rule = self.rules.iter().find(|rule| rule.names(place).contains(name));
        rule.map(|rule| rule.strategy)
            .or_else(|| is_secret_name(&self.masker.tokenizer, name).then_some(Strategy::Token))
    }

    /// The same, by rules that list the name itself.
    pub(crate) fn strategy_by_name(&self, place: Place, name: &[u8]) -> Option<Strategy> {
        self.rules.iter().find(|rule| rule.names(place).lists(name)).map(|rule| rule.strategy)
    }

    /// Every JSON path in scope with the number of its rule.
    pub(crate) fn json_paths(&self) -> Vec<(usize, &'m JsonPath)> {
        let rules = self.rules.iter().enumerate();
        rules.flat_map(|(number, rule)| rule.json.iter().map(move |path| (number, path))).collect()
    }

    pub(crate) fn decide(&self, strategy: Option<Strategy>, value: &[u8]) -> Action {
        decide(&self.masker.tokenizer, strategy, value)
    }

    /// A name that no rule keeps.
    pub(crate) fn name<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        if crate::rules::name_is_kept(name) || self.masker.tokenizer.is_masked(name) {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(self.masker.tokenizer.token(name).as_bytes().to_vec())
        }
    }
}

/// Whether a name as it was sent says its value is secret. A token says nothing, whatever letters it ends in.
pub(crate) fn is_secret_name(tokenizer: &Tokenizer, name: &[u8]) -> bool {
    is_secret(name) && !tokenizer.is_masked(name)
}

/// Decides about one decoded value.
pub(crate) fn decide(tokenizer: &Tokenizer, strategy: Option<Strategy>, value: &[u8]) -> Action {
    match strategy {
        Some(Strategy::Keep) => Action::Keep,
        Some(Strategy::Drop) => Action::Drop,
        Some(Strategy::Redact) => Action::Redact,
        Some(Strategy::Token) if value.is_empty() => Action::Keep,
        None if shape::is_harmless(value) => Action::Keep,
        Some(Strategy::Token) | None if tokenizer.is_masked(value) => Action::Keep,
        Some(Strategy::Token) | None => Action::Token(tokenizer.token(value)),
    }
}
