//! From rounds to figures: quantiles within a round, 95 % intervals over rounds, ratios of paired rounds.

use serde::Serialize;

/// Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
const T95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// A mean over rounds with its 95 % interval; without bounds where the rounds do not give any.
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
            _ => format!("{:.digits$} [unbounded]", self.value),
        }
    }

    /// Whether the interval holds `value`; an unbounded one holds everything.
    pub fn holds(&self, value: f64) -> bool {
        self.low.is_none_or(|low| low <= value) && self.high.is_none_or(|high| value <= high)
    }
}

fn t95(rounds: usize) -> Option<f64> {
    let freedom = rounds.checked_sub(1).filter(|freedom| *freedom > 0)?;
    Some(T95.get(freedom - 1).copied().unwrap_or(1.96))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Covariance of two means over the same rounds.
fn covariance_of_means(a: &[f64], b: &[f64]) -> f64 {
    let (n, mean_a, mean_b) = (a.len() as f64, mean(a), mean(b));
    a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / (n - 1.0) / n
}

/// The mean over rounds, Student's t.
pub fn average(values: &[f64]) -> Estimate {
    let value = mean(values);
    let half = t95(values.len()).map(|t| t * covariance_of_means(values, values).sqrt());
    Estimate { value, low: half.map(|half| value - half), high: half.map(|half| value + half) }
}

/// The mean of `a - b`, paired by round.
pub fn difference(a: &[f64], b: &[f64]) -> Estimate {
    average(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// The ratio of the means of `a` and `b`, paired by round, with Fieller's interval: it has no bounds when `b` is not clearly
/// away from zero, where a ratio says nothing.
pub fn ratio(a: &[f64], b: &[f64]) -> Estimate {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let value = mean_a / mean_b;
    let unbounded = Estimate { value, low: None, high: None };
    let Some(t) = t95(a.len()) else { return unbounded };
    let (aa, bb, ab) = (covariance_of_means(a, a), covariance_of_means(b, b), covariance_of_means(a, b));
    let g = t * t * bb / (mean_b * mean_b);
    if g >= 1.0 || !value.is_finite() {
        return unbounded;
    }
    // The roots in r of (mean_a - r mean_b)^2 = t^2 (aa - 2 r ab + r^2 bb).
    let (square, linear, constant) =
        (mean_b * mean_b - t * t * bb, mean_a * mean_b - t * t * ab, mean_a * mean_a - t * t * aa);
    let root = (linear * linear - square * constant).max(0.0).sqrt();
    Estimate { value, low: Some((linear - root) / square), high: Some((linear + root) / square) }
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
