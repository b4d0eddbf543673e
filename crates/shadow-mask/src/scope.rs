//! The rules that apply to one message, and the decision about one value.
//!
//! Everything that is masked passes through [`Scope::decide`]: a rule first, then what the name says, then the profile.

mod action;

use std::borrow::Cow;
use std::sync::Arc;

pub(crate) use action::{Action, Syntax, escape};

use crate::detect::Found;
use crate::explain::{Actor, Trace};
use crate::masker::Masker;
use crate::names::{self, Hint, Reading, Says};
use crate::rules::{Place, Profile, Rule, Strategy};
use crate::shape;
use crate::token::{Form, Token, Tokenizer};

/// Hidden values of so many bytes are found within others, too.
const FOUND_WITHIN: usize = 8;

/// How often a value is searched; one that never settles becomes one token.
const MAX_ROUNDS: u32 = 4;

/// What is known about a value before it is looked at.
#[derive(Clone, Copy)]
pub(crate) enum Treatment<'r> {
    /// The first rule that selects it.
    Rule(&'r Rule),
    /// What its name says.
    Name(Says),
}

impl Treatment<'_> {
    /// Nothing is known.
    pub(crate) const PLAIN: Self = Self::Name(Says::Nothing(Hint::Nothing));
    /// It is secret wherever it stands, as cookies are.
    pub(crate) const SECRET: Self = Self::Name(Says::Secret);

    pub(crate) fn is(&self, strategy: Strategy) -> bool {
        matches!(self, Self::Rule(rule) if rule.strategy == strategy)
    }
}

/// The rules in scope of one message, in order.
pub(crate) struct Scope<'m> {
    pub(crate) masker: &'m Masker,
    pub(crate) rules: Vec<&'m Rule>,
    /// Values that are redacted wherever they stand.
    pub(crate) hidden: &'m [Arc<str>],
    pub(crate) profile: Profile,
    pub(crate) trace: Option<&'m Trace>,
}

impl<'m> Scope<'m> {
    /// What the first rule that selects `name` does; without one, what the name says.
    pub(crate) fn treatment(&self, place: Place, name: &[u8]) -> Treatment<'m> {
        match self.rules.iter().find(|rule| rule.names(place).contains(name)) {
            Some(rule) => Treatment::Rule(rule),
            None => Treatment::Name(self.says(name)),
        }
    }

    /// The rule that lists the name itself.
    pub(crate) fn rule_by_name(&self, place: Place, name: &[u8]) -> Option<Treatment<'m>> {
        self.rules.iter().find(|rule| rule.names(place).lists(name)).map(|rule| Treatment::Rule(rule))
    }

    /// What a name as it was sent says.
    pub(crate) fn says(&self, name: &[u8]) -> Says {
        self.says_of(names::read(name), name)
    }

    /// The same of a name that was read. A token says nothing, whatever letters it ends in.
    pub(crate) fn says_of(&self, reading: Reading, name: &[u8]) -> Says {
        match reading.says {
            Says::Nothing(hint) => Says::Nothing(hint),
            _ if self.tokenizer().is_masked(name) => Says::Nothing(Hint::Nothing),
            says => says,
        }
    }

    pub(crate) fn tokenizer(&self) -> &'m Tokenizer {
        &self.masker.tokenizer
    }

    /// Decides about one decoded value at a place.
    pub(crate) fn decide(&self, place: &dyn Fn() -> String, treatment: Treatment<'_>, value: &[u8]) -> Action {
        let (action, actor) = self.choose(treatment, value);
        if let Some(trace) = self.trace {
            let actor = match actor {
                Actor::Detectors(_) => Actor::Detectors(self.classes(treatment, value)),
                actor => actor,
            };
            trace.note(place(), actor, action.name());
        }
        action
    }

    #[inline(always)] // so that the actor costs nothing where nobody asks for it
    fn choose(&self, treatment: Treatment<'_>, value: &[u8]) -> (Action, Actor) {
        if self.hides(value) {
            return (Action::Redact, Actor::SecretName);
        }
        match treatment {
            Treatment::Rule(rule) => (self.obey(rule, value), Actor::Rule(rule.number)),
            Treatment::Name(Says::Secret) => (self.token(value), Actor::SecretName),
            Treatment::Name(Says::Private) if self.profile == Profile::Strict => {
                (self.token(value), Actor::PrivateName)
            }
            Treatment::Name(says) => match self.profile {
                Profile::Strict if shape::is_harmless(value) => (Action::Keep, Actor::Shape),
                Profile::Strict => match self.token(value) {
                    Action::Keep => (Action::Keep, Actor::Masked),
                    action => (action, Actor::Unknown),
                },
                Profile::Detect => self.detect(hint(says), value),
            },
        }
    }

    /// Whether the value holds one that nobody is to see.
    #[inline]
    pub(crate) fn hides(&self, value: &[u8]) -> bool {
        !self.hidden.is_empty() && self.hidden.iter().any(|hidden| holds(value, hidden.as_bytes()))
    }

    fn obey(&self, rule: &Rule, value: &[u8]) -> Action {
        match rule.strategy {
            Strategy::Keep => Action::Keep,
            Strategy::Drop => Action::Drop,
            Strategy::Redact => Action::Redact,
            _ if value.is_empty() || self.tokenizer().is_masked(value) => Action::Keep,
            Strategy::Token => match rule.form {
                Some(form) => Action::Token(self.tokenizer().token_as(form, value)),
                None => self.token(value),
            },
            Strategy::Encrypt => Action::Text(self.tokenizer().seal(value)),
            Strategy::Truncate => truncate(value, rule.length),
        }
    }

    /// A token whatever the shape; the empty value and what is masked stay.
    #[inline]
    fn token(&self, value: &[u8]) -> Action {
        if value.is_empty() || self.tokenizer().is_masked(value) {
            return Action::Keep;
        }
        if Tokenizer::looks_masked(value) {
            self.masker.counts.forge();
        }
        Action::Token(self.tokenizer().token(value))
    }

    /// Masks what the detectors find, until they find nothing more: a token beside other text can complete what was no find before.
    fn detect(&self, hint: Hint, value: &[u8]) -> (Action, Actor) {
        let found = self.found(hint, value);
        if found.is_empty() {
            return (Action::Keep, Actor::Nothing);
        }
        let mut action = self.replace(value, &found);
        let mut rounds = 0;
        while let Action::Text(text) = &action {
            let next = self.replace(text, &self.found(hint, text));
            rounds += 1;
            match next {
                Action::Keep => break,
                _ if rounds == MAX_ROUNDS => action = Action::Token(self.tokenizer().token_as(Form::Text, value)),
                next => action = next,
            }
        }
        let actor = if matches!(action, Action::Keep) { Actor::Masked } else { Actor::Detectors(Vec::new()) };
        (action, actor)
    }

    /// What the detectors find around the tokens of a value.
    fn found(&self, hint: Hint, value: &[u8]) -> Vec<Found> {
        let detectors = &self.masker.ruleset().detectors;
        let tokens = self.tokenizer().places(value);
        if tokens.is_empty() {
            return detectors.find(value, hint);
        }
        let mut found = Vec::new();
        let mut start = 0;
        for token in tokens.into_iter().chain(std::iter::once(value.len()..value.len())) {
            let piece = detectors.find(&value[start..token.start], hint).into_iter();
            found.extend(piece.map(|f| Found { at: f.at.start + start..f.at.end + start, ..f }));
            start = token.end;
        }
        found
    }

    /// The value with tokens in the places found.
    fn replace(&self, value: &[u8], found: &[Found]) -> Action {
        let mut text = Vec::with_capacity(value.len() + 32 * found.len());
        let (mut copied, mut changed) = (0, false);
        for Found { at, class } in found {
            let private = &value[at.clone()];
            if self.tokenizer().is_masked(private) {
                continue;
            }
            let token = self.tokenizer().token_as(class.form(), private);
            if *at == (0..value.len()) {
                return Action::Token(token);
            }
            text.extend_from_slice(&value[copied..at.start]);
            text.extend_from_slice(token.as_bytes());
            (copied, changed) = (at.end, true);
        }
        if !changed {
            return Action::Keep;
        }
        text.extend_from_slice(&value[copied..]);
        Action::Text(text)
    }

    /// For explanations only: what the detectors found.
    fn classes(&self, treatment: Treatment<'_>, value: &[u8]) -> Vec<crate::detect::Class> {
        let Treatment::Name(says) = treatment else { return Vec::new() };
        let found = self.masker.ruleset().detectors.find(value, hint(says));
        let mut classes: Vec<_> = found.iter().map(|found| found.class).collect();
        classes.dedup();
        classes
    }

    /// What becomes of a JSON number: another number, as types stay. A masked one is the token of its text in digits, so that
    /// the string of the same digits has the same token.
    pub(crate) fn number<'n>(
        &self,
        place: &dyn Fn() -> String,
        treatment: Treatment<'_>,
        number: &'n [u8],
    ) -> Cow<'n, [u8]> {
        let (masked, actor) = self.choose_number(treatment, number);
        if let Some(trace) = self.trace {
            let action = if matches!(masked, Cow::Borrowed(_)) { "kept" } else { "token" };
            trace.note(place(), actor, action);
        }
        masked
    }

    #[inline(always)]
    fn choose_number<'n>(&self, treatment: Treatment<'_>, number: &'n [u8]) -> (Cow<'n, [u8]>, Actor) {
        let (masked, actor) = match treatment {
            _ if self.hides(number) => return (Cow::Owned(b"0".to_vec()), Actor::SecretName),
            Treatment::Rule(rule) => {
                let actor = Actor::Rule(rule.number);
                match rule.strategy {
                    Strategy::Keep | Strategy::Drop => return (Cow::Borrowed(number), actor),
                    Strategy::Redact => return (Cow::Owned(b"0".to_vec()), actor),
                    Strategy::Truncate => return (Cow::Owned(round(number, rule.length)), actor),
                    Strategy::Token | Strategy::Encrypt => (true, actor),
                }
            }
            Treatment::Name(Says::Secret) => (true, Actor::SecretName),
            Treatment::Name(Says::Private) if self.profile == Profile::Strict => (true, Actor::PrivateName),
            Treatment::Name(_) if self.profile == Profile::Strict => match shape::is_small_number(number) {
                true => (false, Actor::Shape),
                false => (true, Actor::Unknown),
            },
            Treatment::Name(says) => match self.masker.ruleset().detectors.find(number, hint(says)) {
                found if found.is_empty() => (false, Actor::Nothing),
                found => (true, Actor::Detectors(found.iter().map(|found| found.class).collect())),
            },
        };
        if !masked {
            return (Cow::Borrowed(number), actor);
        }
        if self.tokenizer().is_masked(number) {
            return (Cow::Borrowed(number), Actor::Masked);
        }
        let form = match Form::of(number) {
            Form::Card => Form::Card,
            _ => Form::Digits,
        };
        (Cow::Owned(self.tokenizer().token_as(form, number).as_bytes().to_vec()), actor)
    }

    /// What becomes of an element of a header, text or stream that is a word of the protocol when it is known.
    pub(crate) fn word(&self, place: &dyn Fn() -> String, value: &[u8]) -> Action {
        if self.keeps_name(value) { Action::Keep } else { self.decide(place, Treatment::SECRET, value) }
    }

    /// Whether a name that no rule keeps stays readable.
    pub(crate) fn keeps_name(&self, name: &[u8]) -> bool {
        self.keeps_read_name(names::read(name), name)
    }

    /// The same of a name that was read.
    pub(crate) fn keeps_read_name(&self, reading: Reading, name: &[u8]) -> bool {
        let known = match self.profile {
            Profile::Strict => reading.known,
            Profile::Detect => reading.known || self.masker.ruleset().detectors.find(name, Hint::Nothing).is_empty(),
        };
        !self.hides(name) && (known || self.masker.ruleset().lists(name) || self.tokenizer().is_masked(name))
    }

    /// A name that no rule keeps.
    pub(crate) fn name<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        if self.keeps_name(name) {
            return Cow::Borrowed(name);
        }
        if let Some(trace) = self.trace {
            trace.note("name".to_owned(), Actor::UnknownName, "token");
        }
        Cow::Owned(self.name_token(name).as_bytes().to_vec())
    }

    /// The token of a name. Always of the plain form, which is a name in every syntax.
    pub(crate) fn name_token(&self, name: &[u8]) -> Token {
        self.tokenizer().token_as(Form::Text, name)
    }
}

fn holds(value: &[u8], hidden: &[u8]) -> bool {
    if hidden.len() < FOUND_WITHIN {
        return value == hidden;
    }
    value.len() >= hidden.len() && value.windows(hidden.len()).any(|window| window == hidden)
}

fn hint(says: Says) -> Hint {
    match says {
        Says::Nothing(hint) => hint,
        _ => Hint::Nothing,
    }
}

/// The number with zeros for all digits but the first.
fn round(number: &[u8], length: usize) -> Vec<u8> {
    let mut rounded = number.to_vec();
    let exponent = number.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(number.len());
    let digits = (0..exponent).filter(|at| number[*at].is_ascii_digit());
    digits.skip(length).for_each(|at| rounded[at] = b'0');
    rounded
}

/// The first characters; whole ones, so that text stays text.
fn truncate(value: &[u8], length: usize) -> Action {
    let mut starts = value.iter().enumerate().filter(|(_, b)| **b & 0xC0 != 0x80).map(|(at, _)| at);
    match starts.nth(length) {
        Some(end) => Action::Text(value[..end].to_vec()),
        None => Action::Keep,
    }
}
