//! E-mail addresses (RFC 5321 with RFC 6531): dotted or quoted local parts, domains of labels in any script, address literals.

use std::ops::Range;

/// Longest local part (RFC 5321) in bytes, with room for characters of several.
const MAX_LOCAL: usize = 128;
/// Longest domain in bytes.
const MAX_DOMAIN: usize = 255;
/// Longest label in bytes: 63 characters, of up to three bytes each.
const MAX_LABEL: usize = 189;

/// Addresses in `text`.
pub(crate) fn find(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let mut done = 0;
    let mut from = 0;
    while let Some(offset) = text[from..].iter().position(|b| *b == b'@' || *b == 0xEF) {
        let at = from + offset;
        // The full-width sign is what some input methods write.
        let width = if text[at] == b'@' {
            1
        } else if text[at..].starts_with("＠".as_bytes()) {
            3
        } else {
            0
        };
        from = at + width.max(1);
        if width == 0 {
            continue;
        }
        if let (Some(start), Some(end)) = (local(text, done, at), domain(text, at + width)) {
            take(start..end);
            (done, from) = (end, end);
        }
    }
}

fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte) || byte >= 0x80
}

/// Where the local part that ends at `end` begins.
fn local(text: &[u8], floor: usize, end: usize) -> Option<usize> {
    let floor = floor.max(end.saturating_sub(MAX_LOCAL));
    if end > floor && text[end - 1] == b'"' {
        // A quoted string: back to a quote that is not escaped.
        let open = (floor..end - 1).rev().find(|i| text[*i] == b'"' && (*i == 0 || text[*i - 1] != b'\\'))?;
        return (open + 2 < end).then_some(open);
    }
    let mut start = end;
    while start > floor && is_atom(text[start - 1]) {
        start -= 1;
    }
    // Not in the middle of a character, and no punctuation of the sentence around it.
    while start < end && (text[start] & 0xC0 == 0x80 || b".=?/&'{|}`!#$%^*~".contains(&text[start])) {
        start += 1;
    }
    // `to=alice@...`: what stands before the last sign of a pair is its name.
    if let Some(pair) = text[start..end].iter().rposition(|b| b"=&?/".contains(b)) {
        start += pair + 1;
    }
    (start < end && text[end - 1] != b'.').then_some(start)
}

/// Where the domain that starts at `start` ends.
fn domain(text: &[u8], start: usize) -> Option<usize> {
    let limit = text.len().min(start + MAX_DOMAIN);
    if text.get(start) == Some(&b'[') {
        let close = text[start..limit].iter().position(|b| *b == b']')?;
        let inside = &text[start + 1..start + close];
        let literal =
            inside.strip_prefix(b"IPv6:").map_or_else(|| super::address::is_v4(inside), super::address::is_v6);
        return literal.then_some(start + close + 1);
    }
    let mut end = start;
    while end < limit && (text[end].is_ascii_alphanumeric() || matches!(text[end], b'-' | b'.') || text[end] >= 0x80) {
        end += 1;
    }
    while end > start && matches!(text[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let domain = &text[start..end];
    let (mut labels, mut top) = (0, &b""[..]);
    for label in domain.split(|b| *b == b'.') {
        if label.is_empty() || label.len() > MAX_LABEL || label[0] == b'-' {
            return None;
        }
        (labels, top) = (labels + 1, label);
    }
    // Scripts with a full stop of their own.
    let stops = || ["。", "．"].iter().any(|stop| domain.windows(3).any(|w| w == stop.as_bytes()));
    let named = top.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80);
    (named && top.len() >= 2 && (labels >= 2 || stops())).then_some(end)
}
