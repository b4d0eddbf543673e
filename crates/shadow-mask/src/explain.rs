//! What masking did to one message, place by place, for `shadowctl mask --explain`. Never holds a value.

use std::cell::RefCell;

use crate::detect::Class;

/// What decided about one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The rule of that number, counted from 1.
    Rule(usize),
    /// Its name says it is secret, or it is a cookie.
    SecretName,
    /// Its name says it is about a person.
    PrivateName,
    /// It has an allow-listed shape.
    Shape,
    /// It is masked already.
    Masked,
    /// Detectors found something in it.
    Detectors(Vec<Class>),
    /// No detector found anything in it.
    Nothing,
    /// `strict` masks what nothing else names.
    Unknown,
    /// A name that is not made of known words.
    UnknownName,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Such as `query page` or `json $.items[*].name`.
    pub place: String,
    /// What decided.
    pub actor: Actor,
    /// What was done: `kept`, `token`, `redacted`, `dropped`, `rewritten`.
    pub action: &'static str,
}

/// Collects decisions.
#[derive(Debug, Default)]
pub(crate) struct Trace(RefCell<Vec<Decision>>);

impl Trace {
    pub(crate) fn note(&self, place: String, actor: Actor, action: &'static str) {
        self.0.borrow_mut().push(Decision { place, actor, action });
    }

    pub(crate) fn into_decisions(self) -> Vec<Decision> {
        self.0.into_inner()
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rule(number) => write!(f, "rule {number}"),
            Self::SecretName => f.write_str("a name of secrets"),
            Self::PrivateName => f.write_str("a name of private things"),
            Self::Shape => f.write_str("an allow-listed shape"),
            Self::Masked => f.write_str("masked already"),
            Self::Detectors(classes) => write!(f, "detected {classes:?}"),
            Self::Nothing => f.write_str("nothing detected"),
            Self::Unknown => f.write_str("unknown, so private"),
            Self::UnknownName => f.write_str("a name of unknown words"),
        }
    }
}
