//! IP addresses. A dotted quad behind `v` or a name that says version is a version.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::{free_after, free_before};
use crate::names::Hint;

/// Longest text of an address, with an embedded IPv4 one.
const MAX_V6: usize = 45;

/// Whether all of `value` is an IPv4 address.
pub(crate) fn is_v4(value: &[u8]) -> bool {
    parse::<Ipv4Addr>(value)
}

/// Whether all of `value` is an IPv6 address.
pub(crate) fn is_v6(value: &[u8]) -> bool {
    value.len() > 2 && parse::<Ipv6Addr>(value)
}

fn parse<T: std::str::FromStr>(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| text.parse::<T>().is_ok())
}

/// IPv4 addresses in `text`.
pub(crate) fn v4(text: &[u8], hint: Hint, take: &mut dyn FnMut(Range<usize>)) {
    if hint == Hint::Version {
        return;
    }
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < text.len() && (text[at].is_ascii_digit() || text[at] == b'.') {
            at += 1;
        }
        let run = text[start..at].strip_suffix(b".").unwrap_or(&text[start..at]);
        let end = start + run.len();
        let before = start.checked_sub(1).map(|i| text[i]);
        let free = free_before(text, start) && !matches!(before, Some(b'.' | b'_')) && free_after(text, end);
        if free && run.len() <= 15 && is_v4(run) && !after_version(&text[..start]) {
            take(start..end);
        }
    }
}

/// Whether the words before say that a version follows: `version 1.2.3.4`, `Chrome/1.2.3.4`.
fn after_version(before: &[u8]) -> bool {
    if let Some(product) = before.strip_suffix(b"/") {
        // `http://1.2.3.4` is an address, `Chrome/1.2.3.4` a product.
        return product.last().is_some_and(u8::is_ascii_alphabetic);
    }
    let words = &before[before.len().saturating_sub(12)..];
    let trimmed = words.trim_ascii_end();
    let trimmed = trimmed.strip_suffix(b":").or(trimmed.strip_suffix(b"=")).unwrap_or(trimmed);
    let lower = trimmed.to_ascii_lowercase();
    ["version", "release", "build", "ver.", " v"].iter().any(|word| lower.ends_with(word.as_bytes()))
}

/// IPv6 addresses in `text`.
pub(crate) fn v6(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let part = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let mut at = 0;
    while at < text.len() {
        if !part(text[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < text.len() && part(text[at]) {
            at += 1;
        }
        let run = &text[start..at];
        if run.len() > MAX_V6 + 2 || run.iter().filter(|b| **b == b':').count() < 2 {
            continue;
        }
        // A sentence may end in a colon or full stop.
        let ends = [run.len(), run.len() - 1];
        let free = (start == 0 || !(text[start - 1].is_ascii_alphanumeric() || text[start - 1] == b'_'))
            && free_after(text, at);
        if free && let Some(end) = ends.into_iter().find(|end| is_v6(&run[..*end])) {
            take(start..start + end);
        }
    }
}
