//! Rules as they are written, in TOML or within a service's own configuration. `docs/masking.md` documents them key by key.

use serde::{Deserialize, Serialize};

use crate::detect::Class;
use crate::detect::phone::Region;
use crate::token::Form;

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
    /// Claims of bearer tokens that are kept beside the request, masked like members of a JSON body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
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
    pub(super) fn is_empty(&self) -> bool {
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
