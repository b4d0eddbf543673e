//! Reads JSON: exactly what RFC 8259 allows, of any depth, in one pass and without recursion.
//!
//! `serde_json` is not used here: it recurses, and it cannot show repeated names and numbers as they were written without building
//! values first.

use crate::document::{Builder, Document, Kind};
use crate::formats::Unread;
use crate::number::number_end;

/// Reads a whole body.
pub(crate) fn read(bytes: &[u8]) -> Result<Document, Unread> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unread::Malformed)?;
    let mut builder = Builder::for_bytes(text.len());
    let end = value(text, 0, &mut builder)?;
    if skip_space(text.as_bytes(), end) == text.len() { Ok(builder.finish()) } else { Err(Unread::Malformed) }
}

/// Reads one value that begins at or behind `at`, and says where it ends. What the builder has open stays open.
pub(crate) fn value(text: &str, at: usize, builder: &mut Builder) -> Result<usize, Unread> {
    let mut reader = Reader { text, input: text.as_bytes(), at, builder };
    let mut depth = 0usize;
    loop {
        // A value is due: in an object its name stands first.
        depth += reader.begin()?;
        // A value, or an empty container, ended: what is behind it says what is due.
        loop {
            if depth == 0 {
                return Ok(reader.at);
            }
            reader.space();
            match (reader.next()?, reader.builder.inside()) {
                (b',', Some(Kind::Array)) => break,
                (b',', _) => {
                    reader.space();
                    reader.name()?;
                    break;
                }
                (b']', Some(Kind::Array)) | (b'}', Some(Kind::Object)) => {
                    reader.builder.end();
                    depth -= 1;
                }
                _ => return Err(Unread::Malformed),
            }
        }
    }
}

struct Reader<'a, 'b> {
    text: &'a str,
    input: &'a [u8],
    at: usize,
    builder: &'b mut Builder,
}

impl Reader<'_, '_> {
    /// Reads a scalar, or the beginnings of containers up to the first scalar or empty container inside; how many stay open.
    fn begin(&mut self) -> Result<usize, Unread> {
        let mut opened = 0;
        loop {
            self.space();
            let (open, close) = match self.peek().ok_or(Unread::Malformed)? {
                b'{' => {
                    self.builder.begin_object()?;
                    (true, b'}')
                }
                b'[' => {
                    self.builder.begin_array()?;
                    (true, b']')
                }
                _ => (false, 0),
            };
            if !open {
                self.scalar()?;
                return Ok(opened);
            }
            self.at += 1;
            self.space();
            if self.peek() == Some(close) {
                self.at += 1;
                self.builder.end();
                return Ok(opened);
            }
            opened += 1;
            if close == b'}' {
                self.name()?;
            }
        }
    }

    fn name(&mut self) -> Result<(), Unread> {
        match self.string()? {
            Ok(plain) => self.builder.name(plain)?,
            Err(written) => self.builder.name_written(written)?,
        }
        self.space();
        if self.next()? == b':' { Ok(()) } else { Err(Unread::Malformed) }
    }

    fn scalar(&mut self) -> Result<(), Unread> {
        match self.peek() {
            Some(b'"') => match self.string()? {
                Ok(plain) => self.builder.string(plain)?,
                Err(written) => self.builder.string_written(written)?,
            },
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                self.at = number_end(self.input, start).ok_or(Unread::Malformed)?;
                self.builder.number(&self.text[start..self.at])?;
            }
            Some(b't') => {
                self.word("true")?;
                self.builder.boolean(true)?;
            }
            Some(b'f') => {
                self.word("false")?;
                self.builder.boolean(false)?;
            }
            Some(b'n') => {
                self.word("null")?;
                self.builder.null()?;
            }
            _ => return Err(Unread::Malformed),
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Unread> {
        let there = self.input[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        if there { Ok(()) } else { Err(Unread::Malformed) }
    }

    fn space(&mut self) {
        self.at = skip_space(self.input, self.at);
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Unread> {
        let byte = self.peek().ok_or(Unread::Malformed)?;
        self.at += 1;
        Ok(byte)
    }
}

fn skip_space(input: &[u8], mut at: usize) -> usize {
    while matches!(input.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

mod string;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepts(text: &str) -> bool {
        read(text.as_bytes()).is_ok()
    }

    #[test]
    fn takes_what_the_standard_allows_and_nothing_else() {
        for good in [
            "0",
            "-0.0e-0",
            "1E+9",
            "\"\"",
            "[]",
            "{}",
            " [ ] ",
            "{\"a\" : [1 , {}]}\n",
            "true",
            "null",
            "\"\\ud83d\\ude00\"",
            "[[],[[]],{\"\":{}}]",
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\"",
        ] {
            assert!(accepts(good), "{good}");
        }
        for bad in [
            "",
            " ",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "[}",
            "{]",
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ude00\"",
            "\"\\ud800\\u0041\"",
            "tru",
            "nul",
            "[",
            "{\"a\":",
            "[]]",
            "1 2",
            "{\"a\":1 \"b\":2}",
            "\u{feff}1",
            "NaN",
            "'a'",
        ] {
            assert!(!accepts(bad), "{bad}");
        }
    }

    #[test]
    fn ten_thousand_levels_are_read_and_dropped() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read(deep.as_bytes()).unwrap().len(), 10_000);
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_what_is_json(text in r#"[\[\]{},:"0-9a-en.\\ u-]{0,24}"#) {
            prop_assert_eq!(accepts(&text), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn strings_are_decoded_as_serde_json_does(text in any::<String>()) {
            let quoted = serde_json::to_string(&text).unwrap();
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            for spelling in [quoted, format!("\"{escaped}\"")] {
                let document = read(spelling.as_bytes()).unwrap();
                prop_assert_eq!(document.text(0), &text);
            }
        }
    }
}
