//! The section `[masking]`. Agents and replayers of a service need the same one, or equal values get different tokens; so they
//! read the same one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::RouteTable;

use crate::{Problem, Secret};

/// The section `[masking]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingConfig {
    /// The masking key, at least 32 bytes. Required.
    pub key: Option<Secret>,
    /// File with the masking rules (TOML); the built-in ones when absent.
    pub rules_file: Option<PathBuf>,
    /// Route templates such as `GET /orders/{id}`, first match wins.
    pub routes: Vec<String>,
}

impl MaskingConfig {
    /// The masker that this section describes.
    ///
    /// # Errors
    /// Every problem with it.
    pub fn masker(&self) -> Result<Masker, Vec<Problem>> {
        match (self.parsed_key(), self.parsed_rules(), self.parsed_routes()) {
            (Ok(key), Ok(rules), Ok(routes)) => Ok(Masker::new(key, rules, routes)),
            (key, rules, routes) => Err([key.err(), rules.err(), routes.err()].into_iter().flatten().collect()),
        }
    }

    fn parsed_key(&self) -> Result<MaskKey, Problem> {
        let remedy = "make one with `openssl rand -hex 32`, give it to every agent and replayer of the service, and write \
                      masking.key = { file = \"...\" }";
        let key = self.key.as_ref().ok_or_else(|| Problem::key("masking.key", "is missing", remedy))?;
        MaskKey::parse(key.expose()).map_err(|error| Problem::key("masking.key", error.to_string(), remedy))
    }

    fn parsed_rules(&self) -> Result<Ruleset, Problem> {
        let Some(path) = &self.rules_file else { return Ok(Ruleset::default()) };
        let problem = |cause: String| Problem::key("masking.rules_file", cause, "mend the file or leave the key out");
        let text = std::fs::read_to_string(path)
            .map_err(|error| problem(format!("`{}` cannot be read: {error}", path.display())))?;
        Ruleset::parse(&text).map_err(|error| problem(error.to_string()))
    }

    fn parsed_routes(&self) -> Result<RouteTable, Problem> {
        RouteTable::parse(&self.routes)
            .map_err(|error| Problem::key("masking.routes", error.to_string(), "write it as `GET /orders/{id}`"))
    }
}
