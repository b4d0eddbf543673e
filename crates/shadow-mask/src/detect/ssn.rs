//! US social security numbers: the whole range that can be issued since 2011 (no area 000, 666 or 9xx, no group 00, no serial 0000).

use std::ops::Range;

use super::number::groups;
use crate::names::Hint;

/// Social security numbers in `text`: `123-45-6789` and `123 45 6789`; nine bare digits only where the name says so.
pub(crate) fn find(text: &[u8], hint: Hint, take: &mut dyn FnMut(Range<usize>)) {
    let groups = groups(text);
    for (i, group) in groups.iter().enumerate() {
        let goes_on = |next: usize| groups.get(next).is_some_and(|g| matches!(g.joined_by, b'-' | b'.' | b'/'));
        if matches!(group.joined_by, b'-' | b'.' | b'/') {
            continue;
        }
        if hint == Hint::Ssn && group.len() == 9 && !goes_on(i + 1) && in_range(&text[group.at.clone()]) {
            take(group.at.clone());
            continue;
        }
        let [first, second, third, ..] = &groups[i..] else { continue };
        let separator = second.joined_by;
        let sound = (first.len(), second.len(), third.len()) == (3, 2, 4)
            && matches!(separator, b'-' | b' ')
            && third.joined_by == separator
            && !goes_on(i + 3);
        let at = first.at.start..third.at.end;
        if sound && is_written_ssn(&text[at.clone()]) {
            take(at);
        }
    }
}

/// Whether `value` is nine digits written as a social security number, in any range.
pub(crate) fn is_written(value: &[u8]) -> bool {
    value.len() == 11
        && value.iter().enumerate().all(|(i, b)| match i {
            3 | 6 => matches!(b, b'-' | b' ') && *b == value[3],
            _ => b.is_ascii_digit(),
        })
}

/// Whether it is one that can have been issued, or a token.
pub(crate) fn is_written_ssn(value: &[u8]) -> bool {
    if !is_written(value) {
        return false;
    }
    let digits: Vec<u8> = value.iter().copied().filter(u8::is_ascii_digit).collect();
    in_range(&digits) || (value[3] == b'-' && is_reserved(&digits))
}

fn in_range(digits: &[u8]) -> bool {
    let (area, group, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
    !(area == b"000" || area == b"666" || area[0] == b'9' || group == b"00" || serial == b"0000")
}

/// Never a social security number, and no ITIN (whose groups begin at 50).
fn is_reserved(digits: &[u8]) -> bool {
    digits[0] == b'9' && digits[3] < b'5' && &digits[3..5] != b"00"
}
