//! Text and server-sent events.
//!
//! Under `strict` every line of a text is one value. Under `detect` the text is searched as a whole, as some secrets span lines. Rules
//! with patterns select places in both.

use std::ops::Range;

use crate::refused::Refused;
use crate::rules::{Profile, Rule, Strategy};
use crate::scope::{Action, Scope, Syntax, Treatment};

impl Scope<'_> {
    /// Masks a text body.
    pub(crate) fn text(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        if self.rules.iter().any(|rule| rule.all_text) && !self.hides(body) {
            return Ok(body.to_vec());
        }
        let place = || "text".to_owned();
        match self.profile {
            Profile::Strict => Ok(self.lines(body)),
            // What is no text in this charset could hide what is looked for.
            Profile::Detect if body.contains(&0) => Err(Refused::BadCharset),
            Profile::Detect => {
                let text = std::str::from_utf8(body).map_err(|_| Refused::BadCharset)?;
                let mut masked = Vec::with_capacity(body.len() + 64);
                let mut done = 0;
                for (at, rule) in self.matches(text) {
                    self.piece(&place, Treatment::PLAIN, &body[done..at.start], &mut masked);
                    self.piece(&place, Treatment::Rule(rule), &body[at.clone()], &mut masked);
                    done = at.end;
                }
                self.piece(&place, Treatment::PLAIN, &body[done..], &mut masked);
                Ok(masked)
            }
        }
    }

    fn piece(&self, place: &dyn Fn() -> String, treatment: Treatment<'_>, text: &[u8], masked: &mut Vec<u8>) {
        if !text.is_empty() {
            self.decide(place, treatment, text).write(text, Syntax::Plain, masked);
        }
    }

    /// Where patterns of rules match, in order; the first rule wins.
    fn matches(&self, text: &str) -> Vec<(Range<usize>, &Rule)> {
        let mut matches: Vec<(Range<usize>, &Rule)> = Vec::new();
        for rule in &self.rules {
            let found = rule.text.iter().flat_map(|pattern| pattern.find_iter(text)).map(|found| found.range());
            // Those of rules before are in order, so only the next one behind a place can overlap it, or the one before that.
            let free = |at: &Range<usize>| {
                let next = matches.partition_point(|(other, _)| other.end <= at.start);
                matches.get(next).is_none_or(|(other, _)| at.end <= other.start)
            };
            let mut own: Vec<_> = found.filter(free).collect();
            own.sort_by_key(|at| at.start);
            own.dedup_by(|later, earlier| later.start < earlier.end);
            matches.extend(own.into_iter().map(|at| (at, *rule)));
            matches.sort_by_key(|(at, _)| at.start);
        }
        matches
    }

    /// Every line as a value; white space around it stays.
    fn lines(&self, body: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(body.len() + 32);
        for line in body.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
            let value = line.trim_ascii();
            let start = line.len() - line.trim_ascii_start().len();
            masked.extend_from_slice(&line[..start]);
            if !value.is_empty() {
                let treatment = self.line(value).map_or(Treatment::PLAIN, Treatment::Rule);
                self.piece(&|| "line of text".to_owned(), treatment, value, &mut masked);
            }
            masked.extend_from_slice(&line[start + value.len()..]);
        }
        masked
    }

    /// The first rule with a pattern that matches the line: all of it where it is to be kept, any place of it otherwise.
    fn line(&self, line: &[u8]) -> Option<&Rule> {
        let text = std::str::from_utf8(line).ok()?;
        let matches = |rule: &Rule| {
            rule.text.iter().any(|pattern| match pattern.find(text) {
                Some(found) => rule.strategy != Strategy::Keep || found.len() == text.len(),
                None => false,
            })
        };
        self.rules.iter().copied().find(|rule| matches(rule))
    }

    /// Masks server-sent events line by line: JSON data as JSON, the names of events and fields as names.
    pub(crate) fn event_stream(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut masked = Vec::with_capacity(body.len() + 64);
        for line in body.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
            let content = line.trim_ascii_end();
            self.event_line(content, &mut masked);
            let ends = line.iter().rev().take_while(|b| matches!(b, b'\n' | b'\r')).count();
            masked.extend_from_slice(&line[line.len() - ends..]);
        }
        Ok(masked)
    }

    fn event_line(&self, line: &[u8], masked: &mut Vec<u8>) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            // A field without a value, or the end of an event.
            return self.word(&|| "event field".to_owned(), line).write(line, Syntax::Plain, masked);
        };
        let (field, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        self.word(&|| "event field".to_owned(), field).write(field, Syntax::Plain, masked);
        masked.push(b':');
        if value.is_empty() {
            return;
        }
        masked.push(b' ');
        if matches!(value[0], b'{' | b'[' | b'"')
            && let Ok(json) = self.json(value)
        {
            masked.extend_from_slice(&json);
            return;
        }
        let place = || format!("event {}", String::from_utf8_lossy(&self.name(field)));
        let action: Action =
            if field == b"event" { self.word(&place, value) } else { self.decide(&place, Treatment::PLAIN, value) };
        action.write(value, Syntax::Plain, masked);
    }
}
