//! Values of JSON bodies, replaced in the text. Pure.
//!
//! No document is built: names, order, duplicates, white space and the text of every number stay as they are. A value keeps the type
//! of its place where the one issued can be written as such.

use bytes::Bytes;

use super::Issued;

/// Whether a content type says JSON, lines of JSON among it.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    matches!(
        essence.as_str(),
        "application/json" | "text/json" | "application/x-ndjson" | "application/ndjson" | "application/jsonl"
    ) || essence.starts_with("application/") && essence.ends_with("+json")
}

/// Whether a content type says that the body is a form.
pub(super) fn is_form(content_type: &str) -> bool {
    essence(content_type) == "application/x-www-form-urlencoded"
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The text with strings and numbers replaced that `lookup` knows. Text that is not JSON comes back as it is, but for what looks like it.
pub(super) fn json(text: &Bytes, mut lookup: impl FnMut(&str) -> Option<Issued>) -> Bytes {
    let mut replaced = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while at < text.len() {
        let end = match text[at] {
            b'"' => string_end(text, at),
            b'-' | b'0'..=b'9' => {
                let number = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
                at + text[at..].iter().take_while(|b| number(b)).count()
            }
            _ => {
                at += 1;
                continue;
            }
        };
        if let Some(issued) = value(&text[at..end], &text[end..], &mut lookup) {
            replaced.extend_from_slice(&text[copied..at]);
            replaced.extend_from_slice(&issued);
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return text.clone();
    }
    replaced.extend_from_slice(&text[copied..]);
    replaced.into()
}

/// What stands in place of a string or number that has `rest` behind it.
fn value(written: &[u8], rest: &[u8], lookup: &mut impl FnMut(&str) -> Option<Issued>) -> Option<Vec<u8>> {
    if written[0] != b'"' {
        let Issued { text, is_number } = lookup(std::str::from_utf8(written).ok()?)?;
        return if is_number || is_number_text(&text) { Some(text.into()) } else { serde_json::to_vec(&text).ok() };
    }
    if rest.trim_ascii_start().first() == Some(&b':') {
        return None;
    }
    let value: String = serde_json::from_slice(written).ok()?;
    serde_json::to_vec(&lookup(&value)?.text).ok()
}

fn is_number_text(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// Where the string that begins at `start` has ended; the end of the text when it does not.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}
