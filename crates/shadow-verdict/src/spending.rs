//! How the risk of a false `fail` is shared among everything that may fail.
//!
//! Forty routes with three gates each are a hundred and twenty chances to fail by mere chance. The whole risk, `1 - confidence`,
//! is therefore split before any result is known: half for the gates on the launch, half for the routes. A route's part depends
//! only on *how many* routes were seen so far, not on which came first: while there are up to 16 of them, each has a 16th of half
//! of the routes' half; up to 64, each has a 64th of a quarter; up to 256, a 256th of an eighth, and so on. At every level no more
//! routes than that can fail falsely, and the levels' halves never add up to more than the whole. So routes that appear later, or
//! whose rows are stored later, break nothing, and the verdict does not depend on the order of rows.
//!
//! Only `fail` needs this. A false `pass` needs the very gate that the candidate violates to pass falsely, which that gate's own
//! interval allows with probability `1 - confidence` at most, however many other gates there are.

/// Members of the first level; each later one holds four times as many.
const FIRST: u64 = 16;

/// The risk there is to share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spending {
    alpha: f64,
}

impl Spending {
    /// `alpha`: the probability of any false `fail` in the launch.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha }
    }

    /// The part of one of `gates` gates on the launch.
    #[must_use]
    pub fn launch(&self, gates: usize) -> f64 {
        self.alpha / 2.0 / gates.max(1) as f64
    }

    /// The part of one of `gates` gates on any route, while `routes` of them were seen.
    #[must_use]
    pub fn route(&self, routes: usize, gates: usize) -> f64 {
        self.alpha / 2.0 * part(routes) / gates.max(1) as f64
    }
}

/// The part of one member of a family of which `seen` members are known and more may appear.
pub(crate) fn part(seen: usize) -> f64 {
    let (mut members, mut share) = (FIRST, 0.5);
    while (seen as u64) > members && members < u64::MAX / 8 {
        members *= 4;
        share /= 2.0;
    }
    share / members as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_are_never_more_than_the_whole() {
        let spending = Spending::new(0.05);
        // Whatever fails does so at some count of routes; at each level every route that it can hold may.
        let levels = (0..25).map(|level| 16_usize << (2 * level));
        let routes: f64 = levels.map(|members| members as f64 * 3.0 * spending.route(members, 3)).sum();
        let all = 2.0 * spending.launch(2) + routes;
        assert!(all <= 0.05 && all > 0.049, "{all}");
    }

    #[test]
    fn every_route_has_the_same_part_whichever_came_first() {
        let spending = Spending::new(0.05);
        let parts = [1, 16, 17, 64, 65, 20_000].map(|routes| spending.route(routes, 1));
        assert_eq!(parts[0], parts[1], "the parts of a level do not change");
        assert_eq!(parts[2], parts[3]);
        assert!(parts.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(parts[3] > 0.05 / 600.0, "forty routes cost little more than an even split");
        assert!(spending.route(usize::MAX, 1) > 0.0);
    }
}
