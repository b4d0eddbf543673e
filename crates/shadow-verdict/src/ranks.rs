//! Which order statistics of the latencies are needed, and where they are kept once known.
//!
//! Sorting millions of latencies is the database's work. So it goes in two steps: how many values there are decides which
//! [`Rank`]s are [`Wanted`], then a query brings their values. Ranks below the quantile are counted from the smallest value, ranks
//! above it from the largest: values that arrive between the two steps then only widen an interval.

use std::collections::{BTreeMap, BTreeSet};

use crate::gates::{Gates, ScopeGates};
use crate::interval::Interval;
use crate::quantile::{Quantile, Ranks};

/// Factors by which a sample is imagined larger, to tell how much more is needed.
pub(crate) const GROWTH: [u64; 10] = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// The place of a value among all in ascending order: from 1 for the smallest, or from -1 for the largest downwards. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(i64);

impl Rank {
    /// As ClickHouse and others index arrays.
    #[must_use]
    pub fn index(self) -> i64 {
        self.0
    }

    /// The rank with this index.
    #[must_use]
    pub fn at(index: i64) -> Self {
        Self(index)
    }

    fn from_smallest(rank: u64) -> Self {
        Self(rank as i64)
    }

    fn from_largest(rank: u64, values: u64) -> Self {
        Self(rank as i64 - values as i64 - 1)
    }
}

/// Known order statistics of so many values. A rank that is not known bounds nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    values: u64,
    known: BTreeMap<Rank, f64>,
}

impl Ranked {
    /// `values`: the count for which the ranks were [`Wanted`].
    #[must_use]
    pub fn new(values: u64, known: impl IntoIterator<Item = (Rank, f64)>) -> Self {
        Self { values, known: known.into_iter().collect() }
    }

    /// Picks the wanted ranks out of values in ascending order.
    #[must_use]
    pub fn of_sorted(sorted: &[f64], wanted: &Wanted) -> Self {
        let at = |rank: Rank| {
            let index = if rank.0 > 0 { rank.0 - 1 } else { sorted.len() as i64 + rank.0 };
            usize::try_from(index).ok().and_then(|index| sorted.get(index)).map(|value| (rank, *value))
        };
        Self::new(sorted.len() as u64, wanted.ranks().filter_map(at))
    }

    /// How many values there are.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.values
    }

    /// The sample's own quantile.
    #[must_use]
    pub fn estimate(&self, quantile: Quantile) -> Option<f64> {
        self.known.get(&Rank::from_smallest(quantile.rank(self.values))).copied()
    }

    /// The confidence sequence at `1 - alpha` of a quantile.
    #[must_use]
    pub fn interval(&self, quantile: Quantile, alpha: f64) -> Interval {
        let (low, high) = ranks(quantile, self.values, alpha);
        self.between(low, high)
    }

    /// The interval as it would be if the sample were `growth` times as large and distributed as now.
    pub(crate) fn grown_interval(&self, quantile: Quantile, alpha: f64, growth: u64) -> Interval {
        let (low, high) = grown_ranks(quantile, self.values, alpha, growth);
        self.between(low, high)
    }

    fn between(&self, low: Option<Rank>, high: Option<Rank>) -> Interval {
        let value = |rank: Option<Rank>| rank.and_then(|rank| self.known.get(&rank)).copied();
        Interval { low: value(low).unwrap_or(f64::NEG_INFINITY), high: value(high).unwrap_or(f64::INFINITY) }
    }
}

fn ranks(quantile: Quantile, values: u64, alpha: f64) -> (Option<Rank>, Option<Rank>) {
    let Ranks { low, high } = quantile.ranks(values, alpha);
    (low.map(Rank::from_smallest), high.map(|high| Rank::from_largest(high, values)))
}

fn grown_ranks(quantile: Quantile, values: u64, alpha: f64, growth: u64) -> (Option<Rank>, Option<Rank>) {
    let Ranks { low, high } = quantile.ranks(values.saturating_mul(growth), alpha);
    let low = low.map(|low| Rank::from_smallest((low / growth).max(1)));
    (low, high.map(|high| Rank::from_largest(high.div_ceil(growth).min(values), values)))
}

/// The order statistics that [`judge`](crate::judge) will ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted(BTreeSet<Rank>);

impl Wanted {
    /// For all routes together, of which `values` requests have both latencies.
    #[must_use]
    pub fn for_launch(gates: &Gates, values: u64) -> Self {
        let asked = gates.launch();
        Self::of(asked, gates.alpha(), gates.spending().launch(asked.count()), values, true)
    }

    /// For one of so many `routes`, which had `share` of the captured traffic.
    #[must_use]
    pub fn for_route(gates: &Gates, route: &str, routes: usize, share: f64, values: u64) -> Self {
        let asked = gates.route(route);
        let foresee = gates.foresees(routes, gates.requires(route, share));
        Self::of(asked, gates.alpha(), gates.spending().route(routes, asked.count()), values, foresee)
    }

    fn of(asked: &ScopeGates, pass: f64, fail: f64, values: u64, foresee: bool) -> Self {
        let mut wanted = BTreeSet::new();
        if values == 0 {
            return Self(wanted);
        }
        for quantile in [Quantile::P50, Quantile::P95, Quantile::P99] {
            wanted.insert(Rank::from_smallest(quantile.rank(values)));
            // How much more is needed is told for gates only.
            let asked = foresee && asked.latency.iter().any(|gate| gate.quantile == quantile);
            let growth = if asked { &GROWTH[..] } else { &[] };
            // A ratio needs two samples, each of which gets half of the risk.
            for alpha in [pass, pass / 2.0, fail, fail / 2.0] {
                let grown = growth.iter().map(|growth| grown_ranks(quantile, values, alpha, *growth));
                for (low, high) in std::iter::once(ranks(quantile, values, alpha)).chain(grown) {
                    wanted.extend(low);
                    wanted.extend(high);
                }
            }
        }
        Self(wanted)
    }

    /// All of them, each once.
    pub fn ranks(&self) -> impl Iterator<Item = Rank> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(values: u64) -> Wanted {
        let gates = Gates::parse("[launch]\np95_ratio = 2\np99_ratio = 2").unwrap();
        Wanted::of(gates.launch(), 0.05, 0.001, values, true)
    }

    fn sample(values: u32) -> Vec<f64> {
        (1..=values).map(f64::from).collect()
    }

    #[test]
    fn what_was_wanted_is_enough_for_every_interval() {
        let wanted = wanted(2_000);
        let ranked = Ranked::of_sorted(&sample(2_000), &wanted);
        for quantile in [Quantile::P50, Quantile::P95, Quantile::P99] {
            assert_eq!(ranked.estimate(quantile), Some(quantile.level() * 2_000.0));
            for alpha in [0.05, 0.025, 0.001, 0.000_5] {
                let now = ranked.interval(quantile, alpha);
                let grown = ranked.grown_interval(quantile, alpha, 64);
                assert!(
                    now.low.is_finite() && now.contains(quantile.level() * 2_000.0),
                    "{quantile:?} {alpha} {now:?}"
                );
                assert!(grown.width() < now.width() && grown.high.is_finite(), "{quantile:?} {alpha} {grown:?}");
            }
        }
    }

    #[test]
    fn values_that_arrive_between_the_two_steps_only_widen_an_interval() {
        let wanted = wanted(2_000);
        let late = sample(2_100);
        let exact = Ranked::of_sorted(&late, &self::wanted(2_100)).interval(Quantile::P95, 0.05);
        let known = Ranked::of_sorted(&late, &wanted).known;
        let later = Ranked::new(2_000, known).interval(Quantile::P95, 0.05);
        assert!(later.low <= exact.low && exact.high <= later.high, "{later:?} around {exact:?}");
    }

    #[test]
    fn without_a_value_nothing_is_wanted_and_nothing_is_known() {
        assert_eq!(wanted(0).ranks().count(), 0);
        let unknown = Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };
        assert_eq!(Ranked::default().interval(Quantile::P50, 0.05), unknown);
    }
}
