//! JSON strings: found, checked, and decoded where they hold escapes.

use crate::refused::Refused;

use super::Pass;

/// A string as it stands in the text.
pub(super) struct Text<'a> {
    /// Between the quotes, escapes as written.
    pub(super) raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Its value: `decoded` when it had to be decoded.
    pub(super) fn value<'v>(&self, decoded: &'v [u8]) -> &'v [u8]
    where
        'a: 'v,
    {
        if self.escaped { decoded } else { self.raw }
    }
}

impl<'a> Pass<'a> {
    /// Reads a string from its opening quote to past its closing one; decodes it into `self.decoded` if it holds escapes.
    pub(super) fn string(&mut self) -> Result<Text<'a>, Refused> {
        let input: &'a [u8] = self.input;
        let start = self.at + 1;
        let plain = plain_length(&input[start..]);
        let mut at = start + plain;
        if input.get(at) == Some(&b'"') {
            self.at = at + 1;
            return Ok(Text { raw: &input[start..at], escaped: false });
        }
        self.decoded.clear();
        self.decoded.extend_from_slice(&input[start..at]);
        loop {
            match input.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at = self.escape(at + 1)?,
                _ => return Err(Refused::Json),
            }
            let plain = plain_length(&input[at..]);
            self.decoded.extend_from_slice(&input[at..at + plain]);
            at += plain;
        }
        self.at = at + 1;
        Ok(Text { raw: &input[start..at], escaped: true })
    }

    /// Decodes the escape whose letter stands at `at`; where the text goes on.
    fn escape(&mut self, at: usize) -> Result<usize, Refused> {
        let simple = match self.input.get(at) {
            Some(b'u') => return self.unicode_escape(at + 1),
            Some(b @ (b'"' | b'\\' | b'/')) => *b,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => return Err(Refused::Json),
        };
        self.decoded.push(simple);
        Ok(at + 1)
    }

    /// A surrogate without its other half is decoded as WTF-8 has it: it can be compared and masked, if not shown.
    fn unicode_escape(&mut self, at: usize) -> Result<usize, Refused> {
        let high = self.hex4(at)?;
        let (code, end) = match high {
            0xD800..0xDC00 if self.input.get(at + 4..at + 6) == Some(b"\\u") => match self.hex4(at + 6)? {
                low @ 0xDC00..0xE000 => (0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00), at + 10),
                _ => (high, at + 4),
            },
            _ => (high, at + 4),
        };
        match char::from_u32(code) {
            Some(character) => self.decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                self.decoded.extend([0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F].map(|b| b as u8))
            }
        }
        Ok(end)
    }

    fn hex4(&self, at: usize) -> Result<u32, Refused> {
        let digits = self.input.get(at..at + 4).ok_or(Refused::Json)?;
        let value = digits.iter().try_fold(0, |n, b| Some(n * 16 + (*b as char).to_digit(16)?));
        value.ok_or(Refused::Json)
    }
}

/// Bytes up to the first quote, backslash or control character.
fn plain_length(text: &[u8]) -> usize {
    // Eight at a time: a byte is zero, or below 0x20, exactly if subtracting borrows into its high bit. A borrow goes on to later bytes
    // only, so the first byte found is one.
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let mut chunks = text.chunks_exact(8);
    for (i, eight) in (&mut chunks).enumerate() {
        let word = u64::from_le_bytes(eight.try_into().expect("a slice of that length"));
        let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let escape = below(word ^ (ONES * u64::from(b'\\')), 1);
        let ends = below(word, 0x20) | quote | escape;
        if ends != 0 {
            return i * 8 + ends.trailing_zeros() as usize / 8;
        }
    }
    let ends = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    let rest = chunks.remainder();
    text.len() - rest.len() + rest.iter().position(ends).unwrap_or(rest.len())
}
