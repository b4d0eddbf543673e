//! Which sections and keys a configuration has: read off its defaults, so that there is no second list to maintain.

use serde::Serialize;
use serde_json::Value;

use super::error::{ConfigError, Problem};

/// The sections of `C` with their defaults; an optional section that is absent by default is null.
pub(super) fn defaults<C: Default + Serialize>() -> Result<Vec<(String, Value)>, ConfigError> {
    let value = serde_json::to_value(C::default()).map_err(|error| {
        let cause = format!("its defaults cannot be written down: {error}");
        Problem::key("configuration", cause, "report this as a defect")
    })?;
    let Value::Object(sections) = value else { return Ok(Vec::new()) };
    Ok(sections.into_iter().filter(|(_, section)| section.is_object() || section.is_null()).collect())
}

/// Every key of `C` as `section.key`, but those that it does not serialise: what a reference of the configuration must list.
///
/// # Errors
/// [`ConfigError`] when the defaults cannot be serialised, which is a defect.
pub fn keys<C: Default + Serialize>() -> Result<Vec<String>, ConfigError> {
    let sections = defaults::<C>()?;
    let keys = sections.iter().flat_map(|(name, section)| {
        let keys = section.as_object().into_iter().flat_map(serde_json::Map::keys);
        keys.map(move |key| format!("{name}.{key}"))
    });
    Ok(keys.collect())
}
