//! Telephone numbers: international ones (E.164) by their `+` and country code, national ones by the country's plan.
//!
//! National numbers look like any other digits, so they are looked for only where the name says telephone, or in the countries
//! that the rules name, and there only with separators.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::free_before;
use super::number::{Group, groups};
use crate::names::Hint;

/// A country whose national telephone numbers are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)] // ISO 3166 codes
pub enum Region {
    Us,
    Ca,
    Gb,
    De,
    Fr,
    Es,
    It,
    Nl,
    Au,
    In,
    Br,
    Jp,
}

const REGIONS: [Region; 12] = [
    Region::Us,
    Region::Ca,
    Region::Gb,
    Region::De,
    Region::Fr,
    Region::Es,
    Region::It,
    Region::Nl,
    Region::Au,
    Region::In,
    Region::Br,
    Region::Jp,
];

/// Whether digits behind a `+` begin with an assigned country code and are as many as E.164 allows.
fn is_e164(digits: &[u8]) -> bool {
    let [first, second, rest @ ..] = digits else { return false };
    if digits.len() < 7 || digits.len() > 15 {
        return false;
    }
    match (first - b'0') * 10 + second - b'0' {
        10..=19 => rest.len() == 9 && *second >= b'2',
        70..=79 => rest.len() >= 6,
        20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98 => true,
        // Codes of three digits.
        21..=26 | 29 | 35 | 37 | 38 | 42 | 50 | 59 | 67..=69 | 80 | 85 | 87 | 88 | 96 | 97 | 99 => true,
        _ => false,
    }
}

/// The most groups a number is written in.
const MAX_GROUPS: usize = 8;

/// International numbers: `+49 30 1234567`, `+1 (415) 555-2671`, `+44 (0)20 7946 0018`; with `00` where the name says telephone.
pub(crate) fn international(text: &[u8], hint: Hint, take: &mut dyn FnMut(Range<usize>)) {
    let groups = groups(text);
    let mut first = 0;
    while first < groups.len() {
        let start = groups[first].at.start;
        let signed = start > 0 && text[start - 1] == b'+' && free_before(text, start - 1);
        let zeros = hint == Hint::Phone && text[start..].starts_with(b"00");
        if !signed && !zeros {
            first += 1;
            continue;
        }
        let skip = if zeros { 2 } else { 0 };
        let count = longest(text, &groups[first..], |digits| digits.len() > skip && is_e164(&digits[skip..]));
        if let Some(count) = count {
            take(start - usize::from(signed)..groups[first + count - 1].at.end);
        }
        first += count.unwrap_or(1);
    }
}

/// National numbers of `regions`, or of all where the name says telephone.
pub(crate) fn national(text: &[u8], hint: Hint, regions: &[Region], take: &mut dyn FnMut(Range<usize>)) {
    let named = hint == Hint::Phone;
    let regions = if named { &REGIONS[..] } else { regions };
    let groups = groups(text);
    let mut first = 0;
    while first < groups.len() {
        let start = groups[first].at.start;
        let opened = start > 0 && text[start - 1] == b'(';
        let from = start - usize::from(opened);
        let before = from.checked_sub(1).map(|i| text[i]);
        let free = free_before(text, from) && !matches!(before, Some(b'.' | b'-' | b'/' | b'+' | b',' | b':'));
        let count = free.then(|| {
            longest(text, &groups[first..], |digits| regions.iter().any(|region| fits(*region, digits)))
                .filter(|count| named || *count > 1 || opened)
        });
        let Some(count) = count.flatten() else {
            first += 1;
            continue;
        };
        let end = groups[first + count - 1].at.end;
        let from = if text[from..end].contains(&b')') { from } else { start };
        // What a date, an amount or an address goes on with.
        let goes_on = matches!(text.get(end), Some(b'.' | b':' | b'-' | b'/'))
            && text.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !goes_on {
            take(from..end);
        }
        first += count;
    }
}

/// How many groups from the first on make a number that `fits`; the most that do.
fn longest(text: &[u8], groups: &[Group], fits: impl Fn(&[u8]) -> bool) -> Option<usize> {
    let mut digits = Vec::with_capacity(20);
    let mut best = None;
    for (i, group) in groups.iter().take(MAX_GROUPS).enumerate() {
        if i > 0 && !joined(&text[groups[i - 1].at.end..group.at.start]) {
            break;
        }
        let own = &text[group.at.clone()];
        // `(0)` behind the country code is not dialled from abroad.
        if !(i > 0 && own == b"0" && text[group.at.start - 1] == b'(') {
            digits.extend_from_slice(own);
        }
        if digits.len() > 17 {
            break;
        }
        if fits(&digits) {
            best = Some(i + 1);
        }
    }
    best
}

/// What may stand between the groups of one number.
fn joined(between: &[u8]) -> bool {
    matches!(between, b" " | b"-" | b"." | b"/" | b" (" | b") " | b")" | b"(" | b" - " | b" / " | b")-" | b"-(")
}

/// Whether digits are a number of the country's plan, as dialled inside it.
fn fits(region: Region, digits: &[u8]) -> bool {
    let length = digits.len();
    match (region, digits) {
        (Region::Us | Region::Ca, [b'1', b'2'..=b'9', rest @ ..]) => {
            rest.len() == 9 && (b'2'..=b'9').contains(&rest[2])
        }
        (Region::Us | Region::Ca, [b'2'..=b'9', _, _, b'2'..=b'9', ..]) => length == 10,
        (Region::Gb, [b'0', b'1' | b'2' | b'3' | b'5' | b'7' | b'8' | b'9', ..]) => (10..=11).contains(&length),
        (Region::De, [b'0', b'1'..=b'9', ..]) => (7..=13).contains(&length),
        (Region::Fr, [b'0', b'1'..=b'9', ..]) => length == 10,
        (Region::Es, [b'6'..=b'9', ..]) => length == 9,
        (Region::It, [b'0' | b'3', ..]) => (8..=11).contains(&length),
        (Region::Nl, [b'0', b'1'..=b'9', ..]) => length == 10,
        (Region::Au, [b'0', b'2' | b'3' | b'4' | b'7' | b'8', ..]) => length == 10,
        (Region::In, [b'6'..=b'9', ..]) => length == 10,
        (Region::In, [b'0', b'1'..=b'9', ..]) => length == 11,
        (Region::Br, [b'1'..=b'9', b'1'..=b'9', ..]) => (10..=11).contains(&length),
        (Region::Jp, [b'0', b'1'..=b'9', ..]) => (10..=11).contains(&length),
        _ => false,
    }
}

/// Whether the whole value is written as a telephone number: by its `+`, or with separators as in some country.
pub(crate) fn is_written_phone(value: &[u8]) -> bool {
    // No letters, and as many digits as any number has: most values are told apart here.
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let written = |b: &u8| b.is_ascii_digit() || matches!(b, b'+' | b' ' | b'-' | b'.' | b'/' | b'(' | b')');
    if !(7..=17).contains(&digits) || !value.iter().all(written) {
        return false;
    }
    if value[0] == b'+' && value[1..].iter().all(u8::is_ascii_digit) {
        return is_e164(&value[1..]);
    }
    let all = 0..value.len();
    let mut whole = false;
    if value[0] == b'+' {
        international(value, Hint::Nothing, &mut |at| whole |= at == all);
    } else {
        national(value, Hint::Nothing, &REGIONS, &mut |at| whole |= at == all);
    }
    whole
}
