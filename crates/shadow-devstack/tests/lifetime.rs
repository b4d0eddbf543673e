//! Nothing outlives the owner: the crate's own program is the owner, and is killed in every way.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{PROGRAM, processes_naming};
use tempfile::TempDir;

/// An owner whose temporary files go to a directory of its own.
struct Owner {
    process: Child,
    temporary: TempDir,
}

impl Owner {
    /// Starts an owner and waits until its stack answers.
    fn start() -> Self {
        let mut owner = Self::begin();
        let mut line = String::new();
        BufReader::new(owner.process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("SHADOW_KAFKA_BROKERS=127.0.0.1:"), "{line}");
        assert!(!processes_naming(owner.temporary.path()).is_empty());
        owner
    }

    /// Starts an owner.
    fn begin() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let process = Command::new(PROGRAM)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, temporary }
    }

    fn dir(&self) -> &Path {
        self.temporary.path()
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The processes of the stack that run `mode` of the launcher.
    fn launched(&self, mode: &str) -> Vec<u32> {
        let ids = std::fs::read_dir("/proc").unwrap().flatten();
        ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|id| {
                let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                line.contains(self.dir().to_str().unwrap()) && line.contains(&format!(" {mode} "))
            })
            .collect()
    }
}

/// Waits for a condition that another process brings about, for which there is nothing to wait on.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn an_owner_that_ends_in_order_leaves_no_process_and_no_file() {
    let mut owner = Owner::start();
    drop(owner.process.stdin.take());
    assert!(owner.process.wait().unwrap().success());
    assert_eq!(processes_naming(owner.dir()), Vec::<String>::new());
    assert!(is_empty(owner.dir()));
}

#[test]
fn an_owner_that_is_interrupted_leaves_no_process_and_no_file() {
    let mut owner = Owner::start();
    let interrupt =
        rustix::process::kill_process(rustix::process::Pid::from_child(&owner.process), rustix::process::Signal::INT);
    interrupt.unwrap();
    assert!(owner.process.wait().unwrap().success());
    assert_eq!(processes_naming(owner.dir()), Vec::<String>::new());
    assert!(is_empty(owner.dir()));
}

#[test]
fn an_owner_that_is_killed_leaves_no_process_and_no_file() {
    let mut owner = Owner::start();
    owner.kill();
    eventually("the servers end", || processes_naming(owner.dir()).is_empty());
    eventually("the data is removed", || is_empty(owner.dir()));
}

#[test]
fn an_owner_that_is_killed_while_starting_leaves_no_process() {
    let mut owner = Owner::begin();
    eventually("something was started", || !owner.launched("supervise").is_empty());
    owner.kill();
    eventually("what was started ends", || processes_naming(owner.dir()).is_empty());
}

#[test]
fn servers_end_even_when_their_supervisors_are_killed_with_the_owner() {
    let mut owner = Owner::start();
    let supervisors = owner.launched("supervise");
    assert!(!supervisors.is_empty());
    owner.process.kill().unwrap();
    for id in supervisors {
        let id = rustix::process::Pid::from_raw(id as i32).unwrap();
        // One that saw its owner end first is already gone.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    }
    owner.process.wait().unwrap();
    eventually("the servers end", || processes_naming(owner.dir()).is_empty());
}
