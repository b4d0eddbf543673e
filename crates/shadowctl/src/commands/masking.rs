//! How the services mask, as options of the commands that do the same offline.

use std::path::{Path, PathBuf};

use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::RouteTable;

use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(super) struct MaskingArgs {
    /// Masking rules (TOML); the built-in ones when absent
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// File with the masking key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// File with the key before it, whose tokens stay as they are
    #[arg(long, value_name = "FILE")]
    previous_key_file: Option<PathBuf>,
    /// A declared route such as `GET /orders/{id}`; may be given several times
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
}

impl MaskingArgs {
    /// The key of the option, else of the environment, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub(super) fn key(&self) -> Result<Option<MaskKey>, Failure> {
        let text = key_text(self.key_file.as_ref(), "SHADOW_MASKING_KEY")?;
        text.map(|text| parsed(&text, "give the key of the services")).transpose()
    }

    /// The masker of the services, under `key`.
    ///
    /// # Errors
    /// When rules, routes or the previous key cannot be used.
    pub(super) fn masker(&self, key: MaskKey) -> Result<Masker, Failure> {
        let rules = match &self.rules {
            None => Ruleset::default(),
            Some(path) => Ruleset::parse(&read_text(path, "rules")?)
                .map_err(|error| Failure::usage(format!("`{}`: {error}", path.display()), "correct that line"))?,
        };
        let routes = RouteTable::parse(&self.routes)
            .map_err(|error| Failure::usage(error.to_string(), "write it as `GET /orders/{id}`"))?;
        let masker = Masker::new(key, rules, routes);
        Ok(match key_text(self.previous_key_file.as_ref(), "SHADOW_MASKING_PREVIOUS_KEY")? {
            Some(text) => masker.recognising(&parsed(&text, "give the key that was used before")?),
            None => masker,
        })
    }
}

/// From the file named, else from that of the variable `<name>_FILE`, else from the variable.
fn key_text(file: Option<&PathBuf>, variable: &str) -> Result<Option<String>, Failure> {
    let file = file.cloned().or_else(|| std::env::var_os(format!("{variable}_FILE")).map(PathBuf::from));
    match file {
        Some(path) => read_text(&path, "key").map(Some),
        None => Ok(std::env::var(variable).ok()),
    }
}

fn parsed(text: &str, remedy: &str) -> Result<MaskKey, Failure> {
    MaskKey::parse(text).map_err(|error| Failure::usage(error.to_string(), remedy))
}

fn read_text(path: &Path, what: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("the {what} file `{}` cannot be read: {error}", path.display()), "check the path")
    })
}
