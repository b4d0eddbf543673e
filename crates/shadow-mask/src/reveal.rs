//! Decrypting what rules encrypted, just before a request is sent to a candidate that has to look values up.
//!
//! The revealed request holds private data: it goes to the candidate and nowhere else. Its answer is masked like any other, under the
//! same rules, so the values become the same texts again.

use std::borrow::Cow;

use shadow_record::Request;

use crate::body::Format;
use crate::masker::Masker;
use crate::scope::{Syntax, escape};
use crate::token::cipher::PREFIX;

impl Masker {
    /// The request with every encrypted value decrypted, written as its place needs it. Values of other keys stay encrypted, and so
    /// do values in headers that no header can hold.
    #[must_use]
    pub fn reveal(&self, mut request: Request) -> Request {
        let syntax = match request.header("content-type").and_then(Format::of_type) {
            Some(Format::Json | Format::JsonLines | Format::EventStream) => Syntax::Json,
            Some(Format::Form) => Syntax::Percent,
            Some(Format::Xml) => Syntax::Xml,
            Some(Format::Multipart | Format::Text) | None => Syntax::Plain,
        };
        request.path = self.reveal_text(request.path, Syntax::Percent);
        request.query = request.query.map(|query| self.reveal_text(query, Syntax::Percent));
        for header in &mut request.headers {
            let revealed = self.reveal_text(header.value.clone(), Syntax::Plain);
            if !revealed.chars().any(char::is_control) {
                header.value = revealed;
            }
        }
        if let Some(content) = &request.body.content
            && let Cow::Owned(revealed) = self.reveal_bytes(content, syntax)
        {
            request.body.content = Some(revealed.into());
        }
        request
    }

    fn reveal_text(&self, text: String, syntax: Syntax) -> String {
        match self.reveal_bytes(text.as_bytes(), syntax) {
            Cow::Borrowed(_) => text,
            // A header may hold bytes that are no text only if a rule kept them, and then they were not encrypted.
            Cow::Owned(revealed) => String::from_utf8(revealed).unwrap_or(text),
        }
    }

    fn reveal_bytes<'t>(&self, text: &'t [u8], syntax: Syntax) -> Cow<'t, [u8]> {
        let mut revealed = Vec::new();
        let (mut copied, mut from) = (0, 0);
        while let Some(at) = text[from..].windows(PREFIX.len()).position(|window| window == PREFIX).map(|at| from + at)
        {
            let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let end = at + text[at..].iter().take_while(|b| part(b)).count();
            if let Some(value) = self.tokenizer.open(&text[at..end]) {
                revealed.extend_from_slice(&text[copied..at]);
                escape(&value, syntax, &mut revealed);
                copied = end;
            }
            from = end;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        revealed.extend_from_slice(&text[copied..]);
        Cow::Owned(revealed)
    }
}
