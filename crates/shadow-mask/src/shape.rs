//! The allow-list of shapes: values that are kept although no rule names them.
//!
//! Each shape is here because services branch on it and because it says little about a person on its own. The list is closed
//! and checked strictly (a date must be a date), so that nothing else can pass in its clothes. What it lets through although it
//! may be private in some service (a birth date, a six-digit code) is listed in `docs/masking.md`.

mod codes;

/// Most digits of a kept integer. Seven and more may be a telephone number, nine a social security number, thirteen a card.
const MAX_DIGITS: usize = 6;

/// Whether a value of this shape is kept.
pub(crate) fn is_harmless(value: &[u8]) -> bool {
    match value {
        [] => true,
        // No shape is longer than a UUID.
        [_, ..] if value.len() > 36 => false,
        [b'0'..=b'9' | b'-', ..] if is_small_number(value) => true,
        [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] if is_uuid(value) => true,
        [b'0'..=b'9', ..] => is_date_time(value) || is_version(value),
        [b'v', rest @ ..] if is_version(rest) => true,
        [b'a'..=b'z' | b'A'..=b'Z', ..] if value.len() <= 6 => is_word(value),
        _ => false,
    }
}

/// A number, as JSON and databases write it, of so few digits that it says little: six in all, exponent included, or six before
/// the point and two behind, as prices have.
pub(crate) fn is_small_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let (mut whole, mut fraction, mut part) = (0, 0, 0);
    for (i, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if part == 0 => whole += 1,
            b'0'..=b'9' => fraction += 1,
            b'.' if part == 0 && whole > 0 => part = 1,
            b'e' | b'E' if part < 2 && whole > 0 && digits[i - 1].is_ascii_digit() => part = 2,
            b'+' | b'-' if part == 2 && matches!(digits[i - 1], b'e' | b'E') => {}
            _ => return false,
        }
    }
    let sound = whole > 0 && digits.last().is_some_and(u8::is_ascii_digit);
    sound && (whole + fraction <= MAX_DIGITS || (part == 1 && whole <= MAX_DIGITS && fraction <= 2))
}

pub(crate) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Two or three numbers of at most three digits: `1.2`, `10.0.17`. Four would be an IPv4 address.
fn is_version(value: &[u8]) -> bool {
    let mut parts = 0;
    value.split(|b| *b == b'.').all(|part| {
        parts += 1;
        (1..=3).contains(&part.len()) && part.iter().all(u8::is_ascii_digit)
    }) && (2..=3).contains(&parts)
}

/// Words of closed vocabularies: booleans, null, sort orders, ISO 4217 currencies, ISO 639-1 languages with or without region.
fn is_word(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] = [b"true", b"false", b"null", b"yes", b"no", b"on", b"off", b"asc", b"desc"];
    // Truth in databases' exports.
    const LETTERS: [&[u8]; 4] = [b"t", b"f", b"y", b"n"];
    let region = |code: &[u8]| codes::contains(codes::REGIONS, code);
    let language = |code: &[u8]| codes::contains(codes::LANGUAGES, code);
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
        || LETTERS.contains(&value)
        || match value {
            [_, _] => language(value),
            [_, _, _] => codes::contains(codes::CURRENCIES, value),
            [a, b, b'-' | b'_', c, d] => language(&[*a, *b]) && region(&[*c, *d]),
            _ => false,
        }
}

/// ISO 8601: `2024-02-29`, `2024-02-29T12:30`, `2024-02-29 12:30:59.123456Z`, `...+01:00`, with every field in its range.
fn is_date_time(value: &[u8]) -> bool {
    after_date(value).is_some()
}

/// What follows a date: nothing, or a `T` or blank and a time of day.
pub(crate) fn after_date(value: &[u8]) -> Option<&[u8]> {
    let (date, rest) = value.split_at_checked(10)?;
    let (_, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    if date[4] != b'-' || date[7] != b'-' || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    match rest {
        [] => Some(rest),
        [b'T' | b't' | b' ', time @ ..] => is_time(time).then_some(rest),
        _ => None,
    }
}

fn is_time(value: &[u8]) -> bool {
    let Some(rest) = clock(value) else { return false };
    let Some(rest) = (match rest {
        [b':', seconds @ ..] => match seconds.split_at_checked(2) {
            Some((seconds, rest)) => number(seconds).filter(|s| *s <= 60).and_then(|_| fraction(rest)),
            None => None,
        },
        _ => Some(rest),
    }) else {
        return false;
    };
    match rest {
        [] | [b'Z' | b'z'] => true,
        // `+01:00`; `+0100` and `+01` as databases write it.
        [b'+' | b'-', a, b] => number(&[*a, *b]).is_some_and(|hours| hours <= 14),
        [b'+' | b'-', a, b, c, d] => number(&[*a, *b, *c, *d]).is_some_and(|offset| offset <= 1400),
        [b'+' | b'-', offset @ ..] => clock(offset).is_some_and(<[u8]>::is_empty),
        _ => false,
    }
}

/// `HH:MM` off the front.
fn clock(value: &[u8]) -> Option<&[u8]> {
    let (clock, rest) = value.split_at_checked(5)?;
    let valid = clock[2] == b':' && number(&clock[..2])? <= 23 && number(&clock[3..])? <= 59;
    valid.then_some(rest)
}

/// A fraction of a second, one to nine digits, off the front if there is one.
fn fraction(value: &[u8]) -> Option<&[u8]> {
    let Some(digits) = value.strip_prefix(b".") else { return Some(value) };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    (1..=9).contains(&count).then(|| &digits[count..])
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

#[cfg(test)]
mod tests;
