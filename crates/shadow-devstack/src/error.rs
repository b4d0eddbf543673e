//! Everything that can keep the stack from running, each with its cause and a remedy.

use std::fmt;
use std::path::{Path, PathBuf};

/// An error of the development stack. Its message names the cause and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevstackError {
    /// A program that is needed is not on `PATH`.
    #[error("{program} is needed {purpose} but is not on PATH: {remedy}")]
    MissingProgram {
        /// The program's name.
        program: &'static str,
        /// What it is needed for.
        purpose: &'static str,
        /// How to get it, or how to do without.
        remedy: &'static str,
    },
    /// Java is there but cannot run Kafka.
    #[error("Apache Kafka needs Java {needed} or newer, but `java -version` says: {found}; install a newer one")]
    JavaVersion {
        /// The oldest major version that will do.
        needed: u32,
        /// What `java -version` printed.
        found: String,
    },
    /// There is no ClickHouse library for this machine.
    #[error(
        "there is no ClickHouse library for {0}: put a `clickhouse` binary on PATH, or point SHADOW_CLICKHOUSE_URL at \
         a running server"
    )]
    UnsupportedPlatform(&'static str),
    /// Apache Kafka cannot be had, and a stand-in is not acceptable here.
    #[error("CI=true asks for Apache Kafka, not for a stand-in, and it cannot be had: {0}")]
    ApacheRequired(Box<DevstackError>),
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("no place to cache the servers: set HOME or XDG_CACHE_HOME")]
    NoCacheDirectory,
    /// A download could not reach its registry.
    #[error("cannot fetch {what}: no connection to its registry. Check the network and the proxy settings.\n{output}")]
    Offline {
        /// What was being fetched.
        what: &'static str,
        /// The end of the client's output.
        output: String,
    },
    /// A download failed for another reason.
    #[error("cannot fetch {what}: `{command}` failed.\n{output}")]
    Fetch {
        /// What was being fetched.
        what: &'static str,
        /// The client that failed.
        command: String,
        /// The end of the client's output.
        output: String,
    },
    /// A fetched file is not the one this crate was built for.
    #[error("{path} has SHA-256 {actual}, expected {expected}: what was fetched is damaged or was tampered with")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The digest this crate knows.
        expected: &'static str,
        /// The digest of what was fetched.
        actual: String,
    },
    /// No space left on a device.
    #[error("no space left on the device that holds {0}: free some, or choose another directory")]
    DiskFull(PathBuf),
    /// A port that was asked for is taken.
    #[error(
        "port {port} for {server} is already in use: stop the program that listens there (`ss -ltnp 'sport = :{port}'` \
         names it), choose another port, or 0 for any free one"
    )]
    PortInUse {
        /// The port.
        port: u16,
        /// The server that was to listen on it.
        server: &'static str,
    },
    /// Another stack runs on the same data directory.
    #[error("{0} is in use by another development stack: stop that one, or choose another directory")]
    DataDirInUse(PathBuf),
    /// A server ended, or did not answer in time, while it was being started.
    #[error("{server} did not start: {failure}. Its log is {}{}", log.display(), Tail(tail))]
    Start {
        /// The server.
        server: &'static str,
        /// The cause.
        failure: StartFailure,
        /// The server's whole log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A server that had started ended by itself.
    #[error("{server} ended: {failure}. Its log is {}{}", log.display(), Tail(tail))]
    Ended {
        /// The server.
        server: &'static str,
        /// The cause.
        failure: StartFailure,
        /// The server's whole log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The launcher's process did not act as one: its `main` does not hand over to the launcher.
    #[error(
        "the launcher did not act as one: call `shadow_devstack::launcher_requested()` first thing in its main, or \
         pass another launcher to the builder"
    )]
    NotALauncher,
    /// The server was not started by this stack, so this stack does not kill or restart it.
    #[error("{0} is not a process of this stack")]
    NotOwned(&'static str),
    /// A topic could not be created.
    #[error("cannot create topic {name}: {reason}")]
    Topic {
        /// The topic.
        name: String,
        /// The broker's answer.
        reason: String,
    },
    /// The Kafka client failed.
    #[error("the Kafka client failed: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A file or a process could not be handled.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, as in "cannot ...".
        doing: String,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl DevstackError {
    /// Wraps an I/O error; a full disk gets its own variant, since its remedy is another one.
    pub(crate) fn io(verb: &str, path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull(path.to_path_buf());
        }
        Self::Io { doing: format!("{verb} {}", path.display()), source }
    }
}

/// Why a server did not start, or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFailure {
    /// A port it wanted was taken meanwhile.
    PortInUse,
    /// No space left on its device.
    DiskFull,
    /// Java is older than the server's classes.
    JavaTooOld,
    /// Java could not get its memory.
    OutOfMemory,
    /// The launcher is not one: its `main` does not call [`launcher_main`](crate::launcher_main).
    NotALauncher,
    /// It ended by itself.
    Exited(Option<i32>),
    /// It did not answer before the deadline.
    TimedOut(std::time::Duration),
}

impl StartFailure {
    /// Reads the cause from what the server wrote before it ended.
    pub(crate) fn of_exit(code: Option<i32>, log: &str, marker: &str) -> Self {
        let says = |text: &str| log.contains(text);
        if !says(marker) {
            Self::NotALauncher
        } else if says("Address already in use") {
            Self::PortInUse
        } else if says("No space left on device") || says("NOT_ENOUGH_SPACE") {
            Self::DiskFull
        } else if says("UnsupportedClassVersionError") {
            Self::JavaTooOld
        } else if says("OutOfMemoryError") || says("Could not reserve enough space") || says("Cannot allocate memory") {
            Self::OutOfMemory
        } else {
            Self::Exited(code)
        }
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortInUse => write!(f, "a port it wanted was taken meanwhile; start again"),
            Self::DiskFull => write!(f, "no space left on the device that holds its data; free some and start again"),
            Self::JavaTooOld => write!(f, "this Java is too old for it; install Java 17 or newer"),
            Self::OutOfMemory => write!(f, "there is not enough memory for it; end other programs and start again"),
            Self::NotALauncher => {
                write!(f, "the launcher did not act as one; its main must call shadow_devstack::launcher_main()")
            }
            Self::Exited(Some(code)) => write!(f, "it ended with exit code {code}"),
            Self::Exited(None) => write!(f, "it was ended by a signal"),
            Self::TimedOut(after) => write!(f, "it did not answer within {} s", after.as_secs()),
        }
    }
}

/// The last lines of a log, set off from the message; nothing when there are none.
struct Tail<'a>(&'a str);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; it ends:\n{}", self.0) }
    }
}
