//! JSON, masked in one pass over its text.
//!
//! A strict reader of RFC 8259 that writes as it reads, so that no document is built and duplicate members survive. White
//! space goes; everything else keeps its order. What is written so far is thrown away when the text turns out not to be JSON, or to be
//! nested deeper than [`MAX_DEPTH`]. Time is linear in the size of the text.
//!
//! Types stay: masked numbers become numbers, and booleans `false` under a rule that masks. Members whose name says they are secret
//! are masked as under a rule of lowest precedence, but for booleans, which hold no secret.

mod members;
mod string;

use crate::names::Says;
use crate::refused::Refused;
use crate::rules::{JsonPath, Strategy};
use crate::scope::{Action, Scope, Syntax, Treatment};

use members::Pair;

pub(crate) use crate::rules::Child;

/// Objects and arrays within one another; the default of `serde_json`, so that what we pass on it can read.
const MAX_DEPTH: usize = 127;

/// Deeper ones cost an allocation.
const USUAL_DEPTH: usize = 8;

/// What is done with a node, unless something in it is chosen otherwise.
#[derive(Clone, Copy)]
pub(crate) enum Chosen {
    /// The rule of that index in the scope.
    Rule(usize),
    /// No rule; what the name says.
    Name(Says),
}

impl Scope<'_> {
    /// Masks a JSON text.
    ///
    /// # Errors
    /// [`Refused::BadCharset`], [`Refused::Json`] and [`Refused::TooDeep`].
    pub(crate) fn json(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let text = std::str::from_utf8(body).map_err(|_| Refused::BadCharset)?;
        let rules = self.rules.iter().enumerate();
        let paths: Vec<_> = rules.flat_map(|(at, rule)| rule.json.iter().map(move |path| (at, path))).collect();
        let mut states = Vec::with_capacity(paths.len() * USUAL_DEPTH);
        states.resize(paths.len(), 1);
        let mut pass = Pass {
            input: text.as_bytes(),
            at: 0,
            masked: Vec::with_capacity(text.len() + text.len() / 2),
            decoded: Vec::new(),
            scope: self,
            states,
            paths,
            trail: Vec::new(),
        };
        let root = pass.paths.iter().find(|(_, path)| path.selects(1)).map(|(rule, _)| *rule);
        let chosen = Chosen::PLAIN.or_rule(root);
        pass.value(chosen, 0)?;
        pass.space();
        if pass.at == pass.input.len() { Ok(pass.masked) } else { Err(Refused::Json) }
    }
}

impl<'m> Scope<'m> {
    /// What is chosen for a column of a table: what would be for that member of a JSON object.
    pub(crate) fn column(&self, name: &[u8]) -> Treatment<'m> {
        let selects = |path: &JsonPath| path.selects(1) || path.selects(path.advance(1, Child::Member(name)));
        let own = self.rules.iter().position(|rule| rule.json.iter().any(selects));
        Chosen::PLAIN.or_rule(own).or_name(self.says(name)).treatment(self)
    }
}

impl Chosen {
    pub(crate) const PLAIN: Self = Self::Name(Says::Nothing(crate::names::Hint::Nothing));

    /// The earlier of a rule that selects the node itself and of what is chosen around it.
    pub(crate) fn or_rule(self, own: Option<usize>) -> Self {
        match (own, self) {
            (Some(own), Self::Rule(around)) => Self::Rule(own.min(around)),
            (Some(own), Self::Name(_)) => Self::Rule(own),
            (None, around) => around,
        }
    }

    /// What is chosen for a member whose name says so: secrets and private things hold all that is in them.
    pub(crate) fn or_name(self, own: Says) -> Self {
        use crate::names::Hint;
        match (self, own) {
            (Self::Rule(_) | Self::Name(Says::Secret), _) => self,
            (_, Says::Secret) => Self::Name(own),
            (Self::Name(Says::Private), _) => self,
            (Self::Name(around), Says::Nothing(Hint::Nothing)) => Self::Name(around),
            (Self::Name(_), own) => Self::Name(own),
        }
    }

    pub(crate) fn treatment<'s>(self, scope: &Scope<'s>) -> Treatment<'s> {
        match self {
            Self::Rule(at) => Treatment::Rule(scope.rules[at]),
            Self::Name(says) => Treatment::Name(says),
        }
    }
}

struct Pass<'a> {
    input: &'a [u8],
    at: usize,
    masked: Vec<u8>,
    /// Reused for strings with escapes.
    decoded: Vec<u8>,
    scope: &'a Scope<'a>,
    /// In order of their rules.
    paths: Vec<(usize, &'a JsonPath)>,
    /// For the node being read and each around it, the states of every path.
    states: Vec<u64>,
    /// Where the pass is, while it is explained.
    trail: Vec<String>,
}

impl<'a> Pass<'a> {
    /// Masks one value of any kind.
    fn value(&mut self, chosen: Chosen, depth: usize) -> Result<(), Refused> {
        self.space();
        match self.input.get(self.at) {
            Some(b'"') => {
                let string = self.string()?;
                let trail = &self.trail;
                let place = || format!("json ${}", trail.concat());
                let action = self.scope.decide(&place, chosen.treatment(self.scope), string.value(&self.decoded));
                self.write(&action, string.raw);
                Ok(())
            }
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(Refused::TooDeep),
            Some(b'{') => self.object(chosen, depth + 1),
            Some(b'[') => self.array(chosen, depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(chosen),
            Some(b't') => self.word(b"true", chosen),
            Some(b'f') => self.word(b"false", chosen),
            Some(b'n') => self.word(b"null", Chosen::PLAIN),
            _ => Err(Refused::Json),
        }
    }

    fn object(&mut self, around: Chosen, depth: usize) -> Result<(), Refused> {
        self.at += 1;
        self.masked.push(b'{');
        let start = self.masked.len();
        self.space();
        if self.take(b'}') {
            self.masked.push(b'}');
            return Ok(());
        }
        let mut pair = Pair::default();
        loop {
            self.space();
            let before = self.masked.len();
            if before > start {
                self.masked.push(b',');
            }
            let (member, role) = self.member(around)?;
            self.space();
            self.expect(b':')?;
            self.masked.push(b':');
            self.space();
            let (input, output) = (self.at, self.masked.len());
            self.value(pair.choose(role, member), depth)?;
            self.leave(member, before);
            self.pair_up(&mut pair, role, member, input..self.at, output)?;
            self.space();
            if self.take(b'}') {
                self.masked.push(b'}');
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, around: Chosen, depth: usize) -> Result<(), Refused> {
        self.at += 1;
        self.masked.push(b'[');
        let start = self.masked.len();
        self.space();
        if self.take(b']') {
            self.masked.push(b']');
            return Ok(());
        }
        for index in 0.. {
            let before = self.masked.len();
            if before > start {
                self.masked.push(b',');
            }
            let element = around.or_rule(self.enter(Child::Element(index)));
            self.value(element, depth)?;
            self.leave(element, before);
            self.space();
            if self.take(b']') {
                break;
            }
            self.expect(b',')?;
        }
        self.masked.push(b']');
        Ok(())
    }

    /// Steps down to a child, whose states then stand on top; the first rule that selects it.
    fn enter(&mut self, child: Child<'_>) -> Option<usize> {
        let mut own = None;
        let top = self.states.len();
        self.states.extend_from_within(top - self.paths.len()..);
        for ((rule, path), states) in self.paths.iter().zip(&mut self.states[top..]) {
            *states = path.advance(*states, child);
            if own.is_none() && path.selects(*states) {
                own = Some(*rule);
            }
        }
        if self.scope.trace.is_some() {
            self.trail.push(match child {
                Child::Member(name) => format!(".{}", String::from_utf8_lossy(&self.scope.name(name))),
                Child::Element(index) => format!("[{index}]"),
            });
        }
        own
    }

    /// Steps back up, and takes back what was written since `before` if the child is dropped.
    fn leave(&mut self, chosen: Chosen, before: usize) {
        self.states.truncate(self.states.len() - self.paths.len());
        self.trail.pop();
        if chosen.treatment(self.scope).is(Strategy::Drop) {
            self.masked.truncate(before);
        }
    }

    fn write(&mut self, action: &Action, raw: &[u8]) {
        self.masked.push(b'"');
        action.write(raw, Syntax::Json, &mut self.masked);
        self.masked.push(b'"');
    }

    /// Booleans hold no secret, but a rule masks them; null says nothing.
    fn word(&mut self, word: &'static [u8], chosen: Chosen) -> Result<(), Refused> {
        if !self.input[self.at..].starts_with(word) {
            return Err(Refused::Json);
        }
        self.at += word.len();
        let masks = matches!(chosen.treatment(self.scope), Treatment::Rule(rule)
            if !matches!(rule.strategy, Strategy::Keep | Strategy::Drop));
        self.masked.extend_from_slice(if masks { b"false" } else { word });
        Ok(())
    }

    fn number(&mut self, chosen: Chosen) -> Result<(), Refused> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let place = || format!("json ${}", self.trail.concat());
        let number = self.scope.number(&place, chosen.treatment(self.scope), &self.input[start..self.at]);
        self.masked.extend_from_slice(&number);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Refused> {
        let start = self.at;
        while self.input.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Refused::Json) }
    }

    fn space(&mut self) {
        while matches!(self.input.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.input.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Refused> {
        if self.take(byte) { Ok(()) } else { Err(Refused::Json) }
    }
}

#[cfg(test)]
mod tests;
