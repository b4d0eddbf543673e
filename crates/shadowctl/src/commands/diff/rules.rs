//! Comparison rules from a file, with what other files they name.

use std::path::Path;

use shadow_diff::Rules;
use shadow_diff::rules::inline_descriptors;

use crate::failure::Failure;

/// The rules of a file as a launch holds them: descriptor sets that they name, by a path from the rules' own place, stand in them.
///
/// # Errors
/// When a file cannot be read, or the rules cannot be used.
pub(in crate::commands) fn read(path: &Path) -> Result<(String, Rules), Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}"), "check the path of --rules"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = inline_descriptors(&text, |named| std::fs::read(folder.join(named))).map_err(|error| {
        Failure::usage(format!("{shown}: {error}"), "check the path, which begins where the rules are")
    })?;
    match Rules::parse(&text) {
        Ok(rules) => Ok((text, rules)),
        Err(error) => {
            Err(Failure::usage(format!("{shown}: {error}"), "correct the rules; docs/comparison.md explains them"))
        }
    }
}
