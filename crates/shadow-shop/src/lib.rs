//! The demo service: a small shop in two builds, the candidate with seeded regressions.
//!
//! It stands where a user's own service stands: [`Shop`] serves both builds, [`Load`] plays their clients, [`seeded`] says what
//! a rehearsal of the candidate must find under [`COMPARISON_RULES`] and [`MASKING_RULES`], no less and no more. Its checkout calls
//! [`Partners`], which the shadow's must not reach: [`STUB_RULES`] answer in their place. The files are
//! `stock` (what the shop knows, computed from IDs), `build` (how the builds differ), `shop` (routes), `checkout` (the route that calls others),
//! `outbound` (how it calls them), `partners`, `asked` (what every answer carries), `seeded`, `load`.
//!
//! `GET /metrics`, which no client asks for, tells what the process uses.
//!
//! Guarantee: every other answer is a pure function of build and request, but for `generated_at` and, where [`Shop::volatile`] asked for
//! them, for members that differ between any two pods. So a replayed request is answered as the captured one was, though its
//! private values were masked.

mod asked;
mod build;
mod checkout;
mod load;
mod outbound;
mod partners;
mod seeded;
mod shop;
mod stock;

pub use build::Build;
pub use load::{InvalidTarget, Load, LoadReport, Planned, Progress, planned};
pub use outbound::{InvalidProxy, MAIL, Outbound, PAYMENTS};
pub use partners::Partners;
pub use seeded::{Fault, Seeded, SeededDifference, seeded};
pub use shop::{ROUTES, Shop};

/// What may differ without being a fault: the format of the comparator's rules.
pub const COMPARISON_RULES: &str = include_str!("../rules/comparison.toml");

/// What is public: the format of the capture agent's masking rules.
pub const MASKING_RULES: &str = include_str!("../rules/masking.toml");

/// What the shadow's calls are answered with: the format of the stub's rules.
pub const STUB_RULES: &str = include_str!("../rules/stub.toml");
