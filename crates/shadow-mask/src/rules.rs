//! Masking rules: which values are treated otherwise than by shape.
//!
//! Read from TOML into [`RulesConfig`] (the form services embed in their configuration), then compiled into a [`Ruleset`].
//! The first rule in the file that selects a value wins; one that selects an object or array selects everything in it.
//! Guarantee: a rule that could never work as written is refused with its line and the reason, never ignored.

mod error;
mod json_path;
mod names;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shadow_record::RouteTable;

pub use error::RulesError;
pub(crate) use json_path::JsonPath;
pub(crate) use names::{Name, NameSet, name_is_kept};

use crate::headers::{is_credential, is_recorded};

/// Version of what is built in (shapes, secret names, header lists, token form). Part of every derived version, so that a release which
/// masks differently is told apart from the one before.
const BUILT_IN: &str = "strict-2";

/// Rules as text holds them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Recorded with every exchange; derived from the rules when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// In order of precedence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<RuleConfig>,
}

/// One `[[rule]]`: a strategy, the values it selects, and where it applies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // documented key by key in docs/masking.md
pub struct RuleConfig {
    pub strategy: Strategy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cookie: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub form: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
}

/// What is done with a selected value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// It is public and stays as it is.
    Keep,
    /// It becomes a token, whatever its shape.
    Token,
    /// It becomes [`crate::REDACTED`]; equality is lost.
    Redact,
    /// It is removed with its name.
    Drop,
}

/// Which half of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What the client sent.
    Request,
    /// What a version answered.
    Response,
}

/// Kinds of named values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Cookie,
    Query,
    Path,
    Form,
}

/// One compiled rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) strategy: Strategy,
    names: [NameSet; 5],
    pub(crate) json: Vec<JsonPath>,
    pub(crate) text: bool,
    /// One route, or `None` for all.
    pub(crate) route: Option<RouteTable>,
    pub(crate) side: Option<Side>,
}

impl Rule {
    pub(crate) fn names(&self, place: Place) -> &NameSet {
        &self.names[place as usize]
    }

    /// Every name in the rule, to be bound to the key.
    pub(crate) fn names_mut(&mut self) -> impl Iterator<Item = &mut Name> {
        self.names.iter_mut().flat_map(NameSet::iter_mut).chain(self.json.iter_mut().flat_map(JsonPath::names_mut))
    }
}

/// Compiled rules and their version.
#[derive(Clone, Debug)]
pub struct Ruleset {
    version: String,
    pub(crate) rules: Vec<Rule>,
}

impl Default for Ruleset {
    /// No rules: everything is masked by shape.
    fn default() -> Self {
        Self { version: BUILT_IN.to_owned(), rules: Vec::new() }
    }
}

impl Ruleset {
    /// Reads rules from TOML.
    ///
    /// # Errors
    /// [`RulesError`] with line and reason.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let config: RulesConfig = toml::from_str(text).map_err(|e| RulesError::from_toml(text, &e))?;
        Self::compile(&config).map_err(|e| e.in_text(text))
    }

    /// Compiles rules that were read as part of another file.
    ///
    /// # Errors
    /// [`RulesError`] with the number of the rule and the reason.
    pub fn compile(config: &RulesConfig) -> Result<Self, RulesError> {
        let rules = config.rule.iter().enumerate();
        let rules = rules.map(|(at, rule)| compile(rule).map_err(|reason| RulesError::in_rule(at + 1, reason)));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let version = match config.version.as_deref().map(str::trim) {
            None if rules.is_empty() => BUILT_IN.to_owned(),
            None => derived_version(config),
            Some("") => return Err(RulesError::in_rule(0, refuse("version", "is empty"))),
            Some(version) => version.to_owned(),
        };
        Ok(Self { version, rules })
    }

    /// Rules for data that is public anyway, such as open data: paths, queries, forms, bodies and headers stay as they are.
    /// Credential headers are still dropped and cookies still tokenised. In TOML: [`Self::KEEP_EVERYTHING`].
    pub fn keep_everything() -> Self {
        Self::parse(Self::KEEP_EVERYTHING).expect("a test parses these rules")
    }

    /// The rules behind [`Self::keep_everything`].
    pub const KEEP_EVERYTHING: &str = r#"[[rule]]
strategy = "keep"
header = ["*"]
query = ["*"]
path = ["*"]
form = ["*"]
json = ["$"]
text = true
"#;

    /// Names the rules on every record. Records of different versions may be masked differently.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// From what the rules say, not how they are written: comments and layout do not change it.
fn derived_version(config: &RulesConfig) -> String {
    let canonical = serde_json::to_vec(config).expect("rules hold only strings and lists");
    let digest: String = Sha256::digest(canonical)[..6].iter().map(|b| format!("{b:02x}")).collect();
    format!("{BUILT_IN}+{digest}")
}

/// Why a rule is refused, and the text in it that is to blame.
pub(crate) struct Refusal {
    at: String,
    reason: String,
}

fn refuse(at: impl Into<String>, reason: impl Into<String>) -> Refusal {
    Refusal { at: at.into(), reason: reason.into() }
}

fn compile(config: &RuleConfig) -> Result<Rule, Refusal> {
    let lists = [&config.header, &config.cookie, &config.query, &config.path, &config.form];
    if lists.iter().all(|names| names.is_empty()) && config.json.is_empty() && !config.text {
        return Err(refuse(
            "strategy",
            "the rule selects nothing: give header, cookie, query, path, form, json or text",
        ));
    }
    check_headers(config)?;
    if config.strategy == Strategy::Keep && config.cookie.iter().any(|name| name == "*") {
        return Err(refuse("cookie", "cookies are credentials: name those that are public instead of `*`"));
    }
    if config.strategy == Strategy::Drop && !config.path.is_empty() {
        return Err(refuse("path", "a path segment cannot be dropped; use `redact`"));
    }
    if config.strategy != Strategy::Keep && config.text {
        return Err(refuse("text", "text bodies can only be kept; without a rule they leave as a digest"));
    }
    let route = config.route.as_deref().filter(|route| *route != "*");
    let route = route.map(|route| RouteTable::parse(&[route]).map_err(|e| refuse(route, e.to_string()))).transpose()?;
    let json = config.json.iter().map(|path| JsonPath::parse(path).map_err(|reason| refuse(path, reason)));
    let json = json.collect::<Result<Vec<_>, _>>()?;
    if config.strategy == Strategy::Drop && json.iter().any(|path| path.steps().is_empty()) {
        return Err(refuse("\"$\"", "a whole body cannot be dropped; drop its members"));
    }
    let lower: Vec<_> = config.header.iter().map(|name| name.to_ascii_lowercase()).collect();
    let names = [&lower, &config.cookie, &config.query, &config.path, &config.form].map(|names| NameSet::of(names));
    Ok(Rule { strategy: config.strategy, names, json, text: config.text, route, side: config.side })
}

fn check_headers(config: &RuleConfig) -> Result<(), Refusal> {
    for header in &config.header {
        let name = header.to_ascii_lowercase();
        if matches!(name.as_str(), "cookie" | "set-cookie") {
            return Err(refuse(header, format!("`{header}` is selected by cookie name: use `cookie = [..]`")));
        }
        if name == "content-type" {
            return Err(refuse(header, "the content type says how a body is read: it is always kept"));
        }
        if !is_recorded(&name) {
            return Err(refuse(header, format!("`{header}` concerns one connection only and is never recorded")));
        }
        if config.strategy == Strategy::Keep && is_credential(&name) {
            return Err(refuse(header, format!("`{header}` carries credentials and cannot be kept; use `token`")));
        }
        if name != "*" && http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(refuse(header, format!("`{header}` is not a header name")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
