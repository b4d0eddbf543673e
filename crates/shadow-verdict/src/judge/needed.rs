//! How much more evidence a gate needs: its own test on an imagined sample, so many times as large and otherwise as now.

use serde::Serialize;

/// Further requests of that scope until the gate can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needed {
    /// It decided.
    Nothing,
    /// So many, if what comes is like what came; rounded up to two digits.
    About(u64),
    /// No fewer than so many, even if all of them are good.
    AtLeast(u64),
    /// What was observed is too near the limit to tell: more than a thousand times the sample.
    Unknown,
    /// Nobody computed it: a pass does not need this route, and there are very many.
    NotForeseen,
}

/// A sample more than so many times as large is not imagined.
const MOST_GROWTH: f64 = 1024.0;

impl Needed {
    /// After `sample` requests that did not decide; `decides` at so many times as many.
    pub(super) fn after(sample: u64, decides: impl Fn(f64) -> bool) -> Self {
        let (mut short, mut enough) = (1.0, 2.0);
        while !decides(enough) {
            if enough >= MOST_GROWTH {
                return Self::Unknown;
            }
            (short, enough) = (enough, enough * 2.0);
        }
        for _ in 0..6 {
            let middle = f64::midpoint(short, enough);
            if decides(middle) {
                enough = middle;
            } else {
                short = middle;
            }
        }
        Self::About(rounded((sample as f64 * (enough - 1.0)).ceil() as u64))
    }

    /// Before the first request; `decides` after so many good ones.
    pub(super) fn from_nothing(decides: impl Fn(u64) -> bool) -> Self {
        let Some(power) = (0..40).find(|power| decides(1 << power)) else { return Self::Unknown };
        let (mut short, mut enough) = (if power == 0 { 0 } else { 1_u64 << (power - 1) }, 1_u64 << power);
        while enough - short > 1 {
            let middle = u64::midpoint(short, enough);
            if decides(middle) {
                enough = middle;
            } else {
                short = middle;
            }
        }
        Self::AtLeast(rounded(enough))
    }

    /// Of several gates that all have to decide: the one that needs most.
    pub(super) fn of_all(needed: impl Iterator<Item = Self>) -> Self {
        let weight = |needed: &Self| match needed {
            Self::Nothing | Self::NotForeseen => (0, 0),
            Self::About(more) | Self::AtLeast(more) => (1, *more),
            Self::Unknown => (2, 0),
        };
        needed.max_by_key(weight).unwrap_or(Self::Nothing)
    }
}

/// Up to two digits.
pub(super) fn rounded(number: u64) -> u64 {
    let mut unit = 1_u64;
    while number / unit >= 100 {
        unit *= 10;
    }
    number.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_sample_that_decides_is_found_and_rounded_up() {
        assert_eq!(Needed::after(1_000, |factor| factor >= 3.3), Needed::About(2_400));
        assert_eq!(Needed::after(1_000, |_| false), Needed::Unknown);
        assert_eq!(Needed::from_nothing(|requests| requests >= 3_834), Needed::AtLeast(3_900));
        assert_eq!(Needed::from_nothing(|_| false), Needed::Unknown);
    }

    #[test]
    fn the_slowest_of_several_gates_counts() {
        let all = [Needed::About(10), Needed::AtLeast(30), Needed::Nothing];
        assert_eq!(Needed::of_all(all.into_iter()), Needed::AtLeast(30));
        assert_eq!(Needed::of_all(all.into_iter().chain([Needed::Unknown])), Needed::Unknown);
        assert_eq!(Needed::of_all(std::iter::empty()), Needed::Nothing);
    }
}
