//! Masking rules: which values are treated otherwise than by shape.
//!
//! Read from TOML into [`RulesConfig`] (the form services embed in their configuration), then compiled into a [`Ruleset`].
//! The first rule in the file that selects a value wins; one that selects an object or array selects everything in it.
//! Guarantee: a rule that could never work as written is refused with its line and the reason, never ignored.

mod error;
mod json_path;
mod names;
mod xml_path;

use std::collections::HashSet;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shadow_record::{Route, RouteTable};

pub use error::RulesError;
pub(crate) use json_path::{Child, JsonPath};
pub(crate) use names::{Name, NameSet};
pub(crate) use xml_path::XmlPath;

use crate::detect::phone::Region;
use crate::detect::{Class, Detectors};
use crate::headers::{is_credential, is_recorded};
use crate::token::Form;

/// Version of what is built in (shapes, words, detectors, header lists, token forms). Part of every derived version, so that a release which
/// masks differently is told apart from the one before.
const BUILT_IN: &str = "strict-3";

/// Rules as text holds them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Recorded with every exchange; derived from the rules when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What becomes of values that no rule selects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Names of members, parameters, fields, cookies, headers and elements that are public beside the built-in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The classes that `detect` looks for; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detectors: Option<Vec<Class>>,
    /// Countries whose national telephone numbers `detect` looks for where no name says telephone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phone_regions: Vec<Region>,
    /// Other profiles for some routes, the first that matches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profile_for: Vec<ProfileFor>,
    /// In order of precedence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<RuleConfig>,
}

/// What becomes of values that no rule selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// They are masked, but for the allow-listed shapes.
    #[default]
    Strict,
    /// They stay, but for what the detectors find.
    Detect,
}

/// One `[[profile_for]]`: the profile of some routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // documented key by key in docs/masking.md
pub struct ProfileFor {
    pub routes: Vec<String>,
    pub profile: Profile,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub part: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xml: Vec<String>,
    #[serde(default, skip_serializing_if = "TextConfig::is_empty")]
    pub text: TextConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content_type: Vec<String>,
    /// Characters that `truncate` leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u16>,
    /// The form of `token`, where the value does not tell it.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub token_form: Option<Form>,
}

/// Which text bodies a rule selects: all of them, or the places that patterns match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)] // documented in docs/masking.md
pub enum TextConfig {
    All(bool),
    Patterns(Vec<String>),
}

impl Default for TextConfig {
    fn default() -> Self {
        Self::All(false)
    }
}

impl TextConfig {
    fn is_empty(&self) -> bool {
        match self {
            Self::All(all) => !all,
            Self::Patterns(patterns) => patterns.is_empty(),
        }
    }
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
    /// Its first characters stay, as many as `length` says.
    Truncate,
    /// It is encrypted; who holds the key can decrypt it, as the replayer may just before it sends.
    Encrypt,
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
    Part,
}

/// One compiled rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Counted from 1, as in the file.
    pub(crate) number: usize,
    pub(crate) strategy: Strategy,
    pub(crate) length: usize,
    pub(crate) form: Option<Form>,
    names: [NameSet; 6],
    pub(crate) json: Vec<JsonPath>,
    pub(crate) xml: Vec<XmlPath>,
    /// All text, under no pattern.
    pub(crate) all_text: bool,
    pub(crate) text: Vec<Regex>,
    pub(crate) content_type: Vec<String>,
    /// One route, or `None` for all.
    pub(crate) route: Option<RouteTable>,
    pub(crate) side: Option<Side>,
}

impl Rule {
    pub(crate) fn names(&self, place: Place) -> &NameSet {
        &self.names[place as usize]
    }

    /// Every name in the rule: who lists a name has declared it.
    fn names_listed(&self) -> impl Iterator<Item = &Name> {
        let xml = self.xml.iter().flat_map(XmlPath::names);
        self.names.iter().flat_map(NameSet::iter).chain(self.json.iter().flat_map(JsonPath::names)).chain(xml)
    }
}

/// Compiled rules and their version.
#[derive(Clone, Debug)]
pub struct Ruleset {
    version: String,
    pub(crate) rules: Vec<Rule>,
    profile: Profile,
    profile_for: Vec<(RouteTable, Profile)>,
    /// Names that the rules list.
    known: HashSet<Box<[u8]>>,
    pub(crate) detectors: Detectors,
}

impl Default for Ruleset {
    /// No rules: everything is masked by shape.
    fn default() -> Self {
        Self::compile(&RulesConfig::default())
            .unwrap_or_else(|_| unreachable!("no rule can be wrong where there is none"))
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
        let rules = rules.map(|(at, rule)| compile(at + 1, rule).map_err(|reason| RulesError::in_rule(at + 1, reason)));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let in_head = |reason| RulesError::in_rule(0, reason);
        let version = match config.version.as_deref().map(str::trim) {
            None if *config == RulesConfig::default() => BUILT_IN.to_owned(),
            None => derived_version(config),
            Some("") => return Err(in_head(refuse("version", "is empty"))),
            Some(version) => version.to_owned(),
        };
        let profile_for = config.profile_for.iter().map(|entry| {
            if entry.routes.is_empty() {
                return Err(refuse("[[profile_for]]", "names no routes"));
            }
            let table = RouteTable::parse(&entry.routes).map_err(|e| refuse(e.to_string(), e.to_string()))?;
            Ok((table, entry.profile))
        });
        let profile_for = profile_for.collect::<Result<Vec<_>, _>>().map_err(in_head)?;
        if let Some(name) = config.names.iter().find(|name| name.is_empty() || *name == "*") {
            return Err(in_head(refuse("names", format!("`{name}` is no name: list each that is public"))));
        }
        let listed = rules.iter().flat_map(Rule::names_listed).map(|name| name.as_bytes().into());
        let known = listed.chain(config.names.iter().map(|name| name.as_bytes().into())).collect();
        let classes = config.detectors.clone().unwrap_or_else(|| Class::ALL.to_vec());
        let detectors = Detectors { classes, regions: config.phone_regions.clone() };
        Ok(Self { version, rules, profile: config.profile.unwrap_or_default(), profile_for, known, detectors })
    }

    /// The profile of a request's route.
    pub(crate) fn profile(&self, method: &str, path: &str) -> Profile {
        let own = self.profile_for.iter().find(|(table, _)| table.find(method, path).is_some());
        own.map_or(self.profile, |(_, profile)| *profile)
    }

    /// Whether the rules list a name.
    pub(crate) fn lists(&self, name: &[u8]) -> bool {
        self.known.contains(name)
    }

    /// Every route that rules name and that matches.
    pub(crate) fn routes<'a>(&'a self, method: &'a str, path: &'a str) -> impl Iterator<Item = &'a Route> {
        let of_rules = self.rules.iter().filter_map(|rule| rule.route.as_ref());
        let tables = of_rules.chain(self.profile_for.iter().map(|(table, _)| table));
        tables.filter_map(move |table| table.find(method, path))
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
part = ["*"]
json = ["$"]
xml = ["/*"]
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

fn compile(number: usize, config: &RuleConfig) -> Result<Rule, Refusal> {
    let lists = [&config.header, &config.cookie, &config.query, &config.path, &config.form, &config.part];
    let paths = [&config.json, &config.xml];
    if lists.iter().chain(&paths).all(|names| names.is_empty()) && config.text.is_empty() {
        return Err(refuse(
            "strategy",
            "the rule selects nothing: give header, cookie, query, path, form, part, json, xml or text",
        ));
    }
    check_headers(config)?;
    check_strategy(config)?;
    let route = config.route.as_deref().filter(|route| *route != "*");
    let route = route.map(|route| RouteTable::parse(&[route]).map_err(|e| refuse(route, e.to_string()))).transpose()?;
    let json = config.json.iter().map(|path| JsonPath::parse(path).map_err(|reason| refuse(path, reason)));
    let json = json.collect::<Result<Vec<_>, _>>()?;
    if config.strategy == Strategy::Drop && json.iter().any(JsonPath::is_root) {
        return Err(refuse("\"$\"", "a whole body cannot be dropped; drop its members"));
    }
    let xml = config.xml.iter().map(|path| XmlPath::parse(path).map_err(|reason| refuse(path, reason)));
    let xml = xml.collect::<Result<Vec<_>, _>>()?;
    let (all_text, patterns) = match &config.text {
        TextConfig::All(all) => (*all, &[][..]),
        TextConfig::Patterns(patterns) => (false, &patterns[..]),
    };
    let text = patterns.iter().map(|pattern| match Regex::new(pattern) {
        Ok(regex) if regex.is_match("") => {
            Err(refuse(pattern, format!("`{pattern}` matches nothing at all, so everywhere")))
        }
        Ok(regex) => Ok(regex),
        Err(error) => Err(refuse(pattern, format!("`{pattern}` is no pattern: {error}"))),
    });
    let text = text.collect::<Result<Vec<_>, _>>()?;
    let lower: Vec<_> = config.header.iter().map(|name| name.to_ascii_lowercase()).collect();
    let names = [&lower, &config.cookie, &config.query, &config.path, &config.form, &config.part];
    Ok(Rule {
        number,
        strategy: config.strategy,
        length: config.length.unwrap_or_default().into(),
        form: config.token_form,
        names: names.map(|names| NameSet::of(names)),
        json,
        xml,
        all_text,
        text,
        content_type: config.content_type.iter().map(|t| t.to_ascii_lowercase()).collect(),
        route,
        side: config.side,
    })
}

/// What cannot be done to what the rule selects.
fn check_strategy(config: &RuleConfig) -> Result<(), Refusal> {
    let strategy = config.strategy;
    if strategy == Strategy::Keep && config.cookie.iter().any(|name| name == "*") {
        return Err(refuse("cookie", "cookies are credentials: name those that are public instead of `*`"));
    }
    if strategy == Strategy::Drop && !config.path.is_empty() {
        return Err(refuse("path", "a path segment cannot be dropped; use `redact`"));
    }
    if strategy != Strategy::Keep && config.text == TextConfig::All(true) {
        return Err(refuse("text", "a whole text can only be kept: without a rule each line is masked; give patterns"));
    }
    match (strategy, config.length) {
        (Strategy::Truncate, None | Some(0)) => {
            return Err(refuse("truncate", "truncate needs `length`, the number of characters that stay"));
        }
        (Strategy::Truncate, _) | (_, None) => {}
        (_, Some(_)) => return Err(refuse("length", "only `truncate` has a length")),
    }
    if config.token_form.is_some() && strategy != Strategy::Token {
        return Err(refuse("as", "only `token` has a form"));
    }
    if let Some(kind) = config.content_type.iter().find(|kind| !kind.contains('/') || kind.contains(';')) {
        return Err(refuse(kind, format!("`{kind}` is no content type; write it as `application/json`")));
    }
    Ok(())
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
