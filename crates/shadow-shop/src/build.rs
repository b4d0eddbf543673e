//! How the two builds differ: every seeded regression, and what only looks like one, in one place.

use std::time::Duration;

use axum::http::StatusCode;

use crate::stock::Product;

/// Ten-thousandths of a dollar that a euro is worth.
const DOLLARS: u64 = 10_847;

/// Which version of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The live one.
    Primary,
    /// The next one, with everything [`seeded`](crate::seeded) lists.
    Candidate,
}

impl Build {
    /// The status for a product that does not exist. Regression: the candidate blames the client's request.
    pub(crate) fn unknown_product(self) -> StatusCode {
        match self {
            Self::Primary => StatusCode::NOT_FOUND,
            Self::Candidate => StatusCode::BAD_REQUEST,
        }
    }

    /// The member that holds the total of an order. Regression: renamed.
    pub(crate) fn order_total(self) -> &'static str {
        match self {
            Self::Primary => "total",
            Self::Candidate => "total_price",
        }
    }

    /// The total of a cart. Regression: a cent too much in one cart in fifty.
    pub(crate) fn cart_total(self, cart: u32, total: u32) -> u32 {
        if self == Self::Candidate && cart % 50 == 7 { total + 1 } else { total }
    }

    /// Whether the search breaks down. Regression: the candidate does not escape `%`.
    pub(crate) fn search_fails(self, words: &str) -> bool {
        self == Self::Candidate && words.contains('%')
    }

    /// How long the sales report takes. Regression: the candidate computes it twelve times as long.
    pub(crate) fn report_takes(self) -> Duration {
        Duration::from_millis(match self {
            Self::Primary => 5,
            Self::Candidate => 60,
        })
    }

    /// What is charged in `currency` for a total in euro cents, in its smallest unit; `None` for a currency that the shop does not know.
    /// Regression: the candidate drops fractions of a cent where the live build rounds to the nearest one.
    pub(crate) fn charged(self, currency: &str, total: u32) -> Option<u64> {
        match currency {
            "EUR" => Some(u64::from(total)),
            "USD" => {
                let exact = u64::from(total) * DOLLARS;
                let half = if self == Self::Primary { 5_000 } else { 0 };
                Some((exact + half) / 10_000)
            }
            _ => None,
        }
    }

    /// How often a checkout is charged. Regression: the candidate charges gifts twice.
    pub(crate) fn charges(self, gift: bool) -> u32 {
        if self == Self::Candidate && gift { 2 } else { 1 }
    }

    /// The order of the catalogue. No fault under the shipped rules, which declare it a set.
    pub(crate) fn arrange(self, mut products: Vec<Product>) -> Vec<Product> {
        if self == Self::Candidate {
            products.reverse();
        }
        products
    }
}
