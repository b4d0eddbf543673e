//! How the risk of a false `fail` is shared among everything that may fail.
//!
//! Forty routes with three gates each are a hundred and twenty chances to fail by mere chance. The whole risk, `1 - confidence`,
//! is therefore split before any result is known: half for the gates on the launch, half for the routes. A route gets its part
//! when it first appears, and keeps it: the first sixteen share half of the routes' half, the next thirty-two a quarter, the next
//! sixty-four an eighth, and so on. The parts of however many routes never add up to more than the whole, so a route that appears
//! late changes nothing for those before it.
//!
//! Only `fail` needs this. A false `pass` needs the very gate that the candidate violates to pass falsely, which that gate's own
//! interval allows with probability `1 - confidence` at most, however many other gates there are.

/// Routes in the first block; each later one has twice as many.
const BLOCK: usize = 16;

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

    /// The part of one of `gates` gates on the route that appeared as the `order`th, from 0.
    #[must_use]
    pub fn route(&self, order: usize, gates: usize) -> f64 {
        let (mut block, mut first, mut share) = (BLOCK, 0, 0.5);
        while order >= first + block && block < usize::MAX / 4 {
            first += block;
            block *= 2;
            share /= 2.0;
        }
        self.alpha / 2.0 * share / block as f64 / gates.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_are_never_more_than_the_whole() {
        let spending = Spending::new(0.05);
        let routes: f64 = (0..1_000_000).map(|order| 3.0 * spending.route(order, 3)).sum();
        let all = 2.0 * spending.launch(2) + routes;
        assert!(all <= 0.05 && all > 0.049, "{all}");
    }

    #[test]
    fn a_later_route_never_gets_more_than_an_earlier_one() {
        let spending = Spending::new(0.05);
        let parts: Vec<f64> = (0..200).map(|order| spending.route(order, 1)).collect();
        assert!(parts.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(parts[39] > 0.05 / 260.0, "forty routes cost little more than an even split");
        assert!(spending.route(usize::MAX, 1) > 0.0);
    }
}
