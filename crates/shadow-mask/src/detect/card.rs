//! Payment card numbers: 13 to 19 digits of a known issuer range, in the groups that cards print, Luhn-valid (ISO/IEC 7812).

use std::ops::Range;

use super::number::{Group, groups};

/// Issuer ranges by their first six digits, and the lengths they issue.
const ISSUERS: &[(u32, u32, &[usize])] = &[
    (100_000, 199_999, &[15]),                         // UATP
    (220_000, 220_499, &[16, 17, 18, 19]),             // Mir
    (222_100, 272_099, &[16]),                         // Mastercard
    (300_000, 305_999, &[14, 16, 17, 18, 19]),         // Diners Club
    (309_500, 309_599, &[14, 16, 17, 18, 19]),         // Diners Club
    (340_000, 349_999, &[15]),                         // American Express
    (352_800, 358_999, &[16, 17, 18, 19]),             // JCB
    (360_000, 369_999, &[14, 15, 16, 17, 18, 19]),     // Diners Club
    (370_000, 379_999, &[15]),                         // American Express
    (380_000, 399_999, &[14, 16, 17, 18, 19]),         // Diners Club
    (400_000, 499_999, &[13, 16, 18, 19]),             // Visa
    (500_000, 509_999, &[13, 14, 15, 16, 17, 18, 19]), // Maestro, Elo, Verve, RuPay
    (510_000, 559_999, &[16]),                         // Mastercard
    (560_000, 599_999, &[13, 14, 15, 16, 17, 18, 19]), // Maestro
    (600_000, 699_999, &[13, 14, 15, 16, 17, 18, 19]), // Discover, Maestro, UnionPay, RuPay, InstaPayment
    (810_000, 829_999, &[16, 17, 18, 19]),             // UnionPay, RuPay
    (979_200, 979_299, &[16]),                         // Troy
];

/// Whether digits hold by Luhn.
pub(crate) fn is_luhn(digits: &[u8]) -> bool {
    luhn_sum(digits, 0).is_multiple_of(10)
}

/// The digit that makes `body` hold by Luhn.
pub(crate) fn luhn_digit(body: &[u8]) -> u32 {
    (10 - luhn_sum(body, 1) % 10) % 10
}

fn luhn_sum(digits: &[u8], shift: usize) -> u32 {
    let value = |(i, b): (usize, &u8)| {
        let digit = u32::from(b.wrapping_sub(b'0'));
        if (i + shift).is_multiple_of(2) { digit } else { digit * 2 - if digit > 4 { 9 } else { 0 } }
    };
    digits.iter().rev().enumerate().map(value).sum()
}

/// Whether bare digits are a card number.
pub(crate) fn is_card(digits: &[u8]) -> bool {
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let head = digits[..6].iter().fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    ISSUERS.iter().any(|(low, high, lengths)| (low..=high).contains(&&head) && lengths.contains(&digits.len()))
        && is_luhn(digits)
}

/// Whether the whole value is a card number with separators.
pub(crate) fn is_written_card(value: &[u8]) -> bool {
    let mut whole = false;
    if value.iter().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.')) {
        find(value, &mut |at| whole |= at == (0..value.len()));
    }
    whole
}

/// Card numbers in `text`: in one piece, or in groups of at least three digits (the last may be shorter) joined alike.
pub(crate) fn find(text: &[u8], take: &mut dyn FnMut(Range<usize>)) {
    let groups = groups(text);
    let mut first = 0;
    while first < groups.len() {
        match card_from(text, &groups[first..]) {
            Some(count) => {
                take(groups[first].at.start..groups[first + count - 1].at.end);
                first += count;
            }
            None => first += 1,
        }
    }
}

/// How many groups from the first on make a card number; the most that do.
fn card_from(text: &[u8], groups: &[Group]) -> Option<usize> {
    let mut digits = Vec::with_capacity(19);
    let mut best = None;
    for (i, group) in groups.iter().enumerate() {
        let joined = match i {
            0 => true,
            1 => matches!(group.joined_by, b' ' | b'-' | b'.'),
            _ => group.joined_by == groups[1].joined_by,
        };
        if !joined || digits.len() + group.len() > 19 || (i > 0 && groups[i - 1].len() < 3) {
            break;
        }
        digits.extend_from_slice(&text[group.at.clone()]);
        if is_card(&digits) {
            best = Some(i + 1);
        }
    }
    best
}
