//! Secrets by what stands around them: PEM blocks, users and passwords in addresses, and `name=value` in text.

use std::ops::Range;

use crate::names;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";

fn find(text: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    text[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// PEM blocks (RFC 7468). One without its end reaches to the end of the text.
pub(crate) fn pem(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(start) = find(text, from, BEGIN) {
        let end = find(text, start, END).and_then(|end| find(text, end + END.len(), b"-----").map(|end| end + 5));
        let end = end.unwrap_or(text.len());
        take(start..end);
        from = end;
    }
}

/// The part before the `@` of `scheme://user:password@host`.
pub(crate) fn url(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(slashes) = find(text, from, b"://") {
        let start = slashes + 3;
        let ends = |b: &u8| matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>') || b.is_ascii_whitespace();
        let end = start + text[start..].iter().position(ends).unwrap_or(text.len() - start);
        let user = text[start..end].iter().rposition(|b| *b == b'@').map(|at| start + at);
        let scheme = slashes > 0 && text[slashes - 1].is_ascii_alphanumeric();
        if let Some(user) = user.filter(|user| scheme && *user > start && text[start..*user].contains(&b':')) {
            take(start..user);
        }
        from = end;
    }
}

/// Longest name that is looked at.
const MAX_NAME: usize = 40;

/// The values of secrets named in text: `password=...`, `"api_key": "..."`, `token: ...`.
pub(crate) fn named(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(sign) = text[at..].iter().position(|b| matches!(b, b'=' | b':')).map(|offset| at + offset) {
        at = sign + 1;
        if text[at..].starts_with(b"//") {
            continue;
        }
        let mut end_of_name = sign;
        while end_of_name > 0 && matches!(text[end_of_name - 1], b' ' | b'"' | b'\'') {
            end_of_name -= 1;
            if sign - end_of_name > 3 {
                break;
            }
        }
        let floor = end_of_name.saturating_sub(MAX_NAME);
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let start_of_name = end_of_name - text[floor..end_of_name].iter().rev().take_while(|b| is_name(b)).count();
        if !names::is_secret(&text[start_of_name..end_of_name]) {
            continue;
        }
        let mut start = at + text[at..].iter().take(3).take_while(|b| matches!(b, b' ' | b'\\')).count();
        let quote = text.get(start).copied().filter(|b| matches!(b, b'"' | b'\''));
        start += usize::from(quote.is_some());
        let ends = |b: &u8| match quote {
            Some(quote) => *b == quote || *b == b'\n',
            None => {
                b.is_ascii_whitespace() || matches!(b, b'&' | b',' | b';' | b'"' | b'\'' | b'<' | b'>' | b')' | b'}')
            }
        };
        let end = start + text[start..].iter().position(ends).unwrap_or(text.len() - start);
        if end > start {
            take(start..end);
            at = end;
        }
    }
}
