//! A process of the benchmark: pinned from its first instruction, ended with the benchmark however that ends.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::cpus;

/// How long a process may take to listen or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a process runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its cores.
    pub cpus: Vec<usize>,
    /// Only in time that nobody else wants.
    pub idle: bool,
}

impl Place {
    /// On these cores like anybody else.
    pub fn on(cpus: &[usize]) -> Self {
        Self { cpus: cpus.to_vec(), idle: false }
    }

    /// The words before a command that put it there.
    pub fn prefix(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["taskset".into(), "-c".into(), cpus::list(&self.cpus).into()];
        if self.idle {
            words.extend(["chrt", "--idle", "0"].map(OsString::from));
        }
        words
    }
}

/// A running process; dropping it kills it and waits.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` at a place; both its outputs go to `log`.
    pub fn start(name: &str, command: &[OsString], env: &[(&str, &str)], place: &Place, log: &Path) -> Self {
        let out = OpenOptions::new().create(true).append(true).open(log).expect("the log opens");
        // Both wrappers (util-linux) become the program itself. The signal is for a benchmark that is itself killed.
        let mut words: Vec<OsString> = ["setpriv", "--pdeathsig", "KILL"].map(OsString::from).to_vec();
        words.extend(place.prefix());
        words.extend_from_slice(command);
        let child = Command::new(&words[0])
            .args(&words[1..])
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("the log is shared"))
            .stderr(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start with setpriv and taskset of util-linux: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Waits until something listens at `address`.
    ///
    /// # Errors
    /// When it ends before, or takes too long; with the end of its log.
    pub fn listening(mut self, address: SocketAddr) -> Result<Self, String> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended with {status}:\n{}", self.name, self.tail()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not listen:\n{}", self.name, self.tail()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// SIGSTOP.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL, and waits.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// SIGTERM, and waits; killed when it takes too long.
    pub fn stop(&mut self) {
        if !self.lives() {
            return;
        }
        self.thaw();
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while self.lives() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(self.child.id() as i32).expect("a child has a number");
        // It may have ended by itself.
        let _ = kill_process(process, signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In order, because nginx's master takes its workers along only then.
        self.stop();
    }
}
