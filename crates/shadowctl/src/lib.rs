//! The operator's command line: one file per command in `commands/`.
//!
//! Every command has the same three steps: ask Kafka ([`kafka`]) or ClickHouse ([`sql`]), make a plain value of the answer,
//! and show that value, as text for people or as JSON for programs ([`output`]). What goes wrong becomes a [`failure::Failure`]
//! with a cause, a remedy and one of the exit codes.
//!
//! Guarantees: nothing is written before everything that could refuse it was asked; what a command says it did was
//! acknowledged by the broker; a kill switch that not every member confirmed is never reported as pulled.

mod cli;
mod commands;
mod failure;
mod kafka;
mod output;
mod signals;
mod sql;
mod table;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use shadow_runtime::telemetry::{self, LogConfig, LogFormat, LogLevel};

use crate::cli::Cli;
use crate::failure::Failure;

/// How long leftover blocking calls of the Kafka client may hold up the exit.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// Runs one command: `args` begin with the program's name.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = cli::without_cargos_dashes(args);
    // Scripts ask `diff` whether two things are equal, so even its misuse must not look like one of its answers, or like more.
    let misuse = if args.get(1).is_some_and(|command| command == "diff") {
        failure::Kind::Trouble
    } else {
        failure::Kind::Usage
    };
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is the reader's choice.
            let _ = error.print();
            // Help and version were asked for; all else is misuse.
            return if error.use_stderr() { misuse.into() } else { ExitCode::SUCCESS };
        }
    };
    let _log = start_log();
    match drive(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure);
            failure.kind.into()
        }
    }
}

/// Warnings only, or what `SHADOW_LOG_LEVEL` asks for: answers are not log lines.
fn start_log() -> Option<telemetry::Log> {
    let level = std::env::var("SHADOW_LOG_LEVEL").unwrap_or_else(|_| "warn".to_owned());
    match LogLevel::try_from(level) {
        Ok(level) => Some(telemetry::init(&LogConfig { format: LogFormat::Pretty, level, ..LogConfig::default() })),
        Err(error) => {
            output::note(&format!("SHADOW_LOG_LEVEL is ignored: {error}"));
            None
        }
    }
}

fn drive(cli: Cli) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::internal)?;
    let result = runtime.block_on(commands::run(cli));
    runtime.shutdown_timeout(LEFTOVERS);
    result
}
