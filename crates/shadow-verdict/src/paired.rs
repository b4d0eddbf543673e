//! Errors of two sides that got the same requests. What both answer with an error says nothing about the candidate; what only
//! one of them does decides.
//!
//! Two questions, both answered at any time: does the candidate err more often at all ([`PairedErrors::shows_increase`]: a fair
//! coin decides between the sides, as in McNemar's test), and by how much ([`PairedErrors::interval`]: the mixture against the
//! likeliest pair of rates with a given difference).

use crate::interval::{Interval, border};
use crate::mixture::{Members, RARE, ln_mixture};

/// Half an event on each side: which side an error falls on is not known beforehand.
const EVEN: &Members = &[(0.5, 0.5)];

/// Requests that both sides were sent, and on how many only one of them erred.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairedErrors {
    pairs: f64,
    only_candidate: f64,
    only_primary: f64,
}

/// Rates of the three kinds of pairs.
struct Rates {
    only_candidate: f64,
    only_primary: f64,
}

impl PairedErrors {
    /// Of `pairs`, only the candidate erred in `only_candidate`, only the primary in `only_primary`. Impossible counts are taken
    /// as if there were as many pairs as they need.
    #[must_use]
    pub fn new(pairs: u64, only_candidate: u64, only_primary: u64) -> Self {
        let pairs = pairs.max(only_candidate.saturating_add(only_primary));
        Self { pairs: pairs as f64, only_candidate: only_candidate as f64, only_primary: only_primary as f64 }
    }

    /// The candidate's rate of errors minus the primary's; `None` without a pair.
    #[must_use]
    pub fn estimate(&self) -> Option<f64> {
        (self.pairs > 0.0).then(|| (self.only_candidate - self.only_primary) / self.pairs)
    }

    /// Whether the candidate's rate is above the primary's, wrong with probability `alpha` at most over all looks together.
    #[must_use]
    pub fn shows_increase(&self, alpha: f64) -> bool {
        let Self { only_candidate, only_primary, .. } = *self;
        let fair_coin = -(only_candidate + only_primary) * std::f64::consts::LN_2;
        only_candidate > only_primary && ln_mixture(only_candidate, only_primary, EVEN) - fair_coin >= -alpha.ln()
    }

    /// The confidence sequence at `1 - alpha` of the candidate's rate minus the primary's.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Interval {
        let Some(observed) = self.estimate() else { return Interval { low: -1.0, high: 1.0 } };
        let (rates, reach) = (self.observed(), self.reach(alpha));
        let plausible = |difference| self.divergence(&rates, &self.likeliest(difference)) < reach;
        Interval { low: border(observed, -1.0, plausible), high: border(observed, 1.0, plausible) }
    }

    /// Whether a difference is outside [`interval`](Self::interval), without computing its ends.
    #[must_use]
    pub fn rules_out(&self, difference: f64, alpha: f64) -> bool {
        self.pairs > 0.0 && self.divergence(&self.observed(), &self.likeliest(difference)) >= self.reach(alpha)
    }

    /// The same rates in a sample `factor` times as large.
    pub(crate) fn times(&self, factor: f64) -> Self {
        let Self { pairs, only_candidate, only_primary } = *self;
        Self { pairs: pairs * factor, only_candidate: only_candidate * factor, only_primary: only_primary * factor }
    }

    fn observed(&self) -> Rates {
        Rates { only_candidate: self.only_candidate / self.pairs, only_primary: self.only_primary / self.pairs }
    }

    /// The divergence from which on a difference is ruled out.
    fn reach(&self, alpha: f64) -> f64 {
        let Self { pairs, only_candidate, only_primary } = *self;
        let one_sided = only_candidate + only_primary;
        let mixture = ln_mixture(one_sided, pairs - one_sided, RARE) + ln_mixture(only_candidate, only_primary, EVEN);
        -alpha.ln() + self.ln_likelihood(&self.observed()) - mixture
    }

    /// The rates with this difference that make the counts likeliest: the root of a quadratic equation.
    fn likeliest(&self, difference: f64) -> Rates {
        let Self { pairs, only_candidate, only_primary } = *self;
        if difference < 0.0 {
            let mirrored = Self { pairs, only_candidate: only_primary, only_primary: only_candidate };
            let Rates { only_candidate: primary, only_primary: candidate } = mirrored.likeliest(-difference);
            return Rates { only_candidate: candidate, only_primary: primary };
        }
        let linear = only_candidate * (1.0 + difference) + only_primary * (1.0 - difference) - 2.0 * pairs * difference;
        let constant = only_primary * difference * (1.0 - difference);
        let root = f64::hypot(linear, (8.0 * pairs * constant).sqrt());
        // Two forms of the same root: the one that adds numbers of the same sign.
        let primary = if linear > 0.0 {
            (linear + root) / (4.0 * pairs)
        } else if constant > 0.0 {
            2.0 * constant / (root - linear)
        } else {
            0.0
        };
        let primary = primary.clamp(0.0, (1.0 - difference) / 2.0);
        Rates { only_candidate: difference + primary, only_primary: primary }
    }

    fn ln_likelihood(&self, rates: &Rates) -> f64 {
        let other = self.pairs - self.only_candidate - self.only_primary;
        let part = |count: f64, rate: f64| if count > 0.0 { count * rate.ln() } else { 0.0 };
        let rest = -(rates.only_candidate + rates.only_primary);
        let rest = if other > 0.0 { other * rest.ln_1p() } else { 0.0 };
        part(self.only_candidate, rates.only_candidate) + part(self.only_primary, rates.only_primary) + rest
    }

    /// How much less likely the counts are under `assumed` than under the observed rates, as a logarithm, from 0 up.
    fn divergence(&self, observed: &Rates, assumed: &Rates) -> f64 {
        let Self { pairs, only_candidate, only_primary } = *self;
        let other = pairs - only_candidate - only_primary;
        let part = |count: f64, observed: f64, assumed: f64| {
            if count > 0.0 { count * (observed / assumed).ln() } else { 0.0 }
        };
        let sum = observed.only_candidate + observed.only_primary;
        let shift = sum - (assumed.only_candidate + assumed.only_primary);
        let rest = if other > 0.0 { -other * (shift / (1.0 - sum)).ln_1p() } else { 0.0 };
        let parts = part(only_candidate, observed.only_candidate, assumed.only_candidate)
            + part(only_primary, observed.only_primary, assumed.only_primary)
            + rest;
        parts.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_of_both_sides_alike_show_nothing() {
        let errors = PairedErrors::new(100_000, 500, 500);
        assert!(!errors.shows_increase(0.05));
        assert!(errors.interval(0.05).contains(0.0));
    }

    #[test]
    fn a_dozen_errors_of_the_candidate_alone_are_no_chance() {
        assert!(PairedErrors::new(2_000, 12, 0).shows_increase(0.002));
        assert!(!PairedErrors::new(2_000, 4, 0).shows_increase(0.05), "one in sixteen is chance");
        assert!(!PairedErrors::new(2_000, 0, 12).shows_increase(0.05), "fewer errors are no increase");
    }

    #[test]
    fn an_increase_of_one_in_a_thousand_is_excluded_by_some_thousand_clean_pairs() {
        assert!(PairedErrors::new(2_000, 0, 0).interval(0.05).high > 0.001);
        assert!(PairedErrors::new(6_000, 0, 0).interval(0.05).high < 0.001);
    }

    #[test]
    fn nothing_is_known_without_a_pair() {
        assert_eq!(PairedErrors::default().interval(0.05), Interval { low: -1.0, high: 1.0 });
        assert!(!PairedErrors::default().shows_increase(0.05));
    }

    proptest! {
        #[test]
        fn the_likeliest_rates_have_the_difference_and_no_neighbour_is_likelier(
            pairs in 1_u64..10_000_000, a in 0_u64..3_000, b in 0_u64..3_000, difference in -0.999..0.999_f64
        ) {
            let errors = PairedErrors::new(pairs, a, b);
            let rates = errors.likeliest(difference);
            prop_assert!((rates.only_candidate - rates.only_primary - difference).abs() < 1e-12);
            let found = errors.ln_likelihood(&rates);
            for step in [1e-4, -1e-4, 1e-7, -1e-7] {
                let neighbour = Rates { only_candidate: rates.only_candidate + step, only_primary: rates.only_primary + step };
                let possible = neighbour.only_candidate >= 0.0 && neighbour.only_primary >= 0.0
                    && neighbour.only_candidate + neighbour.only_primary <= 1.0;
                if possible {
                    let tolerance = 1e-9 * found.abs().max(1.0);
                    prop_assert!(errors.ln_likelihood(&neighbour) <= found + tolerance);
                }
            }
        }

        #[test]
        fn the_interval_holds_the_observed_difference(pairs in 1_u64..1_000_000_000, a in 0_u64..3_000, b in 0_u64..3_000) {
            let errors = PairedErrors::new(pairs, a, b);
            let interval = errors.interval(0.05);
            prop_assert!(interval.contains(errors.estimate().unwrap()));
            prop_assert!(-1.0 <= interval.low && interval.high <= 1.0);
            let within = f64::midpoint(interval.low, interval.high);
            prop_assert!(!errors.rules_out(within, 0.05));
            prop_assert!(interval.high > 0.999 || errors.rules_out(interval.high + interval.high.abs() * 0.001 + 1e-9, 0.05));
            prop_assert!(interval.low < -0.999 || errors.rules_out(interval.low - interval.low.abs() * 0.001 - 1e-9, 0.05));
        }
    }
}
