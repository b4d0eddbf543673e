//! JSON, masked in one pass over its text.
//!
//! A strict reader of RFC 8259 that writes as it reads, so that no document is built, numbers are copied digit by digit and
//! duplicate members survive. White space goes; everything else keeps its order. What is written so far is thrown away when
//! the text turns out not to be JSON, or to be nested deeper than [`MAX_DEPTH`]. Time is linear in the size of the text.
//!
//! Types stay: under a rule that masks, numbers become `0` and booleans `false`, since neither can carry a token. Members whose
//! name says they are secret are masked as under a rule of lowest precedence, but for booleans, which hold no secret.

mod string;

use shadow_record::Withheld;

use crate::rules::{JsonPath, Rule, Strategy, name_is_kept};
use crate::scope::{Action, decide, is_secret_name};
use crate::token::Tokenizer;

/// Objects and arrays within one another; the default of `serde_json`, so that what we pass on it can read.
const MAX_DEPTH: usize = 127;

/// No rule selects the value.
const NO_RULE: usize = usize::MAX;
/// No rule either, but a name that says it is secret. Any rule comes before it.
const SECRET: usize = NO_RULE - 1;

/// Masks a JSON text under `rules`, selected by `paths` (each with the index of its rule).
///
/// # Errors
/// [`Withheld::Unparseable`] and [`Withheld::TooDeep`].
pub(crate) fn mask(
    text: &str,
    tokenizer: &Tokenizer,
    rules: &[&Rule],
    paths: &[(usize, &JsonPath)],
) -> Result<Vec<u8>, Withheld> {
    let mut pass = Pass {
        input: text.as_bytes(),
        at: 0,
        masked: Vec::with_capacity(text.len() + text.len() / 2),
        decoded: Vec::new(),
        tokenizer,
        rules,
        paths,
        states: vec![1; paths.len()],
    };
    let rule = pass.selected(NO_RULE);
    pass.value(rule, 0)?;
    pass.space();
    if pass.at == pass.input.len() { Ok(pass.masked) } else { Err(Withheld::Unparseable) }
}

struct Pass<'a> {
    input: &'a [u8],
    at: usize,
    masked: Vec<u8>,
    /// Reused for strings with escapes.
    decoded: Vec<u8>,
    tokenizer: &'a Tokenizer,
    rules: &'a [&'a Rule],
    paths: &'a [(usize, &'a JsonPath)],
    /// For the node being read and each around it, the states of every path.
    states: Vec<u64>,
}

impl<'a> Pass<'a> {
    /// Masks one value of any kind, under the rule of that index.
    fn value(&mut self, rule: usize, depth: usize) -> Result<(), Withheld> {
        self.space();
        match self.input.get(self.at) {
            Some(b'"') => {
                let string = self.string()?;
                let action = decide(self.tokenizer, self.strategy(rule), string.value(&self.decoded));
                self.write(&action, string.raw);
                Ok(())
            }
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(Withheld::TooDeep),
            Some(b'{') => self.object(rule, depth + 1),
            Some(b'[') => self.array(rule, depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(rule),
            Some(b't') => self.word(b"true", rule),
            Some(b'f') => self.word(b"false", rule),
            Some(b'n') => self.word(b"null", NO_RULE),
            _ => Err(Withheld::Unparseable),
        }
    }

    fn object(&mut self, rule: usize, depth: usize) -> Result<(), Withheld> {
        self.at += 1;
        self.masked.push(b'{');
        let start = self.masked.len();
        self.space();
        if self.take(b'}') {
            self.masked.push(b'}');
            return Ok(());
        }
        loop {
            self.space();
            let before = self.masked.len();
            if before > start {
                self.masked.push(b',');
            }
            let member = self.member(rule)?;
            self.space();
            self.expect(b':')?;
            self.masked.push(b':');
            self.value(member, depth)?;
            self.leave(member, before);
            self.space();
            if self.take(b'}') {
                self.masked.push(b'}');
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self, rule: usize, depth: usize) -> Result<(), Withheld> {
        self.at += 1;
        self.masked.push(b'[');
        let start = self.masked.len();
        self.space();
        if self.take(b']') {
            self.masked.push(b']');
            return Ok(());
        }
        loop {
            let before = self.masked.len();
            if before > start {
                self.masked.push(b',');
            }
            self.enter(None);
            let element = self.selected(rule);
            self.value(element, depth)?;
            self.leave(element, before);
            self.space();
            if self.take(b']') {
                self.masked.push(b']');
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Reads and writes a member's name, and tells which rule selects the member.
    fn member(&mut self, around: usize) -> Result<usize, Withheld> {
        if self.input.get(self.at) != Some(&b'"') {
            return Err(Withheld::Unparseable);
        }
        let string = self.string()?;
        let decoded = std::mem::take(&mut self.decoded);
        let name = string.value(&decoded);
        self.enter(Some(name));
        let rule = match self.selected(around) {
            NO_RULE if is_secret_name(self.tokenizer, name) => SECRET,
            rule => rule,
        };
        let kept = self.strategy(rule) == Some(Strategy::Keep) || name_is_kept(name) || self.tokenizer.is_masked(name);
        let action = if kept { Action::Keep } else { Action::Token(self.tokenizer.token(name)) };
        self.write(&action, string.raw);
        self.decoded = decoded;
        Ok(rule)
    }

    /// Steps down to a child: its states stand on top.
    fn enter(&mut self, name: Option<&[u8]>) {
        let parent = self.states.len() - self.paths.len();
        for (i, (_, path)) in self.paths.iter().enumerate() {
            let states = path.advance(self.states[parent + i], name);
            self.states.push(states);
        }
    }

    /// Steps back up, and takes back what was written since `before` if the child is dropped.
    fn leave(&mut self, rule: usize, before: usize) {
        self.states.truncate(self.states.len() - self.paths.len());
        if self.strategy(rule) == Some(Strategy::Drop) {
            self.masked.truncate(before);
        }
    }

    /// The first rule that selects the node on top or anything around it.
    fn selected(&self, around: usize) -> usize {
        let top = &self.states[self.states.len() - self.paths.len()..];
        let own = self.paths.iter().zip(top).filter(|((_, path), states)| path.selects(**states));
        own.map(|((rule, _), _)| *rule).fold(around, usize::min)
    }

    fn strategy(&self, rule: usize) -> Option<Strategy> {
        if rule == SECRET { Some(Strategy::Token) } else { self.rules.get(rule).map(|rule| rule.strategy) }
    }

    fn write(&mut self, action: &Action, raw: &[u8]) {
        self.masked.push(b'"');
        self.masked.extend_from_slice(action.written(raw));
        self.masked.push(b'"');
    }

    fn word(&mut self, word: &'static [u8], rule: usize) -> Result<(), Withheld> {
        if !self.input[self.at..].starts_with(word) {
            return Err(Withheld::Unparseable);
        }
        self.at += word.len();
        self.masked.extend_from_slice(if rule != SECRET && self.blanks(rule) { b"false" } else { word });
        Ok(())
    }

    fn number(&mut self, rule: usize) -> Result<(), Withheld> {
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
        let number = if self.blanks(rule) { b"0" } else { &self.input[start..self.at] };
        self.masked.extend_from_slice(number);
        Ok(())
    }

    /// Whether the rule masks values that cannot carry a token.
    fn blanks(&self, rule: usize) -> bool {
        matches!(self.strategy(rule), Some(Strategy::Token | Strategy::Redact))
    }

    fn digits(&mut self) -> Result<(), Withheld> {
        let start = self.at;
        while self.input.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Withheld::Unparseable) }
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

    fn expect(&mut self, byte: u8) -> Result<(), Withheld> {
        if self.take(byte) { Ok(()) } else { Err(Withheld::Unparseable) }
    }
}

#[cfg(test)]
mod tests;
