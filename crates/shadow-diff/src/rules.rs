//! Comparison rules: what is left out, what counts as equal, which changes are expected.
//!
//! A rule is one table of a TOML text, such as
//!
//! ```toml
//! [[ignore]]
//! route = "GET /orders/{id}"
//! json = ["$.generated_at", "$..etag"]
//! ```
//!
//! docs/comparison.md shows each kind. Rules only ever widen what counts as equal: each decides on its own, and two values are
//! equal as soon as one says so. The order of an array can follow one rule only, so two that say different things about the same
//! place are refused. Unknown keys are refused, and every error names its line.

mod check;
mod descriptors;
mod expected;
mod text;

use std::sync::Arc;

use sha2::{Digest, Sha256};
use shadow_record::Timestamp;

use crate::difference::{DifferenceKind, Found};
use crate::formats::Schema;
use crate::path::JsonPath;
use crate::value::Equivalence;

pub use descriptors::{InlineError, inline_descriptors};
pub(crate) use expected::Expected;

/// Headers compared when the rules name none: what clients and caches act on.
pub const DEFAULT_HEADERS: &[&str] = &["content-type", "location", "cache-control"];
/// Most rules of one text.
pub const MAX_RULES: usize = 10_000;

/// Rules that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("comparison rules, line {line}: {problem}")]
pub struct RulesError {
    /// Line of the text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// What is compared, and how. Parsed once, used for every pair.
#[derive(Debug, Clone)]
pub struct Rules {
    version: String,
    headers: Vec<String>,
    rules: Vec<Rule>,
}

/// One table of the text.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Its place among all rules of the text, from 0.
    pub(crate) index: u16,
    pub(crate) line: usize,
    /// The name of its table.
    pub(crate) table: &'static str,
    pub(crate) route: RoutePattern,
    pub(crate) paths: Vec<JsonPath>,
    /// In lower case.
    pub(crate) headers: Vec<String>,
    pub(crate) treatment: Treatment,
}

/// What a rule does with the places it names.
#[derive(Debug, Clone)]
pub(crate) enum Treatment {
    Ignore,
    Order(ArrayOrder),
    Equivalence(Equivalence),
    NullIsMissing,
    Shape,
    Errors(Errors),
    Expected(Expected),
    Measure(Measure),
    /// Bodies are messages of this schema.
    Protobuf(Schema),
}

/// What stands for the order of an array's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArrayOrder {
    Multiset,
    Set,
    /// Elements belong together when the value there is equal.
    Keyed(JsonPath),
}

/// What counts of an answer with a status of 400 and above.
#[derive(Debug, Clone)]
pub(crate) struct Errors {
    /// Whether 404 and 410 are one.
    pub(crate) status_by_class: bool,
    /// What of their bodies counts: each names one place.
    pub(crate) members: Vec<JsonPath>,
}

/// What is read of a model's answer.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) class: Option<JsonPath>,
    pub(crate) score: Option<JsonPath>,
}

/// The routes that a rule holds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoutePattern {
    Every,
    /// The path template, under every method.
    AnyMethod(String),
    One(String),
}

impl RoutePattern {
    pub(crate) fn of(route: Option<&str>) -> Self {
        match route {
            None | Some("*") => Self::Every,
            Some(route) => match route.strip_prefix("* ") {
                Some(path) => Self::AnyMethod(path.to_owned()),
                None => Self::One(route.to_owned()),
            },
        }
    }

    pub(crate) fn covers(&self, route: &str) -> bool {
        match self {
            Self::Every => true,
            Self::AnyMethod(path) => route.split_once(' ').is_some_and(|(_, p)| p == path),
            Self::One(one) => one == route,
        }
    }

    /// Whether some route is covered by both.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Every, _) | (_, Self::Every) => true,
            (Self::One(one), pattern) | (pattern, Self::One(one)) => pattern.covers(one),
            (Self::AnyMethod(a), Self::AnyMethod(b)) => a == b,
        }
    }
}

impl std::fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Every => f.write_str("*"),
            Self::AnyMethod(path) => write!(f, "* {path}"),
            Self::One(route) => f.write_str(route),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        let headers = DEFAULT_HEADERS.iter().map(|&h| h.to_owned()).collect();
        Self { version: "default".to_owned(), headers, rules: Vec::new() }
    }
}

impl Rules {
    /// Parses rules.
    ///
    /// # Errors
    /// [`RulesError`] with the line.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let text::Parsed { version, headers, rules } = text::parse(text)?;
        check::conflicts(&rules)?;
        let default = Self::default();
        Ok(Self {
            version: version.unwrap_or_else(|| hash_of(text)),
            headers: headers.unwrap_or(default.headers),
            rules,
        })
    }

    /// The declared version, otherwise a hash of the text; stored with every comparison.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Every rule by its index, as [`Comparison::rules_used`](crate::Comparison::rules_used) has it, with words that let a person
    /// find it: `line 3, [[ignore]] on GET /orders/{id}: $.generated_at`.
    pub fn list(&self) -> impl Iterator<Item = (u16, String)> + '_ {
        self.rules.iter().map(|rule| (rule.index, rule.to_string()))
    }

    /// The expected change, by its rule's index and its name, that covers an outbound call which only one version made, or in another order:
    /// its place is the word `call`, its route the call's. `at` as in [`compare_masked`](crate::compare_masked).
    pub fn expects_call(
        &self,
        route: &str,
        kind: DifferenceKind,
        transition: &str,
        at: Timestamp,
    ) -> Option<(u16, Arc<str>)> {
        let (place, transition) = ("call", transition.to_owned());
        let found = Found { place, example: place, kind, transition, shortened: false };
        self.of_route(route).find_map(|rule| match &rule.treatment {
            Treatment::Expected(expected) if expected.covers(&found, at) => Some((rule.index, expected.name.clone())),
            _ => None,
        })
    }

    pub(crate) fn of_route<'a>(&'a self, route: &str) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| rule.route.covers(route))
    }

    /// Of the rules for a route that `which` picks, the one for the fewest other routes.
    pub(crate) fn closest<'a, T: 'a>(
        &'a self,
        route: &str,
        which: impl Fn(&'a Treatment) -> Option<T>,
    ) -> Option<(&'a Rule, T)> {
        let rules = self.of_route(route).filter_map(|rule| Some((rule, which(&rule.treatment)?)));
        rules.min_by_key(|(rule, _)| match rule.route {
            RoutePattern::One(_) => 0,
            RoutePattern::AnyMethod(_) => 1,
            RoutePattern::Every => 2,
        })
    }

    /// The headers that are compared.
    pub(crate) fn headers(&self) -> &[String] {
        &self.headers
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, [[{}]] on {}", self.line, self.table, self.route)?;
        if let Treatment::Expected(expected) = &self.treatment {
            return write!(f, ": {}", expected.name);
        }
        let paths = self.paths.iter().map(ToString::to_string);
        let places: Vec<_> = paths.chain(self.headers.iter().map(|name| format!("header:{name}"))).collect();
        if places.is_empty() { Ok(()) } else { write!(f, ": {}", places.join(", ")) }
    }
}

fn hash_of(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
