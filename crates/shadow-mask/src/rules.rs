//! Masking rules: which values are treated otherwise than by shape.
//!
//! Read from TOML into [`RulesConfig`] (the form services embed in their configuration), then compiled into a [`Ruleset`].
//! (`config` is the text's shape, `compile` the checks.) The first rule in the file that selects a value wins; one that selects an object or array selects everything in it.
//! Guarantee: a rule that could never work as written is refused with its line and the reason, never ignored.

mod compile;
mod config;
mod error;
mod json_path;
mod names;
mod xml_path;

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use shadow_record::{Route, RouteTable};

pub(crate) use compile::{Place, Rule};
pub use config::{Profile, ProfileFor, RuleConfig, RulesConfig, Side, Strategy, TextConfig};
pub use error::RulesError;
pub(crate) use json_path::{Child, JsonPath};
pub(crate) use names::Name;
pub(crate) use xml_path::XmlPath;

use crate::detect::{Class, Detectors};
use compile::{compile, refuse};

/// Version of what is built in (shapes, words, detectors, header lists, token forms). Part of every derived version, so that a release which
/// masks differently is told apart from the one before.
const BUILT_IN: &str = "strict-4";

/// Compiled rules and their version.
#[derive(Clone, Debug)]
pub struct Ruleset {
    version: String,
    pub(crate) rules: Vec<Rule>,
    profile: Profile,
    profile_for: Vec<(RouteTable, Profile)>,
    /// Names that the rules list.
    known: HashSet<Box<[u8]>>,
    /// Claims of bearer tokens that are kept.
    pub(crate) claims: Vec<String>,
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
        let known =
            listed.chain(config.names.iter().chain(&config.claims).map(|name| name.as_bytes().into())).collect();
        if let Some(claim) = config.claims.iter().find(|claim| claim.is_empty() || *claim == "*") {
            return Err(in_head(refuse("claims", format!("`{claim}` is no claim: list each that is kept"))));
        }
        let classes = config.detectors.clone().unwrap_or_else(|| Class::ALL.to_vec());
        let detectors = Detectors { classes, regions: config.phone_regions.clone() };
        Ok(Self {
            version,
            rules,
            profile: config.profile.unwrap_or_default(),
            profile_for,
            known,
            claims: config.claims.clone(),
            detectors,
        })
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

#[cfg(test)]
mod tests;
