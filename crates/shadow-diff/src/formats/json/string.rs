//! JSON strings: passed on as they stand where they hold no escapes, decoded into the builder's texts where they do.

use std::ops::Range;

use super::Reader;
use crate::formats::Unread;

impl<'a> Reader<'a, '_> {
    /// Reads a string: the text between its quotes, or where it was decoded to.
    pub(super) fn string(&mut self) -> Result<Result<&'a str, Range<usize>>, Unread> {
        if self.next()? != b'"' {
            return Err(Unread::Malformed);
        }
        let start = self.at;
        self.at += plain_length(&self.input[start..]);
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Ok(&self.text[start..self.at - 1]));
        }
        let (text, written) = (self.text, self.builder.texts().len());
        self.builder.texts().push_str(&text[start..self.at]);
        loop {
            match self.next()? {
                b'"' => return Ok(Err(written..self.builder.texts().len())),
                b'\\' => {
                    let character = self.escape()?;
                    self.builder.texts().push(character);
                }
                _ => return Err(Unread::Malformed),
            }
            let start = self.at;
            self.at += plain_length(&self.input[start..]);
            self.builder.texts().push_str(&text[start..self.at]);
        }
    }

    fn escape(&mut self) -> Result<char, Unread> {
        Ok(match self.next()? {
            b'u' => return self.unicode(),
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            _ => return Err(Unread::Malformed),
        })
    }

    /// A surrogate without its other half is no text.
    fn unicode(&mut self) -> Result<char, Unread> {
        let high = self.hex4()?;
        let code = match high {
            0xD800..0xDC00 => {
                if (self.next()?, self.next()?) != (b'\\', b'u') {
                    return Err(Unread::Malformed);
                }
                let low = self.hex4()?.checked_sub(0xDC00).filter(|low| *low < 0x400).ok_or(Unread::Malformed)?;
                0x10000 + ((high - 0xD800) << 10) + low
            }
            code => code,
        };
        char::from_u32(code).ok_or(Unread::Malformed)
    }

    fn hex4(&mut self) -> Result<u32, Unread> {
        (0..4).try_fold(0, |value, _| {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Unread::Malformed)?;
            Ok(value * 16 + digit)
        })
    }
}

/// Bytes up to the first quote, backslash or control character.
fn plain_length(text: &[u8]) -> usize {
    // Eight at a time: a byte is zero, or below 0x20, exactly if subtracting borrows into its high bit. A byte behind the first such
    // one may be taken for one too, so the last eight are looked at one by one.
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let mut at = 0;
    while let Some(eight) = text.get(at..at + 8) {
        let word = u64::from_ne_bytes(eight.try_into().expect("a slice of that length"));
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let escape = below(word ^ (ONES * u64::from(b'\\')), 1);
        if below(word, 0x20) | quote | escape != 0 {
            break;
        }
        at += 8;
    }
    at + text[at..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(text.len() - at)
}
