//! How often something happens: rates of mismatches, errors, missing answers, and means of values in \[0, 1\].
//!
//! Intervals are of the rate of *events* (the rare, bad thing), and valid at any time.

use crate::interval::{Interval, border};
use crate::mixture::{RARE, divergence, ln_best, ln_evidence, ln_mixture};

/// So many events in so many trials.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Proportion {
    trials: f64,
    events: f64,
}

impl Proportion {
    /// `events` in `trials`; more events than trials count as so many.
    #[must_use]
    pub fn new(trials: u64, events: u64) -> Self {
        Self::of_sum(trials, events as f64)
    }

    /// The mean of `trials` values, each in \[0, 1\], of which the sum is known. An impossible sum is taken as the nearest
    /// possible one.
    #[must_use]
    pub fn of_sum(trials: u64, sum: f64) -> Self {
        let trials = trials as f64;
        Self { trials, events: if sum.is_nan() { trials } else { sum.clamp(0.0, trials) } }
    }

    /// Observed rate; `None` without a trial.
    #[must_use]
    pub fn estimate(&self) -> Option<f64> {
        (self.trials > 0.0).then(|| self.events / self.trials)
    }

    /// The confidence sequence at `1 - alpha`: over all looks together the true rate is outside with probability `alpha` at
    /// most. For independent trials of one rate, or values in \[0, 1\] of one mean.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Interval {
        let Self { trials, events } = *self;
        let Some(observed) = self.estimate() else { return Interval { low: 0.0, high: 1.0 } };
        let others = trials - events;
        let reach = -alpha.ln() + ln_best(events, others) - ln_mixture(events, others, RARE);
        let plausible = |rate| divergence(events, others, rate) < reach;
        let low = if events > 0.0 { border(observed, 0.0, plausible) } else { 0.0 };
        let high = if others > 0.0 { border(observed, 1.0, plausible) } else { 1.0 };
        Interval { low, high }
    }

    /// Whether `rate` is outside [`interval`](Self::interval), without computing its ends.
    #[must_use]
    pub fn rules_out(&self, rate: f64, alpha: f64) -> bool {
        let Self { trials, events } = *self;
        ln_evidence(events, trials - events, rate, RARE) >= -alpha.ln()
    }

    /// Whether the whole interval is above `rate`.
    pub(crate) fn is_above(&self, rate: f64, alpha: f64) -> bool {
        self.estimate().is_some_and(|observed| observed > rate) && self.rules_out(rate, alpha)
    }

    /// Whether the whole interval is at or below `rate`.
    pub(crate) fn is_at_most(&self, rate: f64, alpha: f64) -> bool {
        self.estimate().is_some_and(|observed| observed <= rate) && self.rules_out(rate, alpha)
    }

    /// The same rate in a sample `factor` times as large.
    pub(crate) fn times(&self, factor: f64) -> Self {
        Self { trials: self.trials * factor, events: self.events * factor }
    }
}

#[cfg(test)]
mod tests;
