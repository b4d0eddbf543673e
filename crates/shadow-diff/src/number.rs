//! JSON numbers as exact decimals: `1.0`, `1.00` and `1e0` are one value, 2^63 and 2^63+1 are two.

/// A number as `digits` x 10^`exponent`, with neither leading nor trailing zeros in `digits`; zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads the text of a valid JSON number. An exponent beyond 64 bits is compared by its text.
    pub(crate) fn parse(text: &str) -> Self {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Self { negative: false, digits: String::new(), exponent: 0 };
        }
        let shift = (significant.len() - digits.len()) as i64 - fraction.len() as i64;
        match exponent.parse::<i64>().ok().and_then(|e| e.checked_add(shift)) {
            Some(exponent) => Self { negative, digits: digits.to_owned(), exponent },
            None => Self { negative, digits: rest.to_owned(), exponent: i64::MAX },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(a: &str, b: &str) -> bool {
        Decimal::parse(a) == Decimal::parse(b)
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
            ("10", "1"),
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
