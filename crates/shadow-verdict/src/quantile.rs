//! Quantiles without any assumption about their distribution: which order statistics bound them.
//!
//! Of values with quantile `x` at level p, those at or below `x` are events of a coin with rate p. The counts that a
//! [mixture](crate::mixture) does not rule out for that coin, turned around, are ranks of order statistics between which the
//! quantile lies, at any time (Howard and Ramdas 2022). So only *how many* values there are decides *which* of them to ask for;
//! ties and discrete clocks only make it safer.

use libm::lgamma;

use crate::mixture::{ln_beta, ln_mean_exp, x_ln, x_ln_1m};

/// The mixture's members have the mean of the level and weights of so many values: the ranks are near the best possible from
/// fifty values to a million.
const WEIGHTS: [f64; 5] = [10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];

/// A level, strictly between 0 and 1: 0.5 is the median.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Quantile(f64);

/// Between which order statistics a quantile lies: ranks from 1, of the values in ascending order. `None`: nothing bounds it
/// on that side yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    /// The largest rank whose value is a lower bound.
    pub low: Option<u64>,
    /// The smallest rank whose value is an upper bound.
    pub high: Option<u64>,
}

impl Quantile {
    /// The median.
    pub const P50: Self = Self(0.5);
    /// The value that 95 % are below.
    pub const P95: Self = Self(0.95);
    /// The value that 99 % are below.
    pub const P99: Self = Self(0.99);

    /// The level.
    #[must_use]
    pub fn level(self) -> f64 {
        self.0
    }

    /// Rank of the sample's own quantile.
    #[must_use]
    pub fn rank(self, values: u64) -> u64 {
        ((self.0 * values as f64).ceil() as u64).clamp(1, values.max(1))
    }

    /// The ranks at `1 - alpha` among `values`, both sides together, at any time.
    #[must_use]
    pub fn ranks(self, values: u64, alpha: f64) -> Ranks {
        let n = values as f64;
        let members = WEIGHTS.map(|weight| (weight * self.0, weight * (1.0 - self.0)));
        // What does not depend on the count is computed once: these are most of a verdict's time where there are many routes.
        let constants = members.map(|(a, b)| ln_beta(a, b) + lgamma(n + a + b));
        let ruled_out = |below: u64| {
            let (below, above) = (below as f64, n - below as f64);
            let terms = members.iter().zip(constants);
            let terms = terms.map(|((a, b), constant)| lgamma(below + a) + lgamma(above + b) - constant);
            ln_mean_exp(terms) - x_ln(below, self.0) - x_ln_1m(above, self.0) >= -alpha.ln()
        };
        let middle = (self.0 * n) as u64;
        // Counts up to `last` are too few, counts from `first` on too many.
        let last = ruled_out(0).then(|| turning(0, middle, ruled_out));
        let first = ruled_out(values).then(|| turning(values, middle, ruled_out));
        Ranks { low: last.map(|count| count + 1), high: first }
    }
}

/// The count nearest to `inside` that is still ruled out, as `outside` is.
fn turning(outside: u64, inside: u64, ruled_out: impl Fn(u64) -> bool) -> u64 {
    let (mut outside, mut inside) = (outside, inside);
    while outside.abs_diff(inside) > 1 {
        let middle = u64::midpoint(outside, inside);
        if ruled_out(middle) {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mixture::ln_evidence;

    #[test]
    fn few_values_bound_nothing() {
        assert_eq!(Quantile::P50.ranks(0, 0.05), Ranks { low: None, high: None });
        assert_eq!(Quantile::P50.ranks(5, 0.05), Ranks { low: None, high: None });
        let Ranks { low, high } = Quantile::P99.ranks(200, 0.05);
        assert!(
            low.is_some() && high.is_none(),
            "two hundred values say nothing about what is above their 99th percentile"
        );
    }

    #[test]
    fn a_hundred_values_bound_the_median_within_their_middle_half() {
        let Ranks { low, high } = Quantile::P50.ranks(100, 0.05);
        let (low, high) = (low.unwrap(), high.unwrap());
        // One look at a fixed sample has ranks 40 and 61.
        assert!((30..=39).contains(&low) && (62..=71).contains(&high), "{low} {high}");
        assert_eq!(low + high, 101, "the median's ranks lie symmetrically");
    }

    #[test]
    fn no_count_between_the_ranks_is_ruled_out_and_every_count_beyond_is() {
        for quantile in [Quantile::P50, Quantile::P95, Quantile::P99] {
            for values in [50_u64, 333, 1_000, 4_096] {
                let Ranks { low, high } = quantile.ranks(values, 0.05);
                let members = WEIGHTS.map(|weight| (weight * quantile.0, weight * (1.0 - quantile.0)));
                for below in 0..=values {
                    let ruled_out =
                        ln_evidence(below as f64, (values - below) as f64, quantile.0, &members) >= -0.05_f64.ln();
                    let beyond = low.is_some_and(|low| below < low) || high.is_some_and(|high| below >= high);
                    assert_eq!(ruled_out, beyond, "{below} of {values} at {quantile:?}: {low:?} {high:?}");
                }
            }
        }
    }

    #[test]
    fn ranks_close_in_as_values_come() {
        let share = |values| {
            let Ranks { low, high } = Quantile::P95.ranks(values, 0.05);
            (high.unwrap() - low.unwrap()) as f64 / values as f64
        };
        assert!(share(1_000) > share(10_000) && share(10_000) > share(1_000_000));
        assert!(share(1_000_000_000) < 1e-4);
    }
}
