//! From rounds to figures: quantiles within a round, and over rounds estimates that a hiccup of the machine does not carry away.
//!
//! All of them are Hodges and Lehmann's: the median of the means of all pairs of rounds, with the 95 % interval of Wilcoxon's
//! signed-rank test. They assume no distribution, and one or two rounds gone wild move them little. Ratios follow the same way, as
//! the median of `(a_i + a_j) / (b_i + b_j)`. Fewer than six rounds give no interval.

use serde::Serialize;

/// Chance that the truth lies outside of an interval, on each side.
const OUTSIDE: f64 = 0.025;

/// An estimate over rounds with its 95 % interval; without bounds where the rounds do not give any.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Estimate {
    pub value: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Estimate {
    /// `1.23 [1.11, 1.35]`.
    pub fn show(&self, digits: usize) -> String {
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("{:.digits$} [{low:.digits$}, {high:.digits$}]", self.value),
            _ => format!("{:.digits$} [?]", self.value),
        }
    }

    /// Whether what was measured is at most `limit`, as far as the interval can tell.
    pub fn at_most(&self, limit: f64) -> &'static str {
        match (self.low, self.high) {
            (_, Some(high)) if high <= limit => "yes",
            (Some(low), _) if low > limit => "**NO**",
            _ => "undecided",
        }
    }
}

/// The typical round.
pub fn typical(values: &[f64]) -> Estimate {
    ratio(values, &vec![1.0; values.len()])
}

/// The typical `a - b`, paired by round.
pub fn difference(a: &[f64], b: &[f64]) -> Estimate {
    typical(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// The typical ratio of `a` to `b`, paired by round. It has no bounds when `b` is not clearly above zero, where a ratio says
/// nothing.
pub fn ratio(a: &[f64], b: &[f64]) -> Estimate {
    let pairs = (0..a.len()).flat_map(|i| (i..a.len()).map(move |j| (i, j)));
    let pairs: Vec<(f64, f64)> = pairs.map(|(i, j)| (a[i] + a[j], b[i] + b[j])).collect();
    let mut ratios: Vec<f64> = pairs.iter().map(|(a, b)| a / b).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    let value = match ratios.len() % 2 {
        0 => f64::midpoint(ratios[middle - 1], ratios[middle]),
        _ => ratios[middle],
    };
    let cut = cut(a.len()).filter(|_| pairs.iter().all(|(_, b)| *b > 0.0));
    Estimate { value, low: cut.map(|cut| ratios[cut]), high: cut.map(|cut| ratios[ratios.len() - 1 - cut]) }
}

/// How many pairs the interval leaves out on each side, from the exact distribution of the signed-rank sum of `rounds`.
fn cut(rounds: usize) -> Option<usize> {
    let most = rounds * (rounds + 1) / 2;
    // ways[s]: shares of all choices of signs whose positive ranks sum to s.
    let mut ways = vec![0.0; most + 1];
    ways[0] = 1.0;
    for rank in 1..=rounds {
        for sum in (0..=most).rev() {
            let with = if sum >= rank { ways[sum - rank] } else { 0.0 };
            ways[sum] = f64::midpoint(ways[sum], with);
        }
    }
    let mut below = 0.0;
    let outside = ways.iter().take_while(|share| {
        below += **share;
        below <= OUTSIDE
    });
    outside.count().checked_sub(1)
}

/// Quantiles of one round.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Quantiles {
    /// Of nanoseconds, in milliseconds; sorts them.
    pub fn of(nanoseconds: &mut [u64]) -> Self {
        nanoseconds.sort_unstable();
        let at = |q: f64| {
            let rank = (nanoseconds.len() as f64 * q).ceil() as usize;
            nanoseconds.get(rank.saturating_sub(1)).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
        };
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999) }
    }
}
