//! The supervisor: holds one server for the owner, and ends it when the owner is gone. A mode of the launcher.
//!
//! Its standard input is a pipe from the owner. A byte on it is a command ([`KILL`], [`FREEZE`], [`THAW`]); its end
//! means that the owner stopped the server or died, which are treated alike: the server is asked to end, killed if it
//! does not, and its temporary data is removed. The supervisor exits only after the server has been reaped, with the
//! server's exit code, so an owner that waited for the supervisor knows that port and files are free.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::complain;

/// Command: kill the server at once, as `kill -9` would, and keep its data.
pub(crate) const KILL: u8 = b'k';
/// Command: stop the server's threads without ending it (SIGSTOP).
pub(crate) const FREEZE: u8 = b's';
/// Command: let a frozen server go on (SIGCONT).
pub(crate) const THAW: u8 = b'c';
/// The supervisor's first words in the log: without them, what was started was no launcher.
pub(crate) const SUPERVISED: &str = "devstack launcher: starting";
/// Names the supervisor to the server, which checks that it is still there.
pub(super) const SUPERVISOR_PID: &str = "SHADOW_DEVSTACK_SUPERVISOR";
/// How long a server may take to end by itself: Kafka's controlled shutdown takes under a second when idle.
const GRACE: Duration = Duration::from_secs(8);

/// How the server is ended once the owner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It is asked to, and killed after [`GRACE`].
    Orderly,
    /// It is killed: it has nothing that is worth finishing.
    AtOnce,
}

/// The supervisor's arguments.
pub(crate) struct SuperviseArgs {
    /// A directory to remove once the owner is gone and the server has ended; its parent goes too when then empty.
    pub(crate) remove: Option<PathBuf>,
    pub(crate) ending: Ending,
    /// The server: program and arguments.
    pub(crate) command: Vec<OsString>,
}

impl SuperviseArgs {
    /// The command-line form that [`supervise`] reads.
    pub(crate) fn into_args(self) -> Vec<OsString> {
        let mut args = vec!["supervise".into()];
        if let Some(dir) = self.remove {
            args.extend(["--remove".into(), dir.into_os_string()]);
        }
        if self.ending == Ending::AtOnce {
            args.push("--at-once".into());
        }
        args.push("--".into());
        args.extend(self.command);
        args
    }

    fn parse(args: Vec<OsString>) -> Option<Self> {
        let mut args = args.into_iter();
        let (mut remove, mut ending) = (None, Ending::Orderly);
        loop {
            match args.next()? {
                flag if flag == "--remove" => remove = Some(args.next()?.into()),
                flag if flag == "--at-once" => ending = Ending::AtOnce,
                flag if flag == "--" => break,
                _ => return None,
            }
        }
        let command: Vec<OsString> = args.collect();
        (!command.is_empty()).then_some(Self { remove, ending, command })
    }
}

/// Runs the server until it ends or the owner is gone.
pub(super) fn supervise(args: Vec<OsString>) -> ExitCode {
    let Some(SuperviseArgs { remove, ending, command }) = SuperviseArgs::parse(args) else {
        return complain("usage: supervise [--remove DIR] [--at-once] -- PROGRAM [ARG...]");
    };
    // The log is for people; a supervisor that cannot write it still supervises.
    let _ = writeln!(std::io::stderr(), "{SUPERVISED} {}", command[0].display());
    let started = Command::new(&command[0])
        .args(&command[1..])
        .env(SUPERVISOR_PID, std::process::id().to_string())
        .stdin(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return complain(&format!("cannot run {}: {error}", command[0].display())),
    };
    let stdin = child.stdin.take();
    let pid = Pid::from_child(&child);
    let owner_gone = Arc::new(AtomicBool::new(false));
    // The reaper ends the whole process, so the commands below never meet a recycled process ID for long.
    let reaper = {
        let owner_gone = Arc::clone(&owner_gone);
        move || {
            let code = reap(child);
            if let Some(dir) = remove.filter(|_| owner_gone.load(Ordering::Acquire)) {
                remove_data(&dir);
            }
            std::process::exit(code)
        }
    };
    if let Err(error) = std::thread::Builder::new().name("reaper".into()).spawn(reaper) {
        let _ = kill_process(pid, Signal::KILL);
        return complain(&format!("cannot start a thread: {error}"));
    }
    obey(pid);
    owner_gone.store(true, Ordering::Release);
    end(pid, stdin, ending);
    loop {
        std::thread::park();
    }
}

/// Carries out the owner's commands until the owner is gone.
fn obey(pid: Pid) {
    let mut byte = [0];
    // A server that has just ended cannot be signalled; its reaper ends this process, so failures need no handling.
    while let Ok(1) = std::io::stdin().read(&mut byte) {
        let signal = match byte[0] {
            KILL => Signal::KILL,
            FREEZE => Signal::STOP,
            THAW => Signal::CONT,
            _ => continue,
        };
        let _ = kill_process(pid, signal);
    }
}

/// Ends the server; its reaper then ends this process.
fn end(pid: Pid, stdin: Option<ChildStdin>, ending: Ending) {
    if ending == Ending::Orderly {
        // ClickHouse ends when its input does; Java does on the signal; a frozen server notices neither.
        drop(stdin);
        let _ = kill_process(pid, Signal::CONT);
        let _ = kill_process(pid, Signal::TERM);
        std::thread::sleep(GRACE);
    }
    let _ = kill_process(pid, Signal::KILL);
}

/// Waits for the server and gives its exit code, in the shell's convention when a signal ended it.
fn reap(mut child: Child) -> i32 {
    match child.wait() {
        Ok(status) => status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1),
        Err(_) => 1,
    }
}

/// Removes a server's temporary data, then the stack's directory if this was the last server in it.
fn remove_data(dir: &Path) {
    // Whoever could be told of a failure is gone.
    let _ = std::fs::remove_dir_all(dir);
    if let Some(parent) = dir.parent() {
        let _ = std::fs::remove_dir(parent);
    }
}
