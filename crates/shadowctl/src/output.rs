//! Showing an answer: text for people, JSON for programs. Answers go to stdout, everything else to stderr.

use std::io::Write as _;

use serde::Serialize;

use crate::failure::{Failure, Kind};

/// The flag that every command with an answer takes.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Output {
    /// Print JSON for programs instead of text for people
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Shows `answer`, which `people` turns into text.
    ///
    /// # Errors
    /// When stdout cannot be written; a reader that went away is none.
    pub(crate) fn show<T: Serialize>(self, answer: &T, people: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json { print(&json(answer)) } else { print(&printable(&people(answer))) }
    }

    /// Shows one line of an answer that goes on; programs get one JSON object a line.
    ///
    /// # Errors
    /// As [`Output::show`].
    pub(crate) fn line<T: Serialize>(self, answer: &T, people: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json {
            print(&serde_json::to_string(answer).expect("answers have string keys only"))
        } else {
            print(&printable(&people(answer)))
        }
    }
}

/// Text without what would steer a terminal: routes, places and values come from traffic. Line ends stay.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// An answer as indented JSON.
pub(crate) fn json<T: Serialize>(answer: &T) -> String {
    serde_json::to_string_pretty(answer).expect("answers have string keys only")
}

/// Prints text to stdout with one line end.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::internal(error)),
        _ => Ok(()),
    }
}

/// Says something that is not part of the answer.
pub(crate) fn note(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says why a command failed.
pub(crate) fn complain(failure: &Failure) {
    let Failure { kind, cause, remedy } = failure;
    match (kind, remedy.as_str()) {
        (Kind::Interrupted, _) => note(cause),
        (_, "") => note(&format!("shadowctl: {cause}")),
        (_, remedy) => note(&format!("shadowctl: {cause}\n  what to do: {remedy}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_comes_from_traffic_steers_the_terminal() {
        assert_eq!(printable("GET /\u{1b}[2J\r\u{202e}x\u{9b}1m\tä\n"), "GET / [2J  x 1m ä\n");
    }
}
