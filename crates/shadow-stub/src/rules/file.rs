//! Rules as they are written: the shape of the TOML, nothing checked yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Action, Fault};

/// A file of rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RulesFile {
    pub(super) rule: Vec<RuleConfig>,
}

/// One rule, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleConfig {
    /// How effects and metrics name it.
    pub(super) name: Option<String>,
    /// Methods; empty for every one.
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) method: Vec<String>,
    /// `api.example.com`, `*.example.com`, or absent for every host.
    pub(super) host: Option<String>,
    /// `/v1/charges/{id}`; `{rest..}` at the end takes what is left; absent for every path.
    pub(super) path: Option<String>,
    /// A condition on `request` and `path`, such as `request.json.amount > 100`.
    pub(super) when: Option<String>,
    #[serde(default)]
    pub(super) answer: AnswerConfig,
    pub(super) state: Option<StateConfig>,
    /// A key: a call with the key of an earlier one is answered as that was, and does nothing else.
    pub(super) idempotent_by: Option<String>,
    /// Whether the primary's answer, where it is known, goes before the rule's.
    #[serde(default = "yes")]
    pub(super) mirror: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AnswerConfig {
    pub(super) status: Option<u16>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
    /// `20ms`, `2s`.
    pub(super) delay: Option<String>,
    pub(super) fault: Option<Fault>,
    /// Share of the calls that get the fault, 0 to 1; always the same ones.
    pub(super) share: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateConfig {
    /// Where objects of this kind are kept.
    pub(super) collection: String,
    /// What is done with them.
    #[serde(rename = "do")]
    pub(super) action: Action,
    /// The key of the object; of one that is created by default its `id`.
    pub(super) key: Option<String>,
    /// What is answered when there is no such object.
    pub(super) missing: Option<MissingConfig>,
    /// Objects of other collections that templates see, by a name of their own.
    #[serde(default)]
    pub(super) with: Vec<WithConfig>,
    /// What else changes, after the object itself.
    #[serde(default)]
    pub(super) also: Vec<AlsoConfig>,
}

/// An object of another collection that templates see under `name`; undefined when it is not there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WithConfig {
    pub(super) name: String,
    pub(super) collection: String,
    pub(super) key: String,
}

/// An object of another collection that is created or, where its key is there, changed; with an empty key neither.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlsoConfig {
    pub(super) collection: String,
    pub(super) key: String,
    pub(super) body: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MissingConfig {
    #[serde(default = "not_found")]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) body: String,
}

pub(super) const fn not_found() -> u16 {
    404
}

const fn yes() -> bool {
    true
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}
