//! An interval of plausible values; what every estimate of a verdict comes with.

use serde::Serialize;

/// A closed interval. An unknown end is infinite, which JSON shows as `null`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` is inside.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Upper minus lower end.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// Steps of every bisection: more than the 53 bits of a double, so an end is exact to rounding.
const STEPS: u32 = 64;

/// The border between `inside`, for which `holds`, and `outside`, for which it does not. The result is the last value found
/// outside, so that an interval errs on the wide side.
pub(crate) fn border(inside: f64, outside: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut outside) = (inside, outside);
    for _ in 0..STEPS {
        let middle = f64::midpoint(inside, outside);
        if middle <= inside.min(outside) || middle >= inside.max(outside) {
            break;
        }
        if holds(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    outside
}
