//! A service as a process: what it prints, how it takes signals, which code it ends with. Runs `examples/minimal.rs`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn minimal(args: &[&str]) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.push("minimal");
    assert!(path.exists(), "build the example first: `cargo test -p shadow-runtime` does");
    let mut command = Command::new(path);
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    told(minimal(args).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("not ended by a signal"), text(output.stdout), text(output.stderr))
}

/// A service that has logged a line, with the rest of its log.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = minimal(args).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, log, seen: String::new() };
        running.wait_for("works");
        running
    }

    fn wait_for(&mut self, word: &str) {
        let from = self.seen.len();
        while !self.seen[from..].contains(word) {
            let read = self.log.read_line(&mut self.seen).unwrap();
            assert!(read > 0, "ended without saying {word}:\n{}", self.seen);
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn code(mut self) -> i32 {
        self.child.wait().unwrap().code().expect("not ended by a signal")
    }
}

#[test]
fn help_teaches_the_layers_an_example_and_the_exit_codes() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for part in ["--config", "--set", "--check", "SHADOW_<SECTION>_<KEY>", "mode = \"wait\"", "Exit codes", "  69  "] {
        assert!(help.contains(part), "{part} not in:\n{help}");
    }
    assert_eq!(run(&["--version"]).0, 0);
}

#[test]
fn check_prints_ok_or_every_problem() {
    assert_eq!(run(&["--check"]), (0, "ok\n".to_owned(), String::new()));
    let (code, out, problems) = run(&["--check", "--set", "work.mode=fail", "--set", "admin.listen=0.0.0.0:1"]);
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(problems.contains("minimal: work.key: is required to fail; set it\n"), "{problems}");
    assert!(problems.contains("minimal: admin.listen: the admin endpoint would be open"), "{problems}");
}

#[test]
fn a_wrong_command_line_or_configuration_ends_with_64() {
    assert_eq!(run(&["--nosuch"]).0, 64);
    let (code, _, error) = run(&["--set", "work.mod=wait"]);
    assert_eq!(code, 64);
    assert_eq!(error, "minimal: --set work.mod: unknown key `mod`; did you mean `mode`?\n");
    assert_eq!(run(&["--config", "/nonexistent.toml"]).0, 64);
    let output = minimal(&[]).env("SHADOW_WORK_MDOE", "wait").output().unwrap();
    assert_eq!(told(output).0, 64);
}

#[test]
fn what_ended_it_shows_in_the_code_and_in_the_log() {
    let (code, _, log) = run(&["--set", "work.mode=unreachable"]);
    assert_eq!(code, 69);
    assert!(log.contains("starting the pipeline: kafka at 192.0.2.1:9092 cannot be reached"), "{log}");
    let output = minimal(&["--set", "work.mode=fail"]).env("SHADOW_WORK_KEY", "hunter2").output().unwrap();
    let (code, _, log) = told(output);
    assert_eq!(code, 1);
    assert!(log.contains("failed as configured") && !log.contains("hunter2"), "{log}");
}

#[test]
fn the_log_is_json_where_no_terminal_reads_it() {
    let (_, out, log) = run(&["--set", "work.mode=unreachable"]);
    assert_eq!(out, "");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

#[test]
fn a_panic_is_logged_by_place_without_its_message() {
    let (code, _, log) = run(&["--set", "work.mode=panic"]);
    assert_eq!(code, 101);
    assert!(log.contains("minimal.rs:") && !log.contains("private data"), "{log}");
}

#[test]
fn the_first_signal_stops_it_in_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut running = Running::start(&[]);
        running.signal(signal);
        running.wait_for("stopped");
        assert_eq!(running.code(), 0);
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let mut running = Running::start(&["--set", "work.mode=stubborn"]);
    running.signal(Signal::TERM);
    running.wait_for("stopping");
    running.signal(Signal::INT);
    assert_eq!(running.code(), 130);
}
