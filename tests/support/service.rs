//! A service as a process of its own: started from a config, killed or stopped by its handle, its log held to account.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::BINARY;

/// How long a service may take to answer or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running service.
pub struct Service {
    kind: &'static str,
    child: Child,
    admin: String,
    config: PathBuf,
    log: PathBuf,
    expected: Vec<&'static str>,
    _dir: TempDir,
}

impl Service {
    /// Starts `kind` (`replayer`, ...) with `config` and an admin endpoint on a free port.
    pub fn start(kind: &'static str, config: &str) -> Self {
        Self::start_logging(kind, config, "info")
    }

    /// The same with a log at `level`.
    pub fn start_logging(kind: &'static str, config: &str, level: &str) -> Self {
        Self::begin(kind, config, "", &format!("level = \"{level}\""))
    }

    /// The same with traces sent to `collector`.
    pub fn start_traced(kind: &'static str, config: &str, collector: &str) -> Self {
        Self::begin(kind, config, "", &format!("traces = \"{collector}\""))
    }

    /// The same with an admin endpoint that wants the token in the file `token`.
    pub fn start_guarded(kind: &'static str, config: &str, token: &Path) -> Self {
        Self::begin(kind, config, &format!("token = {{ file = {token:?} }}\n"), "")
    }

    fn begin(kind: &'static str, config: &str, guard: &str, logging: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let admin = format!("127.0.0.1:{}", super::free_port());
        let path = dir.path().join("config.toml");
        let text = format!("{config}\n[admin]\nlisten = \"{admin}\"\n{guard}[log]\nformat = \"json\"\n{logging}\n");
        std::fs::write(&path, text).expect("the config is written");
        let log = dir.path().join("log");
        let child = spawn(kind, &path, &log);
        Self { kind, child, admin, config: path, log, expected: Vec::new(), _dir: dir }
    }

    /// Warnings and errors whose line contains `part` are part of this test.
    pub fn expecting(mut self, part: &'static str) -> Self {
        self.expected.push(part);
        self
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(self) -> Self {
        let url = format!("http://{}/readyz", self.admin);
        let ready = super::until("readiness", || async {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()).then_some(())
        });
        if tokio::time::timeout(PATIENCE, ready).await.is_err() {
            panic!("{} is not ready:\n{}", self.kind, self.tail());
        }
        self
    }

    /// The admin endpoint, `http://host:port`.
    pub fn admin(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The process's ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// Starts it again with the same config.
    pub fn restart(&mut self) {
        self.child = spawn(self.kind, &self.config, &self.log);
    }

    /// SIGTERM, and waits until it has drained and ended well; gives its log.
    pub fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill(1) runs");
        assert!(sent.success());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                break status;
            }
            assert!(Instant::now() < deadline, "{} does not stop:\n{}", self.kind, self.tail());
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{} ended with {status}:\n{}", self.kind, self.tail());
        self.check_log();
        std::fs::read_to_string(&self.log).expect("the log is text")
    }

    /// Fails on warnings and errors that the test does not expect.
    pub fn check_log(&self) {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let unexpected: Vec<&str> = text
            .lines()
            .filter(|line| match serde_json::from_str::<Value>(line) {
                Ok(entry) => matches!(entry["level"].as_str(), Some("WARN" | "ERROR")),
                Err(_) => !line.trim().is_empty(),
            })
            .filter(|line| !self.expected.iter().any(|part| line.contains(part)))
            .collect();
        assert!(unexpected.is_empty(), "{} warned unexpectedly:\n{}", self.kind, unexpected.join("\n"));
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn spawn(kind: &str, config: &Path, log: &Path) -> Child {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("the log opens");
    Command::new(BINARY)
        .arg(kind)
        .arg("--config")
        .arg(config)
        .env("SHADOW_MASKING_KEY", super::MASKING_KEY)
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("the log is shared"))
        .stderr(file)
        .spawn()
        .expect("the service starts")
}
