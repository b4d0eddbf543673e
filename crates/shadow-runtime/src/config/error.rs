//! What is wrong with a configuration: where, what, and what to do.

use std::fmt;
use std::path::PathBuf;

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file; line and column count from 1, and are missing when the file as a whole is meant.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line and column.
        at: Option<(usize, usize)>,
    },
    /// In an environment variable.
    Environment(String),
    /// In `--set`.
    Flag(String),
    /// In a key, whichever layer set it (`section.key`).
    Key(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, at: Some((line, column)) } => write!(f, "{}:{line}:{column}", path.display()),
            Place::File { path, at: None } => write!(f, "{}", path.display()),
            Place::Environment(name) => write!(f, "environment {name}"),
            Place::Flag(name) => write!(f, "--set {name}"),
            Place::Key(name) => f.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The cause, as the end of a sentence: `must not be empty`.
    pub cause: String,
    /// What to do, as an imperative; empty when the cause says it.
    pub remedy: String,
}

impl Problem {
    /// A problem with a key (`section.key`), whichever layer set it.
    pub fn key(key: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: Place::Key(key.into()), cause: cause.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// A configuration that cannot be used. Shows one problem a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Everything that was found, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl From<Vec<Problem>> for ConfigError {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Turns serde's words into a cause and a remedy. An unknown key gets the likeliest of the known ones.
pub(super) fn explain(message: &str) -> (String, String) {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let known = quoted.get(1..).unwrap_or_default();
    let (what, given) =
        match (message.starts_with("unknown field"), message.starts_with("unknown variant"), &quoted[..]) {
            (true, _, [given, ..]) => ("key", *given),
            (_, true, [given, ..]) => ("value", *given),
            _ => return (message.trim_end().replace('\n', ", "), String::new()),
        };
    let cause = format!("unknown {what} `{given}`");
    let remedy = match closest(given, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("remove it: no {what} is known here"),
        None => format!("known here: {}", known.join(", ")),
    };
    (cause, remedy)
}

/// The known word that `given` was probably meant to be.
fn closest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |word: &&'a str| strsim::damerau_levenshtein(given, word);
    let best = known.iter().copied().min_by_key(score)?;
    (score(&best) <= 1.max(given.chars().count() / 3)).then_some(best)
}
