//! The log: structured, to stderr, readable in a terminal and JSON everywhere else.
//!
//! Guarantees: the message of a panic, which may quote the data at hand, is logged only where `debug` was asked for. Whoever logs
//! never waits for stderr: lines go through a bounded queue to a thread of their own, and are lost when it is full or stderr
//! cannot be written to (a pipe nobody reads, a full disk).

pub mod traces;

use std::io::IsTerminal as _;

use serde::{Deserialize, Serialize};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `pretty` when stderr is a terminal, else `json`.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What is logged: a level (`info`) or directives by module (`info,replayer=debug`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogLevel(String);

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

/// A text that is not a log level.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a log level; write error, warn, info, debug or trace, or directives such as `info,replayer=debug`"
)]
pub struct InvalidLevel(String);

impl TryFrom<String> for LogLevel {
    type Error = InvalidLevel;
    fn try_from(text: String) -> Result<Self, InvalidLevel> {
        let known = |level: &str| !level.is_empty() && level.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
        // `EnvFilter` takes a bare unknown word for the name of a module, so that `inof` would silently log nothing.
        let plain = text.split(',').all(|part| part.contains('=') || part.contains('[') || known(part.trim()));
        if plain && EnvFilter::try_new(&text).is_ok() { Ok(Self(text)) } else { Err(InvalidLevel(text)) }
    }
}

impl From<LogLevel> for String {
    fn from(level: LogLevel) -> String {
        level.0
    }
}

/// The section `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `auto`, `pretty` or `json`.
    pub format: LogFormat,
    /// `info` by default.
    pub level: LogLevel,
    /// Where traces of single requests go; none by default.
    pub traces: Option<traces::Collector>,
    /// One of so many requests is traced.
    pub traces_one_in: traces::OneIn,
}

/// Lines that may wait for stderr.
const WAITING: usize = 4096;

/// The log's end: dropping it writes what still waits, for a second at most.
#[derive(Debug)]
#[must_use = "lines that wait when the process ends are lost without it"]
pub struct Log {
    _writer: WorkerGuard,
}

/// Starts the log of this process. A second call changes nothing: the first subscriber stays.
pub fn init(config: &LogConfig) -> Log {
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(std::io::stderr());
    let base = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&config.level.0))
        .with_span_events(FmtSpan::NONE)
        // It would say so on stderr, and panic where that is what cannot be written to.
        .log_internal_errors(false)
        .with_writer(writer);
    let started = if json {
        base.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        base.with_ansi(terminal).try_init()
    };
    if started.is_ok() {
        log_panics();
    }
    Log { _writer: guard }
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(place, thread, "panicked; this is a defect in shadowline (level debug shows the message)");
        let message = panic.payload_as_str().unwrap_or("not text");
        tracing::debug!(place, message, "panic message");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_accepted_and_misspellings_refused() {
        for good in ["info", "WARN", "off", "info,replayer=debug", "shadow_kafka=trace"] {
            assert!(LogLevel::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["inof", "", "info,debgu", "replayer=loud"] {
            let error = LogLevel::try_from(bad.to_owned()).unwrap_err().to_string();
            assert!(error.contains("error, warn, info"), "{error}");
        }
    }
}
