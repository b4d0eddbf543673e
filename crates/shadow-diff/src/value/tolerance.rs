//! How far two numbers may lie apart: exact decimal arithmetic on as many digits as a bound allows.

use crate::number::{Decimal, is_number};

/// Most digits between the first and the last one of two numbers. Numbers further apart than that are within a tolerance only where
/// the larger one alone shows it.
const MAX_DIGITS: i64 = 4096;
/// Most digits of a tolerance.
const MAX_AMOUNT: usize = 64;

/// Two numbers are near when one of both says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tolerance {
    /// Greatest difference.
    pub(crate) absolute: Option<Amount>,
    /// Greatest difference as a share of the larger one's size.
    pub(crate) relative: Option<Amount>,
}

/// A number without a sign: 0.`digits` x 10^`magnitude`, the first digit not zero; zero has no digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Amount {
    digits: Vec<u8>,
    magnitude: i64,
}

impl Tolerance {
    /// Reads an amount from the text of a decimal.
    pub(crate) fn amount(text: &str) -> Result<Amount, &'static str> {
        let problem = "is not a decimal of zero or more, such as 0.01, of at most 64 digits";
        let number = Some(text).filter(|text| is_number(text)).map(Decimal::read).ok_or(problem)?;
        if number.negative || number.precision() > MAX_AMOUNT {
            return Err(problem);
        }
        Amount::of(&number).ok_or(problem)
    }

    /// Whether the two lie no further apart than is allowed.
    pub(crate) fn allows(&self, a: Decimal<'_>, b: Decimal<'_>) -> bool {
        // An exponent beyond 64 bits is not calculated with.
        let (Some(x), Some(y)) = (Amount::of(&a), Amount::of(&b)) else { return false };
        let larger = if x.below(&y) { &y } else { &x };
        let allowed = [self.absolute.clone(), self.relative.as_ref().and_then(|share| share.times(larger))];
        let distance = distance((a.negative, &x), (b.negative, &y));
        allowed.into_iter().flatten().any(|allowed| !allowed.below(&distance))
    }
}

impl Amount {
    /// The size of a number.
    fn of(number: &Decimal<'_>) -> Option<Self> {
        let digits: Vec<u8> = number.digits().map(|digit| digit - b'0').collect();
        let magnitude = number.exponent?.checked_add(digits.len() as i64)?;
        Some(Self { magnitude: if digits.is_empty() { 0 } else { magnitude }, digits })
    }

    /// Whether it is smaller.
    fn below(&self, other: &Self) -> bool {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (_, true) => false,
            (true, false) => true,
            // No trailing zeros: of two, the one that goes on is the larger.
            _ => (self.magnitude, &self.digits) < (other.magnitude, &other.digits),
        }
    }

    /// The product, unless its size is beyond 64 bits.
    fn times(&self, other: &Self) -> Option<Self> {
        let mut product = vec![0u32; self.digits.len() + other.digits.len()];
        for (i, a) in self.digits.iter().enumerate() {
            // At most 64 digits of a tolerance: a column stays below 64 * 81.
            for (j, b) in other.digits.iter().enumerate() {
                product[i + j + 1] += u32::from(*a) * u32::from(*b);
            }
        }
        let mut carry = 0;
        for digit in product.iter_mut().rev() {
            carry += *digit;
            *digit = carry % 10;
            carry /= 10;
        }
        let magnitude = self.magnitude.checked_add(other.magnitude)?;
        Some(Self::trimmed(product.into_iter().map(|digit| digit as u8).collect(), magnitude))
    }

    fn trimmed(mut digits: Vec<u8>, mut magnitude: i64) -> Self {
        let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
        digits.drain(..zeros);
        magnitude = magnitude.saturating_sub(zeros as i64);
        let last = digits.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
        digits.truncate(last);
        Self { magnitude: if digits.is_empty() { 0 } else { magnitude }, digits }
    }

    /// The digit that stands for 10^(place-1).
    fn digit(&self, place: i64) -> u8 {
        let at = i128::from(self.magnitude) - i128::from(place);
        usize::try_from(at).ok().and_then(|at| self.digits.get(at)).copied().unwrap_or(0)
    }

    fn last_place(&self) -> i64 {
        self.magnitude.saturating_sub(self.digits.len() as i64)
    }
}

/// How far two numbers lie apart; more than that where they hold too many digits to tell.
fn distance((a_negative, a): (bool, &Amount), (b_negative, b): (bool, &Amount)) -> Amount {
    let (small, large) = if a.below(b) { (a, b) } else { (b, a) };
    if small.digits.is_empty() {
        return large.clone();
    }
    let (top, bottom) = (large.magnitude, small.last_place().min(large.last_place()));
    if top.saturating_sub(bottom) > MAX_DIGITS {
        // Both together are less than twice ten to the larger one's magnitude.
        return Amount { digits: vec![2], magnitude: large.magnitude.saturating_add(1) };
    }
    let mut digits = Vec::with_capacity((top - bottom) as usize + 1);
    let mut carry = 0i8;
    for place in bottom + 1..=top {
        let (x, y) = (large.digit(place) as i8, small.digit(place) as i8);
        let sum = if a_negative == b_negative { x - y + carry } else { x + y + carry };
        carry = sum.div_euclid(10);
        digits.push(sum.rem_euclid(10) as u8);
    }
    digits.push(carry as u8);
    digits.reverse();
    Amount::trimmed(digits, top.saturating_add(1))
}
