//! What becomes of one value, and how a place writes it.

use crate::token::{REDACTED, Token};

/// What becomes of one value.
#[derive(Clone)]
pub(crate) enum Action {
    /// Copied as it was written.
    Keep,
    /// Replaced.
    Token(Token),
    /// Replaced by the mark.
    Redact,
    /// Removed with its name.
    Drop,
    /// Rewritten: kept text with masked places in it, not yet escaped.
    Text(Vec<u8>),
}

/// How a place writes text.
#[derive(Clone, Copy)]
pub(crate) enum Syntax {
    Plain,
    Json,
    /// Percent-encoded, of paths, queries and forms.
    Percent,
    Xml,
}

impl Action {
    /// Writes what stands in the value's place, given as it was written; nothing for a dropped one.
    pub(crate) fn write(&self, raw: &[u8], syntax: Syntax, out: &mut Vec<u8>) {
        match self {
            Self::Keep => out.extend_from_slice(raw),
            // Of all tokens only that of a telephone number holds a sign that means something in forms.
            Self::Token(token) if matches!(syntax, Syntax::Percent) && token.as_bytes()[0] == b'+' => {
                escape(token.as_bytes(), syntax, out);
            }
            Self::Token(token) => out.extend_from_slice(token.as_bytes()),
            Self::Redact => out.extend_from_slice(REDACTED.as_bytes()),
            Self::Drop => {}
            Self::Text(text) => escape(text, syntax, out),
        }
    }

    /// The same as a value of its own.
    pub(crate) fn written(&self, raw: &[u8], syntax: Syntax) -> Vec<u8> {
        let mut out = Vec::with_capacity(raw.len().max(32));
        self.write(raw, syntax, &mut out);
        out
    }

    /// What was done, in words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Keep => "kept",
            Self::Token(_) => "token",
            Self::Redact => "redacted",
            Self::Drop => "dropped",
            Self::Text(_) => "rewritten",
        }
    }
}

/// Writes text as the syntax needs it.
pub(crate) fn escape(text: &[u8], syntax: Syntax, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let hex = |byte: u8| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    match syntax {
        Syntax::Plain => out.extend_from_slice(text),
        Syntax::Json => json_escape(text, out),
        Syntax::Percent => {
            for byte in text {
                if byte.is_ascii_alphanumeric() || b"-._~@:".contains(byte) {
                    out.push(*byte);
                } else {
                    out.push(b'%');
                    out.extend_from_slice(&hex(*byte));
                }
            }
        }
        Syntax::Xml => {
            for byte in text {
                match byte {
                    b'&' => out.extend_from_slice(b"&amp;"),
                    b'<' => out.extend_from_slice(b"&lt;"),
                    b'>' => out.extend_from_slice(b"&gt;"),
                    b'"' => out.extend_from_slice(b"&quot;"),
                    b'\'' => out.extend_from_slice(b"&#39;"),
                    b'\t' | b'\n' | b'\r' => out.extend_from_slice(format!("&#{byte};").as_bytes()),
                    _ => out.push(*byte),
                }
            }
        }
    }
}

/// Decoded strings may hold halves of surrogate pairs, which only escapes can write.
fn json_escape(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte @ 0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            0xED if text.get(at + 1).is_some_and(|second| *second >= 0xA0) && at + 2 < text.len() => {
                let code = 0xD000 | (u32::from(text[at + 1]) & 0x3F) << 6 | u32::from(text[at + 2]) & 0x3F;
                out.extend_from_slice(format!("\\u{code:04x}").as_bytes());
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
}
