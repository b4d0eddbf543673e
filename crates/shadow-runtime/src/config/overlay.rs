//! Environment variables and `--set`, laid over the file one key at a time.
//!
//! Both give text, while keys have types. A text is tried as the string it is, then as the TOML value it spells (`8`, `true`,
//! `["a", "b"]`, `{ file = "x" }`), then as a list of words with commas: the first that makes a valid configuration is it. So a
//! list of hosts, a number and a name are all written as people write them, without a table of types to maintain.

use std::ffi::OsString;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::error::{ConfigError, Place, Problem, explain};
use super::redact::is_sensitive;
use crate::secret::FROM_ENVIRONMENT;

/// What every variable of ours begins with.
const PREFIX: &str = "SHADOW_";

/// Our variables, sorted by name; a variable that is set but empty counts as unset, as compose files produce them.
pub(super) fn variables(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(String, OsString)> {
    let ours = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        (name.starts_with(PREFIX) && !value.is_empty()).then_some((name, value))
    };
    let mut variables: Vec<_> = environment.into_iter().filter_map(ours).collect();
    variables.sort();
    variables
}

/// The layers so far, and the configuration that they make.
pub(super) struct Layers<C> {
    sections: Vec<String>,
    table: Table,
    config: C,
}

impl<C: Default + Serialize + DeserializeOwned> Layers<C> {
    /// Starts with the file's table, which was checked already.
    pub(super) fn over(table: Table) -> Result<Self, ConfigError> {
        let sections = super::keys::defaults::<C>()?.into_iter().map(|(section, _)| section).collect();
        let config = table.clone().try_into::<C>().map_err(|error| {
            let (cause, remedy) = explain(error.message());
            Problem::key("configuration", cause, remedy)
        })?;
        Ok(Self { sections, table, config })
    }

    pub(super) fn into_config(self) -> C {
        self.config
    }

    /// Lays one variable over the rest, if it belongs to a section of this configuration.
    pub(super) fn environment(&mut self, name: &str, value: &OsString) -> Result<(), Problem> {
        let lower = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase();
        let Some((section, key)) = lower.split_once('_').filter(|(s, _)| self.sections.iter().any(|known| known == s))
        else {
            return Ok(());
        };
        let place = Place::Environment(name.to_owned());
        let Some(text) = value.to_str() else {
            return Err(Problem { place, cause: "is not UTF-8".into(), remedy: "set it to text".into() });
        };
        let mut candidates = spellings(text);
        candidates.push(secret(FROM_ENVIRONMENT, text));
        self.first(section, key, text, candidates).map_err(|(cause, remedy)| {
            // Kubernetes describes a Service called `shadow-kafka` in variables that look like ours.
            let linked = ["service_host", "service_port", "port"].iter().any(|link| key.starts_with(link));
            let remedy = if linked && cause.starts_with("unknown key") {
                format!("{remedy} (if Kubernetes set it: `enableServiceLinks: false` in the pod)")
            } else {
                remedy
            };
            Problem { place, cause, remedy }
        })
    }

    /// Lays one `section.key=value` over the rest.
    pub(super) fn flag(&mut self, assignment: &str) -> Result<(), Problem> {
        let Some((section, key, text)) =
            assignment.split_once('=').and_then(|(path, text)| path.trim().split_once('.').map(|(s, k)| (s, k, text)))
        else {
            let name = assignment.split('=').next().unwrap_or_default().to_owned();
            let cause = "is not an assignment".to_owned();
            return Err(Problem {
                place: Place::Flag(name),
                cause,
                remedy: "write --set section.key=value".to_owned(),
            });
        };
        let place = Place::Flag(format!("{section}.{key}"));
        self.first(section, key, text, spellings(text)).map_err(|(cause, remedy)| {
            if self.accepts(section, key, secret(FROM_ENVIRONMENT, "probe")).is_ok() {
                let cause = "a secret must not stand on the command line, where every user sees it".to_owned();
                return Problem { place, cause, remedy: format!("write --set {section}.{key}_file=PATH") };
            }
            Problem { place, cause, remedy }
        })
    }

    /// Takes the first candidate that makes a valid configuration; else tells what is wrong with the likeliest one.
    fn first(&mut self, section: &str, key: &str, text: &str, candidates: Vec<Value>) -> Result<(), (String, String)> {
        let mut errors = Vec::new();
        for candidate in candidates {
            match self.accepts(section, key, candidate) {
                Ok((table, config)) => return self.take(table, config),
                Err(error) => errors.push(error),
            }
        }
        // `token_file` is short for `token = { file = ... }`, which is what a secret takes.
        if let Some(base) = key.strip_suffix("_file")
            && errors[0].starts_with("unknown field")
        {
            match self.accepts(section, base, secret("file", text)) {
                Ok((table, config)) => return self.take(table, config),
                Err(error) if error.starts_with("the secret") => return Err(explain(&error)),
                Err(_) => {}
            }
        }
        // The string speaks for keys that want text, the TOML value for the others.
        let wants_other = |error: &String| error.starts_with("invalid type: string");
        let error = if wants_other(&errors[0]) { errors.get(1).unwrap_or(&errors[0]) } else { &errors[0] };
        let (cause, remedy) = explain(error);
        let leaks = is_sensitive(key) && !cause.starts_with("unknown");
        if leaks { Err(("has a value of the wrong type".to_owned(), remedy)) } else { Err((cause, remedy)) }
    }

    fn take(&mut self, table: Table, config: C) -> Result<(), (String, String)> {
        (self.table, self.config) = (table, config);
        Ok(())
    }

    /// The layers with one key set, or the words of the refusal.
    fn accepts(&self, section: &str, key: &str, value: Value) -> Result<(Table, C), String> {
        let mut table = self.table.clone();
        let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        let entry = entry.as_table_mut().ok_or_else(|| format!("`{section}` is not a section"))?;
        entry.insert(key.to_owned(), value);
        let config = table.clone().try_into::<C>().map_err(|error| error.message().to_owned())?;
        Ok((table, config))
    }
}

/// What a text may stand for, likeliest first.
fn spellings(text: &str) -> Vec<Value> {
    let mut candidates = vec![Value::String(text.to_owned())];
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|table| table.len() == 1);
    match parsed.and_then(|mut table| table.remove("value")) {
        Some(value) => candidates.push(value),
        None => {
            candidates.push(Value::Array(text.split(',').map(|word| Value::String(word.trim().to_owned())).collect()))
        }
    }
    candidates
}

fn secret(source: &str, text: &str) -> Value {
    Value::Table(Table::from_iter([(source.to_owned(), Value::String(text.to_owned()))]))
}
