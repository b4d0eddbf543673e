//! Bounded excerpts of differing values.

use crate::document::{Document, Id, Kind};

/// Most characters of one excerpt.
pub(crate) const EXCERPT: usize = 160;
/// Characters shown before the first differing one.
const CONTEXT: usize = 24;

/// The beginning of a text.
pub(crate) fn head(text: &str) -> String {
    window(text, 0)
}

/// Two texts around the place where they begin to differ.
pub(crate) fn around(primary: &str, candidate: &str) -> (String, String) {
    let shared = primary.chars().zip(candidate.chars()).take_while(|(a, b)| a == b).count();
    let longest = primary.len().max(candidate.len());
    let start = if longest <= EXCERPT { 0 } else { shared.saturating_sub(CONTEXT) };
    (window(primary, start), window(candidate, start))
}

/// The beginning of a value's JSON text.
pub(crate) fn json(document: &Document, id: Id) -> String {
    let mut out = String::new();
    // The containers that are open, each with its closing bracket and whether something stands in it yet.
    let mut open: Vec<(Id, char, bool)> = Vec::new();
    let last = document.end(id);
    for at in id..last {
        close(&mut open, at, document, &mut out);
        if out.len() > EXCERPT * 4 {
            break;
        }
        if let Some((_, bracket, begun)) = open.last_mut() {
            out.push_str(if std::mem::replace(begun, true) { "," } else { "" });
            if *bracket == '}' {
                quoted(document.name(at), &mut out);
                out.push(':');
            }
        }
        match document.kind(at) {
            Kind::Null => out.push_str("null"),
            Kind::Boolean | Kind::Number => out.push_str(document.text(at)),
            Kind::String => quoted(document.text(at), &mut out),
            Kind::Array => {
                out.push('[');
                open.push((at, ']', false));
            }
            Kind::Object | Kind::Ambiguous => {
                out.push('{');
                open.push((at, '}', false));
            }
        }
    }
    close(&mut open, last, document, &mut out);
    head(&out)
}

fn close(open: &mut Vec<(Id, char, bool)>, at: Id, document: &Document, out: &mut String) {
    while let Some(&(id, bracket, _)) = open.last()
        && document.end(id) <= at
    {
        out.push(bracket);
        open.pop();
    }
}

/// Cut where it is longer than what is shown.
fn quoted(text: &str, out: &mut String) {
    let end = text.char_indices().nth(EXCERPT).map_or(text.len(), |(end, _)| end);
    out.push_str(&serde_json::Value::from(&text[..end]).to_string());
}

fn window(text: &str, start: usize) -> String {
    let mut chars = text.chars().skip(start);
    let mut out = String::new();
    if start > 0 {
        out.push('…');
    }
    out.extend(chars.by_ref().take(EXCERPT));
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
