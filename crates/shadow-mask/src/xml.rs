//! XML, masked in one pass over its text: element text and attributes are values, names are names.
//!
//! A strict reader of what services exchange: well-formed elements, the five named entities and numbered ones. A document type is
//! refused, and with it every entity bomb; comments and processing instructions go. All text between two tags is one value, whatever it was
//! written as.

use crate::json::Chosen;
use crate::names;
use crate::refused::Refused;
use crate::rules::{Strategy, XmlPath};
use crate::scope::{Scope, Syntax, Treatment};

/// As deep as JSON.
const MAX_DEPTH: usize = 127;

impl Scope<'_> {
    /// Masks an XML document.
    ///
    /// # Errors
    /// [`Refused::Xml`], [`Refused::Doctype`], [`Refused::TooDeep`], [`Refused::BadCharset`].
    pub(crate) fn xml(&self, body: &[u8]) -> Result<Vec<u8>, Refused> {
        let text = std::str::from_utf8(body).map_err(|_| Refused::BadCharset)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let rules = self.rules.iter().enumerate();
        let paths: Vec<_> = rules.flat_map(|(at, rule)| rule.xml.iter().map(move |path| (at, path))).collect();
        let root =
            Element { name: 0..0, written: Vec::new(), states: vec![1; paths.len()], chosen: Chosen::PLAIN, before: 0 };
        let mut pass = Pass {
            input: text.as_bytes(),
            at: 0,
            masked: Vec::with_capacity(text.len() * 2),
            scope: self,
            paths,
            open: vec![root],
            roots: 0,
            text: Vec::new(),
        };
        pass.document()?;
        Ok(pass.masked)
    }
}

/// An element that has not ended.
struct Element {
    /// Its name in the input.
    name: std::ops::Range<usize>,
    /// Its name as it is written.
    written: Vec<u8>,
    /// Of every path.
    states: Vec<u64>,
    chosen: Chosen,
    /// Where it begins in what is written.
    before: usize,
}

struct Pass<'a> {
    input: &'a [u8],
    at: usize,
    masked: Vec<u8>,
    scope: &'a Scope<'a>,
    paths: Vec<(usize, &'a XmlPath)>,
    /// The document, and the elements around the place read.
    open: Vec<Element>,
    roots: usize,
    /// Text since the last tag, decoded.
    text: Vec<u8>,
}

impl<'a> Pass<'a> {
    fn document(&mut self) -> Result<(), Refused> {
        while self.at < self.input.len() {
            let rest = &self.input[self.at..];
            if rest[0] != b'<' {
                let end = rest.iter().position(|b| *b == b'<').unwrap_or(rest.len());
                self.at += end;
                self.text.extend_from_slice(&unescape(&rest[..end])?);
            } else if rest.starts_with(b"<!--") {
                self.skip_past(b"-->")?;
            } else if rest.starts_with(b"<![CDATA[") {
                let start = self.at + 9;
                self.skip_past(b"]]>")?;
                self.text.extend_from_slice(&self.input[start..self.at - 3]);
            } else if rest.starts_with(b"<!") {
                return Err(if rest.starts_with(b"<!DOCTYPE") { Refused::Doctype } else { Refused::Xml });
            } else if rest.starts_with(b"<?") {
                let start = self.at;
                self.skip_past(b"?>")?;
                let declaration = &self.input[start..self.at];
                if start == 0 && declaration.starts_with(b"<?xml ") && names::are_known_words(&declaration[2..]) {
                    self.masked.extend_from_slice(declaration);
                }
            } else if rest.starts_with(b"</") {
                self.end()?;
            } else {
                self.start()?;
            }
        }
        self.flush()?;
        if self.open.len() == 1 && self.roots == 1 { Ok(()) } else { Err(Refused::Xml) }
    }

    fn skip_past(&mut self, end: &[u8]) -> Result<(), Refused> {
        let rest = &self.input[self.at..];
        let length = rest.windows(end.len()).position(|window| window == end).ok_or(Refused::Xml)?;
        self.at += length + end.len();
        Ok(())
    }

    fn top(&self) -> &Element {
        self.open.last().expect("the document itself is never closed")
    }

    /// Writes the text before a tag; the white space around it stays.
    fn flush(&mut self) -> Result<(), Refused> {
        let text = std::mem::take(&mut self.text);
        let value = text.trim_ascii();
        if value.is_empty() {
            self.masked.extend_from_slice(&text);
            return Ok(());
        }
        if self.open.len() == 1 {
            return Err(Refused::Xml);
        }
        let start = text.len() - text.trim_ascii_start().len();
        let action = self.scope.decide(&|| self.place(""), self.treatment(), value);
        self.masked.extend_from_slice(&text[..start]);
        for byte in action.written(value, Syntax::Plain) {
            match byte {
                b'&' => self.masked.extend_from_slice(b"&amp;"),
                b'<' => self.masked.extend_from_slice(b"&lt;"),
                b'>' => self.masked.extend_from_slice(b"&gt;"),
                byte => self.masked.push(byte),
            }
        }
        self.masked.extend_from_slice(&text[start + value.len()..]);
        Ok(())
    }

    fn treatment(&self) -> Treatment<'a> {
        self.top().chosen.treatment(self.scope)
    }

    fn place(&self, attribute: &str) -> String {
        let names = self.open[1..].iter().map(|element| String::from_utf8_lossy(&element.written));
        format!("xml /{}{attribute}", names.collect::<Vec<_>>().join("/"))
    }

    fn end(&mut self) -> Result<(), Refused> {
        self.flush()?;
        let start = self.at + 2;
        self.at = start;
        let name = self.name()?;
        self.space();
        self.expect(b'>')?;
        if self.open.len() == 1 || self.input[name] != self.input[self.top().name.clone()] {
            return Err(Refused::Xml);
        }
        self.close(true);
        Ok(())
    }

    fn close(&mut self, with_tag: bool) {
        let Some(element) = self.open.pop() else { return };
        if with_tag {
            self.masked.extend_from_slice(b"</");
            self.masked.extend_from_slice(&element.written);
            self.masked.push(b'>');
        }
        if element.chosen.treatment(self.scope).is(Strategy::Drop) && self.open.len() > 1 {
            self.masked.truncate(element.before);
        }
    }

    fn start(&mut self) -> Result<(), Refused> {
        self.flush()?;
        let before = self.masked.len();
        self.at += 1;
        let name = self.name()?;
        if self.open.len() == 1 {
            self.roots += 1;
        }
        if self.open.len() > MAX_DEPTH {
            return Err(Refused::TooDeep);
        }
        let raw = &self.input[name.clone()];
        let local = local(raw);
        let states: Vec<u64> =
            self.paths.iter().zip(&self.top().states).map(|((_, path), states)| path.advance(*states, local)).collect();
        let own = self.paths.iter().zip(&states).filter(|((_, path), states)| path.selects(**states));
        let chosen = self.top().chosen.or_rule(own.map(|((rule, _), _)| *rule).min()).or_name(self.scope.says(local));
        let kept = chosen.treatment(self.scope).is(Strategy::Keep);
        let written = if kept { raw.to_vec() } else { self.written_name(raw) };
        self.masked.push(b'<');
        self.masked.extend_from_slice(&written);
        self.open.push(Element { name, written, states, chosen, before });
        loop {
            let spaced = self.space();
            match self.input.get(self.at) {
                Some(b'>') => {
                    self.at += 1;
                    self.masked.push(b'>');
                    return Ok(());
                }
                Some(b'/') => {
                    self.at += 1;
                    self.expect(b'>')?;
                    self.masked.extend_from_slice(b"/>");
                    self.close(false);
                    return Ok(());
                }
                Some(_) if spaced => self.attribute()?,
                _ => return Err(Refused::Xml),
            }
        }
    }

    fn attribute(&mut self) -> Result<(), Refused> {
        let name = self.name()?;
        self.space();
        self.expect(b'=')?;
        self.space();
        let quote = *self.input.get(self.at).filter(|b| matches!(b, b'"' | b'\'')).ok_or(Refused::Xml)?;
        let start = self.at + 1;
        let length = self.input[start..].iter().position(|b| *b == quote).ok_or(Refused::Xml)?;
        let raw = &self.input[start..start + length];
        if raw.contains(&b'<') {
            return Err(Refused::Xml);
        }
        self.at = start + length + 1;
        let value = unescape(raw)?;
        let full = &self.input[name];
        let local = local(full);
        let states = &self.top().states;
        let own = self.paths.iter().zip(states).filter(|((_, path), states)| path.selects_attribute(**states, local));
        let own = own.map(|((rule, _), _)| *rule).min();
        let chosen = self.top().chosen.or_rule(own).or_name(self.scope.says(local));
        let treatment = chosen.treatment(self.scope);
        if treatment.is(Strategy::Drop) {
            return Ok(());
        }
        // Namespaces are part of the document's grammar.
        let namespace =
            full == b"xmlns" || full.starts_with(b"xmlns:") || matches!(full, b"xsi:schemaLocation" | b"xml:lang");
        self.masked.push(b' ');
        if treatment.is(Strategy::Keep)
            || full == b"xmlns"
            || full.starts_with(b"xmlns:") && self.scope.keeps_name(local)
        {
            self.masked.extend_from_slice(full);
        } else {
            let written = self.written_name(full);
            self.masked.extend_from_slice(&written);
        }
        self.masked.extend_from_slice(b"=\"");
        if namespace && names::are_known_words(&value) {
            crate::scope::escape(&value, Syntax::Xml, &mut self.masked);
        } else {
            let action = self.scope.decide(&|| self.place("/@"), treatment, &value);
            let written = action.written(&value, Syntax::Plain);
            crate::scope::escape(&written, Syntax::Xml, &mut self.masked);
        }
        self.masked.push(b'"');
        Ok(())
    }

    /// A name with its prefix, each of which may be unknown.
    fn written_name(&self, name: &[u8]) -> Vec<u8> {
        let parts = name.splitn(2, |b| *b == b':').map(|part| self.scope.name(part));
        parts.collect::<Vec<_>>().join(&b':')
    }

    /// Reads a name; where it stands.
    fn name(&mut self) -> Result<std::ops::Range<usize>, Refused> {
        let start = self.at;
        let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':') || *b >= 0x80;
        while self.input.get(self.at).is_some_and(part) {
            self.at += 1;
        }
        let sound = self.input.get(start).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_' || *b >= 0x80);
        if sound { Ok(start..self.at) } else { Err(Refused::Xml) }
    }

    fn space(&mut self) -> bool {
        let start = self.at;
        while self.input.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.at > start
    }

    fn expect(&mut self, byte: u8) -> Result<(), Refused> {
        let there = self.input.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        if there { Ok(()) } else { Err(Refused::Xml) }
    }
}

fn local(name: &[u8]) -> &[u8] {
    name.iter().position(|b| *b == b':').map_or(name, |colon| &name[colon + 1..])
}

/// Undoes the named and numbered entities; any other is an error, as it would have to be declared.
fn unescape(raw: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, Refused> {
    if !raw.contains(&b'&') {
        return Ok(raw.into());
    }
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(start) = rest.iter().position(|b| *b == b'&') {
        text.extend_from_slice(&rest[..start]);
        let length = rest[start..].iter().take(12).position(|b| *b == b';').ok_or(Refused::Xml)?;
        let entity = std::str::from_utf8(&rest[start + 1..start + length]).map_err(|_| Refused::Xml)?;
        let character = match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#').ok_or(Refused::Xml)?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                code.ok().and_then(char::from_u32).ok_or(Refused::Xml)?
            }
        };
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[start + length + 1..];
    }
    text.extend_from_slice(rest);
    Ok(text.into())
}
