//! The evidence that counts hold against one assumed rate: a likelihood ratio of a mixture of rates against that rate.
//!
//! For Bernoulli trials of rate q the ratio `E_n(q)` = (probability of the first n trials under a mixture of rates) / (their
//! probability under q) is a martingale of mean 1, so by Ville's inequality it ever reaches 1/alpha with probability at most
//! alpha, *however often one looks*. All rates that were not ruled out so far form the confidence sequence. Mixing with beta
//! distributions makes the ratio a closed form of n and the number of events alone: no state has to be kept between looks, which
//! is what lets it be computed from deduplicated rows.
//!
//! It also holds for trials in \[0, 1\] of mean q when the events are their sum: `x -> a^x b^(1-x)` is convex, so the ratio
//! grows no faster than for a coin of the same mean.

use libm::lgamma;

/// Beta distributions `(event, other)` that the mixture is made of, each with equal weight.
///
/// A mixture costs at most the logarithm of the number of its members in evidence, and behaves like the best of them.
pub(crate) type Members = [(f64, f64)];

/// For events that are rare (a mismatch, an error), without giving up on others: expected rates 1/2, 1 %, 0.1 %, 0.01 % and
/// 0.001 %, each as little pronounced as half an event.
pub(crate) const RARE: &Members = &[(0.5, 0.5), (0.5, 50.0), (0.5, 500.0), (0.5, 5_000.0), (0.5, 50_000.0)];

/// The logarithm of the mixture's probability of one sequence with so many events and others.
pub(crate) fn ln_mixture(events: f64, others: f64, members: &Members) -> f64 {
    let terms = members.iter().map(|(a, b)| ln_beta(events + a, others + b) - ln_beta(*a, *b));
    ln_mean_exp(terms)
}

/// The logarithm of the beta function. Its error grows with the arguments: 1e-5 at 10^9, 1e-2 at 10^12, of evidence that
/// decides at 3 and more.
pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    lgamma(a) + lgamma(b) - lgamma(a + b)
}

/// The logarithm of the mean of exponentials, without overflow.
pub(crate) fn ln_mean_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    let (sum, count) = terms.fold((0.0, 0.0), |(sum, count), term| (sum + (term - largest).exp(), count + 1.0));
    largest + f64::ln(sum / count)
}

/// The logarithm of the largest probability that any rate gives the sequence.
pub(crate) fn ln_best(events: f64, others: f64) -> f64 {
    let trials = events + others;
    x_ln(events, events / trials) + x_ln_1m(others, events / trials)
}

/// How much less likely than under the observed rate the sequence is under `rate`, as a logarithm, from 0 up. The two parts
/// nearly cancel near the observed rate; what is left is exact to 1e-6 for 10^12 trials.
pub(crate) fn divergence(events: f64, others: f64, rate: f64) -> f64 {
    let observed = events / (events + others);
    // ln((1 - observed) / (1 - rate)), which keeps its digits when both rates are small.
    let other_part = if others > 0.0 { -others * ((observed - rate) / (1.0 - observed)).ln_1p() } else { 0.0 };
    let event_part = if events > 0.0 { events * (observed / rate).ln() } else { 0.0 };
    (event_part + other_part).max(0.0)
}

/// `ln E_n(rate)`: how strongly the counts speak against `rate`.
pub(crate) fn ln_evidence(events: f64, others: f64, rate: f64, members: &Members) -> f64 {
    ln_mixture(events, others, members) - x_ln(events, rate) - x_ln_1m(others, rate)
}

/// x ln(rate), 0 for x = 0.
pub(crate) fn x_ln(x: f64, rate: f64) -> f64 {
    if x > 0.0 { x * rate.ln() } else { 0.0 }
}

/// x ln(1 - rate), 0 for x = 0.
pub(crate) fn x_ln_1m(x: f64, rate: f64) -> f64 {
    if x > 0.0 { x * (-rate).ln_1p() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evidence_is_that_of_arithmetic_with_sixty_digits() {
        // Computed with Python's mpmath at 60 digits from the definition.
        for (trials, events, rate, expected) in [
            (1e9, 1e6, 0.001_001, -8.064_932_204_412_713),
            (1e9, 1e6, 0.001_01, 41.154_097_594_257_19),
            (3000.0, 0.0, 0.001, 2.215_252_897_096_18),
            (5000.0, 0.0, 0.001, 4.120_244_913_404_52),
            (1000.0, 100.0, 0.1, -5.216_757_597_505_635),
        ] {
            let found = ln_evidence(events, trials - events, rate, RARE);
            assert!((found - expected).abs() < 1e-4, "{events} of {trials} against {rate}: {found} for {expected}");
        }
    }

    #[test]
    fn divergence_keeps_its_digits_next_to_the_observed_rate() {
        // n (q - r)^2 / (2 q (1 - q)) in the limit: 1e9 * 1e-12 / (2 * 1e-3 * 0.999), to a part in a thousand.
        let limit = 1e9 * 1e-12 / (2.0 * 1e-3 * 0.999);
        let found = divergence(1e6, 999e6, 0.001_001);
        assert!((found / limit - 1.0).abs() < 1e-3, "{found} for {limit}");
    }
}
