//! Masking: what makes production traffic safe to publish, and keeps its answers comparable.
//!
//! An exchange passes through in this order: [`Masker::request`] or [`Masker::response`] picks the rules in scope
//! (side, route, content type) and the profile of the route, then masks the path segment by segment, the query pair by pair, each header
//! (`headers`), and the body by its content type (`body`, with a file for each format). Each single value is decided in one place
//! (`scope`): by the first rule that names it, else by what its name says (`names`), else by the profile: `strict` keeps a short list of
//! harmless shapes (`shape`) and masks everything else; `detect` masks what its detectors find (`detect`). What is masked becomes a token
//! in the form of its value (`token`).
//!
//! Guarantees, each shown by a test in `tests/`:
//! - **Fail closed**: under `strict`, what no rule and no allow-listed shape names does not leave; what does not parse leaves as a digest,
//!   for a reason that is counted ([`Refused`]).
//! - **Deterministic**: the same value under the same key gives the same token, wherever it stands.
//! - **Idempotent**: masking what was masked changes nothing; a forged look-alike of a token is masked like any value.
//!
//! This crate does no I/O and never logs. `docs/masking.md` holds the threat model and the rules' reference.

mod body;
mod detect;
mod digest;
mod explain;
mod headers;
mod json;
mod key;
mod masker;
mod multipart;
mod names;
mod pairs;
mod path;
mod raw;
mod refused;
mod reveal;
mod rules;
mod scope;
mod shape;
mod text;
mod token;
mod xml;

pub use body::decode_content;
pub use detect::Class;
pub use detect::phone::Region;
pub use digest::Digester;
pub use explain::{Actor, Decision};
pub use headers::CLAIMS_HEADER;
pub use key::{KeyError, MaskKey};
pub use masker::Masker;
pub use raw::{RawBody, RawRequest, RawResponse};
pub use refused::Refused;
pub use rules::{Profile, ProfileFor, RuleConfig, RulesConfig, RulesError, Ruleset, Side, Strategy, TextConfig};
pub use token::{Form, REDACTED};
