//! Compares two answers to one request under rules and says where they differ.
//!
//! In the flow this stands between pairing and storing: the comparator hands over the primary's and the candidate's masked
//! [`Response`](shadow_record::Response), and stores the [`Comparison`]. The steps are the files: [`rules`] says what counts,
//! `formats` reads a body into the flat tree of `document`, `walk` descends where hashes differ and asks `scope` which rules hold
//! there, `value` says when two values are as good as equal, [`difference`](Difference) names what was found, and `compare` puts
//! it together.
//!
//! Guarantees: pure and deterministic; linear in the size of the bodies (arrays are matched by the hash of their elements,
//! never by a quadratic alignment) within a budget of work, and without recursion; what was not looked at in full is
//! [`CompareResult::Truncated`] or [`CompareResult::Incomparable`], never [`CompareResult::Matched`]; numbers are compared as
//! decimals of any size, never through floating point.

mod align;
mod compare;
mod difference;
mod document;
mod excerpt;
mod formats;
mod hash;
mod headers;
mod loose;
mod measure;
mod number;
mod path;
pub mod rules;
mod scope;
mod value;
mod walk;

pub use compare::{Masking, compare, compare_masked};
pub use difference::{CompareResult, Comparison, Difference, DifferenceKind, MAX_DIFFERENCES, Measured, Signature};
pub use document::MAX_NODES;
pub use path::{InvalidPath, JsonPath};
pub use rules::{Rules, RulesError};
