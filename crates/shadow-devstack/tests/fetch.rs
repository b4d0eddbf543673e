//! What a person is told when a server cannot be fetched or started. Scripts stand in for the programs that fail.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::PROGRAM;

/// A machine with nothing on `PATH` but the given scripts, and an empty cache.
struct Machine {
    root: tempfile::TempDir,
    environment: Vec<(&'static str, &'static str)>,
}

impl Machine {
    /// A machine that needs no Kafka of its own.
    fn new() -> Self {
        Self::bare().set("SHADOW_KAFKA_BROKERS", "127.0.0.1:1")
    }

    fn bare() -> Self {
        let root = tempfile::tempdir().unwrap();
        for dir in ["bin", "cache", "tmp"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        Self { root, environment: Vec::new() }
    }

    fn set(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    fn program(self, name: &str, script: &str) -> Self {
        let path = self.root.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn start(&self) -> Output {
        let path = |name| self.root.path().join(name);
        Command::new(PROGRAM)
            .env_clear()
            .env("PATH", path("bin"))
            .env("XDG_CACHE_HOME", path("cache"))
            .env("TMPDIR", path("tmp"))
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What is said when the stack cannot start.
    fn complaint(&self) -> String {
        let output = self.start();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    /// What the cache holds, but for locks.
    fn cached(&self) -> Vec<String> {
        names(&self.root.path().join("cache/shadowline")).into_iter().filter(|name| !name.ends_with(".lock")).collect()
    }

    fn temporary_files(&self) -> Vec<String> {
        names(&self.root.path().join("tmp"))
    }
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[track_caller]
fn assert_says(complaint: &str, parts: &[&str]) {
    for part in parts {
        assert!(complaint.contains(part), "no {part:?} in: {complaint}");
    }
}

#[test]
fn without_npm_and_clickhouse_it_says_how_to_get_them() {
    let complaint = Machine::new().complaint();
    assert_says(&complaint, &["npm is needed to fetch ClickHouse", "apt-get install npm", "SHADOW_CLICKHOUSE_URL"]);
}

#[test]
fn without_a_network_it_says_so_and_quotes_npm() {
    let machine = Machine::new().program("npm", "echo 'npm error code ENOTFOUND' >&2; exit 1");
    assert_says(&machine.complaint(), &["cannot fetch ClickHouse", "Check the network", "npm error code ENOTFOUND"]);
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[test]
fn a_disk_that_fills_up_during_the_download_is_named() {
    let machine = Machine::new().program("npm", "echo 'npm error code ENOSPC' >&2; exit 1");
    assert_says(&machine.complaint(), &["no space left on the device that holds", "cache/shadowline"]);
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[test]
fn a_download_that_is_not_the_known_file_is_refused_and_not_cached() {
    let dir = "node_modules/@chdb/lib-linux-x64-gnu";
    let machine = Machine::new().program("npm", &format!("/bin/mkdir -p {dir} && echo forged > {dir}/libchdb.so"));
    assert_says(&machine.complaint(), &["SHA-256", "damaged or was tampered with"]);
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[test]
fn without_java_the_mock_broker_stands_in_with_one_line_unless_ci_forbids_it() {
    let machine = Machine::bare().set("SHADOW_CLICKHOUSE_URL", "http://127.0.0.1:1");
    let output = machine.start();
    assert!(output.status.success());
    let notice = String::from_utf8(output.stderr).unwrap();
    assert_says(&notice, &["using librdkafka's mock broker instead of Apache Kafka: java is needed"]);
    assert_says(&String::from_utf8(output.stdout).unwrap(), &["SHADOW_KAFKA_BROKERS=127.0.0.1:"]);

    assert_says(&machine.set("CI", "true").complaint(), &["CI=true asks for Apache Kafka", "default-jre-headless"]);
}

#[test]
fn a_java_that_is_too_old_is_named() {
    let machine = Machine::bare()
        .set("CI", "true")
        .set("SHADOW_CLICKHOUSE_URL", "http://127.0.0.1:1")
        .program("java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2");
    assert_says(&machine.complaint(), &["needs Java 17 or newer", "openjdk version \"11.0.2\""]);
}

#[test]
fn servers_that_run_elsewhere_are_used_and_nothing_is_started() {
    let machine = Machine::new().set("SHADOW_CLICKHOUSE_URL", "http://127.0.0.1:2");
    let output = machine.start();
    assert!(output.status.success());
    let place = String::from_utf8(output.stdout).unwrap();
    assert_eq!(place, "SHADOW_KAFKA_BROKERS=127.0.0.1:1 SHADOW_CLICKHOUSE_URL=http://127.0.0.1:2\n");
}

#[test]
fn a_clickhouse_on_the_path_is_preferred_and_its_last_words_are_quoted_when_it_ends() {
    let machine = Machine::new().program("clickhouse", "echo \"$1: I cannot go on\" >&2; exit 70");
    let complaint = machine.complaint();
    assert_says(&complaint, &["ClickHouse did not start", "it ended with exit code 70", "local: I cannot go on"]);
    assert_says(&complaint, &["cache/shadowline/clickhouse-failed.log"]);
    assert_eq!(machine.cached(), ["clickhouse-failed.log"]);
    assert_eq!(machine.temporary_files(), Vec::<String>::new());
}

#[test]
fn a_server_that_meets_a_full_disk_says_so() {
    let machine = Machine::new().program("clickhouse", "echo 'write: No space left on device' >&2; exit 1");
    assert_says(&machine.complaint(), &["ClickHouse did not start: no space left on the device that holds its data"]);
}
