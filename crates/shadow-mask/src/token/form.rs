//! The forms of tokens: an e-mail address becomes an address, a card number a card number, so that a service which validates takes them.
//!
//! Every form lies in a range that holds no real value (a reserved mail domain, the unassigned country code +999, the test issuer
//! 400000, ...) and carries a tag. Ranged forms are a number `value * tags + tag` below the size of the range, written in the form's
//! digits; small ranges collide, and `docs/masking.md` says how often.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::{Keyed, LENGTH, PREFIX, Token};
use crate::detect::{self, whole};
use crate::shape;

/// How the token of a value looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `msk_` and 24 characters.
    Text,
    /// `msk_...@masked.example.com`.
    Mail,
    /// `+999` and twelve digits.
    Phone,
    /// Sixteen digits of the test issuer 400000, Luhn-valid.
    Card,
    /// A German IBAN of a bank that cannot exist, valid by mod 97.
    Iban,
    /// `9xx-xx-xxxx`, which neither SSNs nor ITINs use.
    Ssn,
    /// Sixteen digits between 2^52 and 2^53 that are not Luhn-valid: exact in every language's numbers.
    Digits,
    /// `6d736b..-....-4...-....-............`.
    Uuid,
    /// As many hex digits as the value has, beginning with `6d736b`.
    Hex,
    /// A day between the years 1000 and 1799.
    Date,
    /// A second of such a day, in UTC.
    DateTime,
    /// An address of the reserved block 240.0.0.0/4.
    Ipv4,
    /// An address of the documentation prefix 2001:db8::/32.
    Ipv6,
}

pub(super) const MAIL_DOMAIN: &[u8] = b"@masked.example.com";
const MARK: &[u8] = b"6d736b";
/// Below this, digits are not tokens; 2^52.
const DIGITS_BASE: u64 = 1 << 52;
const PHONE_PREFIX: &[u8] = b"+999";
const CARD_PREFIX: &[u8] = b"400000";
const DAYS: u64 = 800 * 12 * 28;

/// How many values and tags a ranged form tells apart.
fn range(form: Form) -> (u64, u64) {
    match form {
        Form::Phone => (1_000_000_000, 1_000),
        Form::Card => (1_000_000, 1_000),
        Form::Iban => (1_000_000_000_000, 100_000),
        Form::Ssn => (100 * 49 * 9_999 / 1_000, 1_000),
        Form::Digits => (1 << 34, 1 << 18),
        Form::Date => (DAYS / 8, 8),
        Form::DateTime => (DAYS * 86_400 / 4_096, 4_096),
        Form::Ipv4 => ((1 << 18) - (1 << 8), 1 << 10),
        Form::Text | Form::Mail | Form::Uuid | Form::Hex | Form::Ipv6 => (1, 1),
    }
}

impl Form {
    /// The form of such values.
    pub(crate) fn of(value: &[u8]) -> Self {
        let [first, ..] = value else { return Self::Text };
        if value.len() > 254 {
            return Self::Text;
        }
        match first {
            b'0'..=b'9' | b'+' | b'(' => numeric(value),
            b'-' => Self::Text,
            _ => lettered(value),
        }
    }
}

/// Values that begin with a digit or as telephone numbers do.
fn numeric(value: &[u8]) -> Form {
    if value.iter().all(u8::is_ascii_digit) {
        return match value.len() {
            13..=19 if detect::card::is_card(value) => Form::Card,
            1..=19 => Form::Digits,
            24..=64 => Form::Hex,
            _ => Form::Text,
        };
    }
    if value.len() <= 64 {
        if value[0] == b'+' {
            return if detect::phone::is_written_phone(value) { Form::Phone } else { lettered(value) };
        }
        if (15..=40).contains(&value.len()) && detect::card::is_written_card(value) {
            return Form::Card;
        }
        if detect::ssn::is_written_ssn(value) {
            return Form::Ssn;
        }
        if let Some(rest) = shape::after_date(value) {
            return if rest.is_empty() { Form::Date } else { Form::DateTime };
        }
        if detect::address::is_v4(value) {
            return Form::Ipv4;
        }
        if detect::phone::is_written_phone(value) {
            return Form::Phone;
        }
    }
    lettered(value)
}

/// Values of letters, or of letters and digits.
fn lettered(value: &[u8]) -> Form {
    if shape::is_uuid(value) {
        return Form::Uuid;
    }
    // What has none of these bytes has no form of its own.
    let tells = |b: &u8| matches!(b, b'@' | b':' | b'0'..=b'9');
    if !value.iter().any(tells) {
        return Form::Text;
    }
    match whole(value) {
        Some(class) => class.form(),
        None if (24..=64).contains(&value.len()) && value.iter().all(u8::is_ascii_hexdigit) => Form::Hex,
        None => Form::Text,
    }
}

/// The token of `value` in `form`.
pub(super) fn write(keyed: &Keyed, form: Form, value: &[u8]) -> Token {
    let hash = keyed.hash(value);
    let head = u64::from_be_bytes(hash[..8].try_into().expect("a slice of that length"));
    match form {
        Form::Text => Token::of(&keyed.plain(&hash)),
        Form::Mail => {
            let mut text = [0; LENGTH + MAIL_DOMAIN.len()];
            text[..LENGTH].copy_from_slice(&keyed.plain(&hash));
            text[LENGTH..].copy_from_slice(MAIL_DOMAIN);
            Token::of(&text)
        }
        Form::Uuid => Token::of(uuid(head, keyed.form_tag(form, &hash[..8])).as_bytes()),
        Form::Ipv6 => Token::of(ipv6(head, keyed.form_tag(form, &hash[..8])).to_string().as_bytes()),
        Form::Hex => hex(keyed, &hash, value.len()),
        _ => {
            let (values, tags) = range(form);
            // Digits must not pass for a card: the next value that does not.
            let mut shown = head % values;
            loop {
                let token = Token::of(&ranged(form, shown * tags + keyed.form_tag(form, &shown.to_be_bytes()) % tags));
                if form != Form::Digits || !detect::card::is_luhn(token.as_bytes()) {
                    return token;
                }
                shown = (shown + 1) % values;
            }
        }
    }
}

/// The form of which `value` would be a token if its tag verified.
pub(super) fn claimed(value: &[u8]) -> Option<Form> {
    let digits = |from: usize| value[from..].iter().all(u8::is_ascii_digit);
    match (value.first()?, value.len()) {
        (b'm', LENGTH) if value.starts_with(PREFIX) => Some(Form::Text),
        (b'm', _) if value.starts_with(PREFIX) && value.ends_with(MAIL_DOMAIN) => Some(Form::Mail),
        (b'+', 16) if value.starts_with(PHONE_PREFIX) && digits(4) => Some(Form::Phone),
        (b'4', 16) if value.starts_with(CARD_PREFIX) && digits(6) => Some(Form::Card),
        (b'6', 36) if value.starts_with(MARK) && shape::is_uuid(value) => Some(Form::Uuid),
        (b'6', 24..=64) if value.starts_with(MARK) => Some(Form::Hex),
        (b'4'..=b'9', 16) if digits(0) => Some(Form::Digits),
        (b'D', 22) if value.starts_with(b"DE") && digits(2) => Some(Form::Iban),
        (b'9', 11) if detect::ssn::is_written(value) => Some(Form::Ssn),
        (b'1', 10) => Some(Form::Date),
        (b'1', 20) => Some(Form::DateTime),
        (b'2', 14..=39) if value.starts_with(b"2001:db8:") => Some(Form::Ipv6),
        (b'2', 9..=15) if value.contains(&b'.') => Some(Form::Ipv4),
        _ => None,
    }
}

/// Whether `value`, which claims `form`, is a token of this key.
pub(super) fn verifies(keyed: &Keyed, form: Form, value: &[u8]) -> bool {
    match form {
        Form::Text => keyed.verifies(value),
        Form::Mail => keyed.verifies(&value[..value.len() - MAIL_DOMAIN.len()]),
        Form::Uuid => {
            read_uuid(value).is_some_and(|(shown, tag)| keyed.form_tag(form, &shown.to_be_bytes()) & UUID_TAG == tag)
        }
        Form::Ipv6 => {
            let address = std::str::from_utf8(value).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            address.map(u128::from).is_some_and(|bits| {
                let (shown, tag) = ((bits >> 32) as u64, bits as u32);
                bits >> 96 == 0x2001_0db8
                    && Ipv6Addr::from(bits).to_string().as_bytes() == value
                    && keyed.form_tag(form, &shown.to_be_bytes()) as u32 == tag
            })
        }
        Form::Hex => {
            let (shown, tag) = value.split_at(value.len() - 8);
            keyed.form_tag(form, shown).to_be_bytes()[..4]
                .iter()
                .zip(tag.chunks_exact(2))
                .all(|(byte, digits)| hex_digits(*byte) == digits)
        }
        _ => {
            let (_, tags) = range(form);
            read_ranged(form, value).is_some_and(|number| {
                let shown = number / tags;
                keyed.form_tag(form, &shown.to_be_bytes()) % tags == number % tags
            })
        }
    }
}

/// Writes a number of the form's range.
fn ranged(form: Form, number: u64) -> Vec<u8> {
    if form == Form::Digits {
        return (DIGITS_BASE + number).to_string().into_bytes();
    }
    let date = |n: u64| format!("{:04}-{:02}-{:02}", 1000 + n / 336, n / 28 % 12 + 1, n % 28 + 1);
    match form {
        Form::Phone => format!("+999{number:012}"),
        Form::Card => {
            let body = format!("400000{number:09}");
            format!("{body}{}", detect::card::luhn_digit(body.as_bytes()))
        }
        Form::Iban => {
            let body = format!("0{number:017}");
            format!("DE{:02}{body}", detect::iban::check_digits(b"DE", body.as_bytes()))
        }
        Form::Ssn => {
            let (rest, serial) = (number / 9_999, number % 9_999 + 1);
            format!("9{:02}-{:02}-{serial:04}", rest / 49, rest % 49 + 1)
        }
        Form::Date => date(number),
        Form::DateTime => {
            let (day, second) = (number / 86_400, number % 86_400);
            format!("{}T{:02}:{:02}:{:02}Z", date(day), second / 3_600, second / 60 % 60, second % 60)
        }
        Form::Ipv4 => std::net::Ipv4Addr::from(0xF000_0000 + number as u32).to_string(),
        _ => (DIGITS_BASE + number).to_string(),
    }
    .into_bytes()
}

/// Reads it back; `None` for what the form does not write.
fn read_ranged(form: Form, value: &[u8]) -> Option<u64> {
    let number = |from: usize, to: usize| std::str::from_utf8(value.get(from..to)?).ok()?.parse::<u64>().ok();
    let day = || {
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        ((1000..1800).contains(&year) && (1..=12).contains(&month) && (1..=28).contains(&day))
            .then(|| (year - 1000) * 336 + (month - 1) * 28 + day - 1)
    };
    let read = match form {
        Form::Phone => number(4, 16)?,
        Form::Card => number(6, 15)?,
        Form::Iban => number(5, 22)?,
        Form::Ssn => {
            let (area, group, serial) = (number(1, 3)?, number(4, 6)?, number(7, 11)?);
            ((1..=49).contains(&group) && serial > 0).then(|| (area * 49 + group - 1) * 9_999 + serial - 1)?
        }
        Form::Date => day()?,
        Form::DateTime => {
            let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
            (hour < 24 && minute < 60 && second < 60)
                .then_some(day()? * 86_400 + hour * 3_600 + minute * 60 + second)?
        }
        Form::Ipv4 => {
            let address: std::net::Ipv4Addr = std::str::from_utf8(value).ok()?.parse().ok()?;
            u64::from(u32::from(address).checked_sub(0xF000_0000)?)
        }
        Form::Digits => number(0, 16)?.checked_sub(DIGITS_BASE).filter(|n| *n < DIGITS_BASE)?,
        Form::Text | Form::Mail | Form::Uuid | Form::Hex | Form::Ipv6 => return None,
    };
    // Check digits, separators and leading zeros as written, and nothing else.
    let sound = ranged(form, read) == value && (form != Form::Digits || !detect::card::is_luhn(value));
    sound.then_some(read)
}

/// Bits of a UUID's tag: 98 are free, 64 show the value.
const UUID_TAG: u64 = (1 << 34) - 1;

fn uuid(shown: u64, tag: u64) -> String {
    // Free bits in order: 8 | 16 | 12 | 14 | 48.
    let bits = u128::from(shown) << 34 | u128::from(tag & UUID_TAG);
    let part = |shift: u32, width: u32| (bits >> shift) & ((1 << width) - 1);
    format!(
        "6d736b{:02x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        part(90, 8),
        part(74, 16),
        part(62, 12),
        0x8000 | part(48, 14),
        part(0, 48)
    )
}

/// What [`uuid`] wrote: the value shown and the tag.
fn read_uuid(value: &[u8]) -> Option<(u64, u64)> {
    let part = |from: usize, to: usize| u128::from_str_radix(std::str::from_utf8(value.get(from..to)?).ok()?, 16).ok();
    let (third, fourth) = (part(14, 18)?, part(19, 23)?);
    let bits = part(6, 8)? << 90 | part(9, 13)? << 74 | (third & 0xFFF) << 62 | (fourth & 0x3FFF) << 48 | part(24, 36)?;
    let (shown, tag) = ((bits >> 34) as u64, bits as u64 & UUID_TAG);
    (third >> 12 == 4 && fourth >> 14 == 2 && uuid(shown, tag).as_bytes() == value).then_some((shown, tag))
}

fn ipv6(shown: u64, tag: u64) -> Ipv6Addr {
    Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(shown) << 32 | u128::from(tag as u32))
}

fn hex(keyed: &Keyed, hash: &[u8; 32], length: usize) -> Token {
    let length = length.clamp(24, 64);
    let mut text: Vec<u8> = MARK.to_vec();
    text.extend(hash.iter().flat_map(|byte| hex_digits(*byte)).take(length - MARK.len() - 8));
    let tag = keyed.form_tag(Form::Hex, &text).to_be_bytes();
    text.extend(tag[..4].iter().flat_map(|byte| hex_digits(*byte)));
    Token::of(&text)
}

fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
pub(super) fn tags(form: Form) -> u64 {
    range(form).1
}
