//! Multipart bodies (RFC 2046, RFC 7578): every part by its name and content type.
//!
//! The boundary is the sender's to choose, so it is replaced by [`BOUNDARY`]; what stands before the first part and after the last
//! goes. Files of a type that is not read become one token.

use crate::refused::Refused;
use crate::rules::Place;
use crate::scope::{Action, Scope, Syntax, Treatment};

/// The boundary of every masked body.
pub(crate) const BOUNDARY: &str = "masked-part-boundary";

/// The most parts of one body; enough for any form, and a bound on headers read.
const MAX_PARTS: usize = 10_000;

/// The content type of a multipart body after masking; `None` for other types.
pub(crate) fn rewritten_type(value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    let (essence, _) = text.split_once(';')?;
    let essence = essence.trim().to_ascii_lowercase();
    let known = ["multipart/form-data", "multipart/mixed", "multipart/related", "multipart/alternative"];
    known.contains(&&*essence).then(|| format!("{essence}; boundary={BOUNDARY}").into_bytes())
}

/// `; name="value"` pairs, quotes and escapes undone.
pub(crate) fn parameters(text: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let name = rest[..equals].rsplit(';').next().unwrap_or_default().trim().to_owned();
        let value = rest[equals + 1..].trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        parameters.push((name, value));
        rest = after;
    }
    parameters
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (text, &quoted[at + 1..]),
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => text.extend(characters.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    (text, "")
}

impl Scope<'_> {
    /// Masks a multipart body.
    pub(crate) fn multipart(&self, boundary: &str, body: &[u8]) -> Result<Vec<u8>, Refused> {
        if boundary.is_empty() || boundary.len() > 70 {
            return Err(Refused::Multipart);
        }
        let mut masked = Vec::with_capacity(body.len() + 256);
        for part in parts(boundary.as_bytes(), body)? {
            let start = masked.len();
            masked.extend_from_slice(format!("--{BOUNDARY}\r\n").as_bytes());
            if self.one_part(part, &mut masked)?.is_none() {
                masked.truncate(start);
            }
        }
        masked.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        Ok(masked)
    }

    /// Writes one masked part; `None` when a rule drops it.
    fn one_part(&self, part: &[u8], masked: &mut Vec<u8>) -> Result<Option<()>, Refused> {
        let (head, content) = match find(part, b"\r\n\r\n") {
            _ if part.starts_with(b"\r\n") => (&b""[..], &part[2..]),
            Some(end) => (&part[..end], &part[end + 4..]),
            None => return Err(Refused::Multipart),
        };
        let head = std::str::from_utf8(head).map_err(|_| Refused::Multipart)?;
        let (mut name, mut filename, mut content_type) = (String::new(), None, None);
        for line in head.split("\r\n").filter(|line| !line.is_empty()) {
            let (header, value) = line.split_once(':').ok_or(Refused::Multipart)?;
            if header.eq_ignore_ascii_case("content-disposition") {
                for (parameter, value) in parameters(value) {
                    match parameter.to_ascii_lowercase().as_str() {
                        "name" => name = value,
                        "filename" | "filename*" => filename = Some(value),
                        _ => {}
                    }
                }
            } else if header.eq_ignore_ascii_case("content-type") {
                content_type = Some(value.trim());
            }
        }
        let treatment = self.treatment(Place::Part, name.as_bytes());
        self.write_head(&name, filename.as_deref(), content_type, treatment, masked);
        let before = masked.len();
        let dropped = self.part_content(&name, filename.is_some(), content_type, treatment, content, masked);
        if find(&masked[before..], BOUNDARY.as_bytes()).is_some() {
            return Err(Refused::Multipart);
        }
        masked.extend_from_slice(b"\r\n");
        Ok((!dropped).then_some(()))
    }

    fn write_head(
        &self,
        name: &str,
        filename: Option<&str>,
        content_type: Option<&str>,
        treatment: Treatment<'_>,
        masked: &mut Vec<u8>,
    ) {
        let quoted = |text: &[u8]| {
            String::from_utf8_lossy(text).replace('\\', "\\\\").replace('"', "\\\"").replace(['\r', '\n'], " ")
        };
        let kept = treatment.is(crate::rules::Strategy::Keep);
        let shown = if kept { name.as_bytes().into() } else { self.name(name.as_bytes()) };
        masked.extend_from_slice(format!("Content-Disposition: form-data; name=\"{}\"", quoted(&shown)).as_bytes());
        if let Some(filename) = filename {
            let place = || "file name".to_owned();
            let file =
                self.decide(&place, Treatment::PLAIN, filename.as_bytes()).written(filename.as_bytes(), Syntax::Plain);
            masked.extend_from_slice(format!("; filename=\"{}\"", quoted(&file)).as_bytes());
        }
        masked.extend_from_slice(b"\r\n");
        if let Some(content_type) = content_type {
            let essence = content_type.split(';').next().unwrap_or_default().trim();
            let public = |value: &str| self.is_public(value.as_bytes()).then(|| value.to_owned());
            // Without its type or charset a part would be read otherwise when it is masked again.
            let general = || crate::body::general_type(content_type.as_bytes());
            if let Some(written) = public(content_type).or_else(general).or_else(|| public(essence)) {
                masked.extend_from_slice(format!("Content-Type: {written}\r\n").as_bytes());
            }
        }
        masked.extend_from_slice(b"\r\n");
    }

    /// Writes the masked content; whether a rule drops the part.
    fn part_content(
        &self,
        name: &str,
        is_file: bool,
        content_type: Option<&str>,
        treatment: Treatment<'_>,
        content: &[u8],
        masked: &mut Vec<u8>,
    ) -> bool {
        let place = || format!("part {}", String::from_utf8_lossy(&self.name(name.as_bytes())));
        let treatment = match (treatment, content_type) {
            (Treatment::Rule(_), _) | (_, None) => treatment,
            (Treatment::Name(_), Some(content_type)) => match self.part(content_type, content) {
                Some(part) => {
                    masked.extend_from_slice(&part);
                    return false;
                }
                None => Treatment::SECRET,
            },
        };
        // A file without a type could be anything.
        let treatment = match treatment {
            Treatment::Name(_) if is_file && content_type.is_none() => Treatment::SECRET,
            treatment => treatment,
        };
        let action = self.decide(&place, treatment, content);
        action.write(content, Syntax::Plain, masked);
        matches!(action, Action::Drop)
    }
}

/// What stands between the delimiters, without the line end before each.
fn parts<'b>(boundary: &[u8], body: &'b [u8]) -> Result<Vec<&'b [u8]>, Refused> {
    let delimiter = [b"--", boundary].concat();
    let starts_line = |at: usize| at == 0 || body[..at].ends_with(b"\r\n");
    let mut delimiters = Vec::new();
    let mut from = 0;
    while let Some(at) = find(&body[from..], &delimiter).map(|at| from + at) {
        from = at + delimiter.len();
        if starts_line(at) {
            delimiters.push(at);
        }
        if delimiters.len() > MAX_PARTS {
            return Err(Refused::TooLarge);
        }
    }
    let mut parts = Vec::new();
    for (i, at) in delimiters.iter().enumerate() {
        let rest = &body[at + delimiter.len()..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let start = at + delimiter.len() + padding + 2;
        if !rest[padding..].starts_with(b"\r\n") {
            return Err(Refused::Multipart);
        }
        // The last delimiter closes; a body that ends before it is truncated.
        let end = delimiters.get(i + 1).ok_or(Refused::Multipart)?;
        parts.push(body.get(start..end - 2).unwrap_or_default());
    }
    Err(Refused::Multipart)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|b| *b == first) {
        if text[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
