//! What a check found, and what it means for the whole.

use serde::Serialize;

/// How bad it is; the worst decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Worth a look; no reason not to begin.
    Warning,
    /// The rehearsal would not work.
    Problem,
    /// It cannot be checked: something does not answer.
    Unreachable,
    /// Shadow writes could reach production's stores.
    Unsafe,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) what: String,
    /// As an imperative; empty when all is well.
    pub(crate) remedy: String,
}

/// Collects the findings of one check.
pub(crate) struct Findings<'a> {
    pub(crate) check: &'static str,
    pub(crate) list: &'a mut Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(crate) fn of(check: &'static str, list: &'a mut Vec<Finding>) -> Self {
        Self { check, list }
    }

    pub(crate) fn add(&mut self, level: Level, what: impl Into<String>, remedy: impl Into<String>) {
        self.list.push(Finding { level, check: self.check, what: what.into(), remedy: remedy.into() });
    }

    pub(crate) fn ok(&mut self, what: impl Into<String>) {
        self.add(Level::Ok, what, "");
    }

    pub(crate) fn warn(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Warning, what, remedy);
    }

    pub(crate) fn problem(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Problem, what, remedy);
    }

    pub(crate) fn unsafe_(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Unsafe, what, remedy);
    }
}
