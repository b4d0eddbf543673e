//! JSON numbers as exact decimals: `1.0`, `1.00` and `1e0` are one value, 2^63 and 2^63+1 are two.
//!
//! Nothing here goes through floating point, allocates, or depends on how large an exponent is.

use crate::hash::{self, Hashing};

/// A number as `digits` x 10^`exponent`, with neither leading nor trailing zeros in the digits; zero has no digits.
///
/// Borrowed from its text: the digits are those of `whole` and then `fraction`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal<'a> {
    pub(crate) negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    /// Of the last digit; `None` beyond 64 bits, and then the texts of the exponents are compared.
    pub(crate) exponent: Option<i64>,
    /// The text of the exponent, and how far the last digit stands from where that counts.
    written: &'a [u8],
    shift: i64,
}

impl<'a> Decimal<'a> {
    /// Reads the text of a valid JSON number.
    pub(crate) fn read(text: &'a str) -> Self {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest.as_bytes()),
            None => (false, text.as_bytes()),
        };
        let mantissa = rest.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(rest.len());
        let written = rest.get(mantissa + 1..).unwrap_or_default();
        let rest = &rest[..mantissa];
        let point = rest.iter().position(|&b| b == b'.').unwrap_or(rest.len());
        let (mut whole, mut fraction) = (&rest[..point], rest.get(point + 1..).unwrap_or_default());
        let scale = fraction.len() as i64;
        whole = &whole[leading_zeros(whole)..];
        if whole.is_empty() {
            fraction = &fraction[leading_zeros(fraction)..];
        }
        let mut trailing = trailing_zeros(fraction);
        fraction = &fraction[..fraction.len() - trailing];
        if fraction.is_empty() {
            let more = trailing_zeros(whole);
            whole = &whole[..whole.len() - more];
            trailing += more;
        }
        if whole.is_empty() && fraction.is_empty() {
            return Self { negative: false, whole, fraction, exponent: Some(0), written: b"", shift: 0 };
        }
        let shift = trailing as i64 - scale;
        let exponent = match written {
            b"" => Some(shift),
            written => std::str::from_utf8(written).ok().and_then(|e| e.parse::<i64>().ok()?.checked_add(shift)),
        };
        Self { negative, whole, fraction, exponent, written, shift }
    }

    /// Its digits, `0` to `9` in ASCII.
    pub(crate) fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// How many digits it has.
    pub(crate) fn precision(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    /// A hash of the value.
    pub(crate) fn hash(&self) -> u128 {
        let tag = if self.negative { b'-' } else { b'+' };
        match self.exponent {
            Some(exponent) if self.fraction.is_empty() => hash::joined(tag, &exponent.to_le_bytes(), self.whole),
            Some(exponent) => {
                Hashing::of(tag).bytes(&exponent.to_le_bytes()).bytes(self.whole).bytes(self.fraction).finish()
            }
            None => {
                let scale = Hashing::of(tag).bytes(self.written).bytes(b"e").bytes(&self.shift.to_le_bytes());
                scale.bytes(self.whole).bytes(self.fraction).finish()
            }
        }
    }
}

/// Where the JSON number that begins at `at` ends, if one begins there.
pub(crate) fn number_end(input: &[u8], mut at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let count = input[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    at += usize::from(input.get(at) == Some(&b'-'));
    at = if input.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if input.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(input.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(input.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Some(at)
}

/// Whether the text is a JSON number.
pub(crate) fn is_number(text: &str) -> bool {
    number_end(text.as_bytes(), 0) == Some(text.len())
}

fn leading_zeros(digits: &[u8]) -> usize {
    digits.iter().take_while(|&&b| b == b'0').count()
}

fn trailing_zeros(digits: &[u8]) -> usize {
    digits.iter().rev().take_while(|&&b| b == b'0').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(a: &str, b: &str) -> bool {
        Decimal::read(a).hash() == Decimal::read(b).hash()
    }

    #[test]
    fn spelling_does_not_matter_and_every_digit_does() {
        for (a, b) in
            [("1", "1.0"), ("1.0", "1.00"), ("100", "1e2"), ("0.001", "1E-3"), ("-0", "0.0"), ("12.50e1", "125")]
        {
            assert!(same(a, b), "{a} = {b}");
        }
        for (a, b) in [
            ("9223372036854775808", "9223372036854775809"),
            ("0.1", "0.1000000000000000055511151231257827"),
            ("1", "-1"),
            ("1e99999999999999999999", "1e99999999999999999998"),
            ("1e99999999999999999999", "1000e99999999999999999999"),
            ("0.1e99999999999999999999", "1e99999999999999999999"),
            ("1.5e-99999999999999999999", "15e-99999999999999999999"),
            ("10", "1"),
            ("0.01", "0.1"),
            ("1.01", "11"),
        ] {
            assert!(!same(a, b), "{a} != {b}");
        }
    }

    proptest! {
        #[test]
        fn two_integers_are_the_same_decimal_exactly_when_equal(a in any::<i128>(), b in any::<i128>(), zeros in 0usize..5) {
            prop_assert_eq!(same(&a.to_string(), &b.to_string()), a == b);
            let padded = format!("{a}.{}", "0".repeat(zeros + 1));
            prop_assert!(same(&a.to_string(), &padded));
            let padded = format!("{a}{}e-{zeros}", "0".repeat(zeros));
            prop_assert!(same(&a.to_string(), &padded));
        }
    }
}
