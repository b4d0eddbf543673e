//! The launcher: the part of the stack that runs in processes of its own.
//!
//! `launcher [__devstack] supervise …` stands between the owner and one server; `launcher [__devstack] run PROGRAM …`
//! becomes the server's program; `launcher [__devstack] clickhouse LIBRARY …` is the server, for ClickHouse as a
//! library. Guarantee: a launched process ends when the process that started it ends, however that ended.
//!
//! A pipe carries the owner's life, not a parent-death signal: that signal is bound to the *thread* that started the
//! process, and the owner's threads come and go; besides, it exists on Linux only. Between supervisor and server, where
//! the starting thread lives as long as its process, the signal is the second line of defence.

mod library;
mod supervise;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

pub(crate) use supervise::{Ending, FREEZE, KILL, SUPERVISED, SuperviseArgs, THAW};

/// The hidden first argument with which an executable is asked to act as the launcher.
pub const LAUNCHER_ARG: &str = "__devstack";

/// Set for every process that is started as the launcher, whose program must therefore not start a stack itself.
pub(crate) const STARTED_AS_LAUNCHER: &str = "SHADOW_DEVSTACK_LAUNCHER";

/// Runs the launcher when this process was started as one, and tells the exit code `main` must then return.
///
/// `None` means that the process is an ordinary run of the program.
pub fn launcher_requested() -> Option<ExitCode> {
    std::env::args_os().nth(1).is_some_and(|first| first == LAUNCHER_ARG).then(launcher_main)
}

/// The launcher's `main`: reads the mode from the process arguments, with or without a leading [`LAUNCHER_ARG`].
pub fn launcher_main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    args.next_if(|first| first == LAUNCHER_ARG);
    let mode = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    match mode.to_str() {
        Some("supervise") => supervise::supervise(rest),
        Some("run") => run(rest),
        Some("clickhouse") => launch_clickhouse(rest),
        _ => complain(
            "this program is started by shadow-devstack; \
             its modes are: supervise, run PROGRAM [ARG...], clickhouse LIBRARY [ARG...]",
        ),
    }
}

/// Runs ClickHouse in this process: `args` are the path of `libchdb.so` and the arguments of `clickhouse local`.
///
/// Returns when ClickHouse ends, which it does when its standard input closes.
pub fn launch_clickhouse(args: Vec<OsString>) -> ExitCode {
    if let Err(error) = die_with_parent() {
        return complain(&format!("cannot bind the life of ClickHouse to its supervisor: {error}"));
    }
    let mut args = args.into_iter();
    let Some(path) = args.next() else {
        return complain("the path of libchdb.so is missing");
    };
    match library::run_local(Path::new(&path), args.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

/// Becomes another program that dies with its parent.
fn run(args: Vec<OsString>) -> ExitCode {
    if let Err(error) = die_with_parent() {
        return complain(&format!("cannot bind the life of the server to its supervisor: {error}"));
    }
    let mut args = args.into_iter();
    let Some(program) = args.next() else {
        return complain("the program to run is missing");
    };
    let error = Command::new(&program).args(args).exec();
    complain(&format!("cannot run {}: {error}", program.display()))
}

/// Asks the kernel to kill this process when the thread that started it ends; survives `exec`.
#[cfg(target_os = "linux")]
fn die_with_parent() -> std::io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the request took hold; then this process already belongs to another one.
    let supervisor = std::env::var(supervise::SUPERVISOR_PID).ok().and_then(|pid| pid.parse::<i32>().ok());
    match (supervisor, getppid()) {
        (Some(expected), Some(actual)) if actual.as_raw_nonzero().get() != expected => {
            Err(std::io::Error::other("the supervisor is already gone"))
        }
        _ => Ok(()),
    }
}

/// Elsewhere the supervisor alone ends the server.
#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> std::io::Result<()> {
    Ok(())
}

/// Says on standard error, which is the server's log, why the launcher cannot go on.
fn complain(message: &str) -> ExitCode {
    // Nobody is left to be told when the log cannot be written.
    let _ = writeln!(std::io::stderr(), "devstack launcher: {message}");
    ExitCode::FAILURE
}
