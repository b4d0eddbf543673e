//! The TOML file: read, checked on its own, so that a mistake in it is shown at its line.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::error::{ConfigError, Place, Problem, explain};

/// A configuration is read whole; anything longer than this is the wrong file.
const MAX_BYTES: u64 = 4 << 20;

/// Reads `path` and checks that it makes a `C` over the defaults.
pub(super) fn read<C: DeserializeOwned>(path: &Path) -> Result<toml::Table, ConfigError> {
    let problem = |at, cause: String, remedy: String| {
        ConfigError::from(Problem { place: Place::File { path: path.to_owned(), at }, cause, remedy })
    };
    let unreadable = |cause: String| problem(None, cause, "name a readable TOML file with --config".to_owned());
    let length = std::fs::metadata(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?.len();
    if length > MAX_BYTES {
        return Err(unreadable(format!("is {length} bytes long, too much for a configuration")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
    let at = |error: &toml::de::Error| error.span().map(|span| position(&text, span.start));
    // The error's own rendering quotes the line, which may hold a secret; only its message and position are used.
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        problem(at(&error), format!("not TOML: {}", explain(error.message()).0), "correct the line".to_owned())
    })?;
    toml::from_str::<C>(&text).map_err(|error| {
        let (cause, remedy) = explain(error.message());
        problem(at(&error), cause, remedy)
    })?;
    Ok(table)
}

/// Line and column of a byte, both from 1.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
