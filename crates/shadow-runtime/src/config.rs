//! Configuration in layers: defaults < TOML file < environment < `--set`.
//!
//! Every configuration is `[section] key = value`. The environment variable of a key is `SHADOW_<SECTION>_<KEY>`; a section is
//! one word, so the first underscore after the prefix ends it. Variables of other sections belong to someone else and are
//! ignored; an unknown key in a known section is refused, wherever it was written.
//!
//! Guarantee: what [`load`] returns was checked as a whole, and every refusal names the place, the cause and a remedy.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

mod error;
mod file;
mod keys;
mod overlay;
mod redact;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Place, Problem};
pub use keys::keys;
pub use redact::redacted;

use crate::telemetry::LogConfig;

/// The flags that every service takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServiceArgs {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "SHADOW_CONFIG")]
    pub config: Option<PathBuf>,

    /// Set one key, over file and environment; repeatable
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Check the configuration, print `ok` and exit (64 when something is wrong)
    #[arg(long)]
    pub check: bool,

    /// Ask the instance that runs with this configuration whether it is ready, and exit (0 when it is, 1 when not)
    #[arg(long, conflicts_with = "check")]
    pub health: bool,
}

/// The configuration of a service: sections, all with defaults (`#[serde(default, deny_unknown_fields)]` on each struct).
pub trait ServiceConfig: Default + Serialize + DeserializeOwned + Send + 'static {
    /// The section `[log]`.
    fn log(&self) -> &LogConfig;

    /// What no single value shows: keys that are required, keys that contradict each other, rules that do not compile. Reads
    /// files if need be, but reaches for no network. `--check` reports all of it.
    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// Loads a configuration from its layers, the environment being that of this process.
///
/// # Errors
/// [`ConfigError`] with every problem that could be told apart.
pub fn load<C: Default + Serialize + DeserializeOwned>(args: &ServiceArgs) -> Result<C, ConfigError> {
    load_from(args, std::env::vars_os())
}

/// [`load`] with a given environment.
///
/// # Errors
/// As [`load`].
pub fn load_from<C: Default + Serialize + DeserializeOwned>(
    args: &ServiceArgs,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<C, ConfigError> {
    let file = match &args.config {
        Some(path) => file::read::<C>(path)?,
        None => toml::Table::new(),
    };
    let mut layers = overlay::Layers::<C>::over(file)?;
    let mut problems = Vec::new();
    for (name, value) in overlay::variables(environment) {
        problems.extend(layers.environment(&name, &value).err());
    }
    for assignment in &args.set {
        problems.extend(layers.flag(assignment).err());
    }
    if problems.is_empty() { Ok(layers.into_config()) } else { Err(ConfigError::from(problems)) }
}
