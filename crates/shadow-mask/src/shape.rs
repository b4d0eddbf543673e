//! The allow-list of shapes: values that are kept although no rule names them.
//!
//! Each shape is here because services branch on it and because it says little about a person on its own. The list is closed
//! and checked strictly (a date must be a date), so that nothing else can pass in its clothes. What it lets through although it
//! may be private in some service (a birth date, a six-digit code) is listed in `docs/masking.md`.

mod codes;

/// Most digits of a kept integer. Seven and more may be a telephone number, nine a social security number, thirteen a card.
const MAX_DIGITS: usize = 6;
/// Longest kept name of a JSON member, query parameter or form field.
const MAX_NAME: usize = 40;

/// Whether a value of this shape is kept.
pub(crate) fn is_harmless(value: &[u8]) -> bool {
    match value {
        [] => true,
        // No shape is longer than a UUID.
        [_, ..] if value.len() > 36 => false,
        [b'0'..=b'9' | b'-', ..] if is_small_integer(value) => true,
        [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] if value.len() == 36 => is_uuid(value),
        [b'0'..=b'9', ..] => is_date_time(value) || is_version(value),
        [b'v', rest @ ..] if is_version(rest) => true,
        [b'a'..=b'z' | b'A'..=b'Z', ..] if value.len() <= 6 => is_word(value),
        _ => false,
    }
}

/// Whether a name is kept: an identifier as programmers write them, with too few digits to hide a number that matters.
pub(crate) fn is_identifier(name: &[u8]) -> bool {
    let [first, rest @ ..] = name else { return true };
    (first.is_ascii_alphabetic() || matches!(first, b'_' | b'$' | b'@'))
        && rest.len() < MAX_NAME
        && rest.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        && rest.iter().filter(|b| b.is_ascii_digit()).count() <= MAX_DIGITS
}

fn is_small_integer(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    (1..=MAX_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

fn is_uuid(value: &[u8]) -> bool {
    value.iter().enumerate().all(|(i, b)| match i {
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
    let region = |code: &[u8]| codes::contains(codes::REGIONS, code);
    let language = |code: &[u8]| codes::contains(codes::LANGUAGES, code);
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(value))
        || match value {
            [_, _] => language(value),
            [_, _, _] => codes::contains(codes::CURRENCIES, value),
            [a, b, b'-' | b'_', c, d] => language(&[*a, *b]) && region(&[*c, *d]),
            _ => false,
        }
}

/// ISO 8601: `2024-02-29`, `2024-02-29T12:30`, `2024-02-29 12:30:59.123456Z`, `...+01:00`, with every field in its range.
fn is_date_time(value: &[u8]) -> bool {
    let Some((date, rest)) = value.split_at_checked(10) else { return false };
    let (Some(_), Some(month), Some(day)) = (number(&date[..4]), number(&date[5..7]), number(&date[8..])) else {
        return false;
    };
    if date[4] != b'-' || date[7] != b'-' || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return false;
    }
    match rest {
        [] => true,
        [b'T' | b't' | b' ', time @ ..] => is_time(time),
        _ => false,
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
