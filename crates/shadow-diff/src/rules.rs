//! Comparison rules: which headers count, which places are ignored, which arrays have no order.
//!
//! ```toml
//! version = "2026-01"                      # optional; otherwise a hash of this text
//! headers = ["content-type", "location"]   # optional; headers that are compared
//!
//! [[ignore]]
//! route = "GET /orders/{id}"               # optional; `*` or nothing for every route, `* /orders/{id}` for every method
//! json = ["$.generated_at", "$..etag"]
//! header = ["location"]
//!
//! [[unordered]]
//! json = ["$.items"]
//! ```
//!
//! Unknown keys are refused, and every error names its line.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::path::{Child, JsonPath, Step};

/// Headers compared when the rules name none: what clients and caches act on.
pub const DEFAULT_HEADERS: &[&str] = &["content-type", "location", "cache-control"];

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
    ignore: Vec<PlaceRule>,
    unordered: Vec<PlaceRule>,
    ignored_headers: Vec<(RoutePattern, String)>,
}

/// Whether the order of an array's elements is part of its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArrayOrder {
    Counts,
    Ignored,
}

#[derive(Debug, Clone)]
struct PlaceRule {
    route: RoutePattern,
    path: JsonPath,
}

#[derive(Debug, Clone)]
enum RoutePattern {
    Every,
    AnyMethod(String),
    One(String),
}

impl RoutePattern {
    fn of(route: Option<&str>) -> Self {
        match route {
            None | Some("*") => Self::Every,
            Some(route) => match route.strip_prefix("* ") {
                Some(path) => Self::AnyMethod(path.to_owned()),
                None => Self::One(route.to_owned()),
            },
        }
    }

    fn covers(&self, route: &str) -> bool {
        match self {
            Self::Every => true,
            Self::AnyMethod(path) => route.split_once(' ').is_some_and(|(_, p)| p == path),
            Self::One(one) => one == route,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: Option<String>,
    headers: Option<Vec<String>>,
    #[serde(default)]
    ignore: Vec<Ignore>,
    #[serde(default)]
    unordered: Vec<Unordered>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ignore {
    route: Option<String>,
    #[serde(default)]
    json: Vec<Spanned<String>>,
    #[serde(default)]
    header: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unordered {
    route: Option<String>,
    json: Vec<Spanned<String>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            version: "default".to_owned(),
            headers: DEFAULT_HEADERS.iter().map(|&h| h.to_owned()).collect(),
            ignore: Vec::new(),
            unordered: Vec::new(),
            ignored_headers: Vec::new(),
        }
    }
}

impl Rules {
    /// Parses rules.
    ///
    /// # Errors
    /// [`RulesError`] with the line.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        let parsed: Text = toml::from_str(text).map_err(|error| RulesError {
            line: error.span().map_or(1, |span| line(span.start)),
            problem: error.message().to_owned(),
        })?;
        let places = |route: &Option<String>, paths: &[Spanned<String>]| -> Result<Vec<PlaceRule>, RulesError> {
            let place = |path: &Spanned<String>| {
                let route = RoutePattern::of(route.as_deref());
                JsonPath::parse(path.get_ref())
                    .map(|path| PlaceRule { route, path })
                    .map_err(|error| RulesError { line: line(path.span().start), problem: error.to_string() })
            };
            paths.iter().map(place).collect()
        };
        let mut rules = Self { version: parsed.version.unwrap_or_else(|| hash_of(text)), ..Self::default() };
        if let Some(headers) = parsed.headers {
            rules.headers = headers.iter().map(|h| h.to_ascii_lowercase()).collect();
        }
        for rule in &parsed.ignore {
            rules.ignore.extend(places(&rule.route, &rule.json)?);
            let header = |h: &String| (RoutePattern::of(rule.route.as_deref()), h.to_ascii_lowercase());
            rules.ignored_headers.extend(rule.header.iter().map(header));
        }
        for rule in &parsed.unordered {
            rules.unordered.extend(places(&rule.route, &rule.json)?);
        }
        Ok(rules)
    }

    /// The declared version, otherwise a hash of the text; stored with every comparison.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The headers that count on `route`.
    pub(crate) fn headers<'a>(&'a self, route: &'a str) -> impl Iterator<Item = &'a str> {
        let ignored = move |name: &str| self.ignored_headers.iter().any(|(r, h)| h == name && r.covers(route));
        self.headers.iter().map(String::as_str).filter(move |name| !ignored(name))
    }

    /// The rules of `route` at the root of a body.
    pub(crate) fn scope<'a>(&'a self, route: &str) -> Scope<'a> {
        fn steps<'a>(rules: &'a [PlaceRule], route: &str) -> Vec<&'a [Step]> {
            rules.iter().filter(|rule| rule.route.covers(route)).map(|rule| rule.path.0.as_slice()).collect()
        }
        Scope { ignore: steps(&self.ignore, route), unordered: steps(&self.unordered, route) }
    }
}

fn hash_of(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is left of the rules' paths at one place of a body; an empty path means this very place.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    ignore: Vec<&'a [Step]>,
    unordered: Vec<&'a [Step]>,
}

impl Scope<'_> {
    /// Whether this place is ignored.
    pub(crate) fn ignored(&self) -> bool {
        self.ignore.iter().any(|steps| steps.is_empty())
    }

    /// Whether the order of the array at this place counts.
    pub(crate) fn order(&self) -> ArrayOrder {
        if self.unordered.iter().any(|steps| steps.is_empty()) { ArrayOrder::Ignored } else { ArrayOrder::Counts }
    }

    /// The scope one step further down.
    pub(crate) fn inside(&self, child: Child<'_>) -> Self {
        Self { ignore: advance(&self.ignore, child), unordered: advance(&self.unordered, child) }
    }
}

/// One state is kept once, so what is kept is bounded by the patterns' length and not by the depth of the body.
fn advance<'a>(patterns: &[&'a [Step]], child: Child<'_>) -> Vec<&'a [Step]> {
    let mut next: Vec<&[Step]> = Vec::new();
    let mut keep = |steps: &'a [Step]| {
        // What is left of one pattern ends where the pattern does, and stands together.
        let same_pattern = |kept: &&&[Step]| kept.as_ptr_range().end == steps.as_ptr_range().end;
        if !next.iter().rev().take_while(same_pattern).any(|kept| kept.len() == steps.len()) {
            next.push(steps);
        }
    };
    for steps in patterns {
        let Some((first, rest)) = steps.split_first() else { continue };
        if matches!(first, Step::Descend(_)) {
            keep(steps);
        }
        if first.matches(child) {
            keep(rest);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_their_line() {
        let error = Rules::parse("version = \"1\"\n[[ignore]]\njson = [\"$.a\",\n  \"b\"]").unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.problem.contains("start with $"), "{error}");
        let error = Rules::parse("\n[[ignore]]\npath = [\"$.a\"]").unwrap_err();
        assert_eq!(error.line, 3, "{error}");
        assert!(error.problem.contains("unknown field `path`"), "{error}");
    }

    #[test]
    fn the_version_is_declared_or_a_hash_of_the_text() {
        assert_eq!(Rules::parse("version = \"7\"").unwrap().version(), "7");
        let (a, b) = (Rules::parse("headers = []").unwrap(), Rules::parse("headers = [\"a\"]").unwrap());
        assert_ne!(a.version(), b.version());
        assert_eq!(a.version(), Rules::parse("headers = []").unwrap().version());
    }

    #[test]
    fn repeated_descents_keep_no_more_states_than_the_pattern_has_steps() {
        let rules = Rules::parse("[[ignore]]\njson = [\"$..a..a..a..a..b\", \"$..a..a..a\"]").unwrap();
        let mut scope = rules.scope("GET /a");
        for depth in 1..=30 {
            scope = scope.inside(Child::Member("a"));
            assert!(scope.ignore.len() <= 5 + 4, "{} states at depth {depth}", scope.ignore.len());
            assert_eq!(scope.ignored(), depth >= 3);
        }
        assert!(scope.inside(Child::Member("b")).ignored());
    }

    #[test]
    fn a_header_is_ignored_on_its_route_only() {
        let rules = Rules::parse("[[ignore]]\nroute = \"* /a\"\nheader = [\"Location\"]").unwrap();
        assert_eq!(rules.headers("GET /a").collect::<Vec<_>>(), ["content-type", "cache-control"]);
        assert_eq!(rules.headers("GET /b").collect::<Vec<_>>(), DEFAULT_HEADERS);
    }
}
