//! One server process: started under a supervisor, polled until it answers, killed, restarted and stopped.
//!
//! Guarantee: when a method returns that ends the server, the server has been reaped, so its port and its files are
//! free for a restart.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::launcher::{FREEZE, KILL, SUPERVISED, SuperviseArgs, THAW};
use crate::{DevstackError, StartFailure, cache};

mod probe;

pub(crate) use probe::Probe;

/// How often a starting server is asked whether it is ready.
const POLL: Duration = Duration::from_millis(20);
/// Lines of the log that an error quotes.
const LOG_LINES: usize = 12;

/// The program, and its leading arguments, that run [`launcher_main`](crate::launcher_main).
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl Launcher {
    /// A command line of the launcher.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, mode: impl IntoIterator<Item = S>) -> Vec<OsString> {
        let mut command = vec![self.program.clone().into_os_string()];
        command.extend(self.args.iter().cloned());
        command.extend(mode.into_iter().map(|arg| arg.as_ref().to_owned()));
        command
    }
}

/// Everything needed to start a server, and to start it again on the same port and data.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) launcher: Launcher,
    pub(crate) command: Vec<OsString>,
    /// Holds the data and the log.
    pub(crate) dir: PathBuf,
    pub(crate) lifetime: DataLifetime,
    pub(crate) probe: Probe,
    pub(crate) deadline: Duration,
}

/// What becomes of a server's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataLifetime {
    /// It stays.
    Kept,
    /// It goes with the stack.
    Temporary,
}

/// A server of the stack. Killing and restarting are for tests of what happens then.
pub struct ServerProcess {
    name: &'static str,
    /// `None` for a server that runs elsewhere or in this process.
    spec: Option<Spec>,
    supervisor: Option<Child>,
}

impl ServerProcess {
    /// A server that this stack did not start.
    pub(crate) fn not_owned(name: &'static str) -> Self {
        Self { name, spec: None, supervisor: None }
    }

    /// Starts a server and waits until it answers.
    pub(crate) async fn start(spec: Spec) -> Result<Self, DevstackError> {
        let mut server = Self { name: spec.name, spec: Some(spec), supervisor: None };
        server.restart().await?;
        Ok(server)
    }

    /// Kills the server as `kill -9` would, and waits until it is gone. Does nothing when it is not running.
    ///
    /// # Errors
    /// When the server is not one of this stack's processes.
    pub fn kill(&mut self) -> Result<(), DevstackError> {
        self.spec.as_ref().ok_or(DevstackError::NotOwned(self.name))?;
        if let Some(mut supervisor) = self.supervisor.take() {
            tell(&mut supervisor, KILL);
            wait(&mut supervisor);
        }
        Ok(())
    }

    /// Stops the server's threads: connections stay open and nothing answers, as when a machine hangs.
    ///
    /// # Errors
    /// When the server is not one of this stack's processes.
    pub fn freeze(&mut self) -> Result<(), DevstackError> {
        self.signal(FREEZE)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// When the server is not one of this stack's processes.
    pub fn thaw(&mut self) -> Result<(), DevstackError> {
        self.signal(THAW)
    }

    fn signal(&mut self, command: u8) -> Result<(), DevstackError> {
        let supervisor = self.supervisor.as_mut().ok_or(DevstackError::NotOwned(self.name))?;
        tell(supervisor, command);
        Ok(())
    }

    /// Kills the server if it runs, starts it on the same port and data, and waits until it answers.
    ///
    /// # Errors
    /// When the server is not one of this stack's processes, ends while starting, or does not answer in time.
    pub async fn restart(&mut self) -> Result<(), DevstackError> {
        self.kill()?;
        let spec = self.spec.as_ref().ok_or(DevstackError::NotOwned(self.name))?;
        let log = Log::open(spec)?;
        // Held by `self` from here on: when this future is dropped, the server does not go on starting.
        let supervisor = self.supervisor.insert(spawn(spec, &log)?);
        let deadline = Instant::now() + spec.deadline;
        let failure = loop {
            match supervisor.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => break StartFailure::of_exit(status.code(), &log.text(), SUPERVISED),
                Err(source) => return Err(DevstackError::Io { doing: format!("wait for {}", spec.name), source }),
            }
            if spec.probe.answers().await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                break StartFailure::TimedOut(spec.deadline);
            }
            tokio::time::sleep(POLL).await;
        };
        tell(supervisor, KILL);
        wait(supervisor);
        let tail = cache::last_lines(&log.text(), LOG_LINES);
        let error = DevstackError::Start { server: spec.name, failure, log: log.keep(spec), tail };
        self.supervisor = None;
        Err(error)
    }

    /// Ends the server in an orderly way and waits until it is gone.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            let ended = tokio::task::spawn_blocking(move || wait(&mut supervisor));
            ended.await.expect("waiting for a process does not panic");
        }
    }

    /// The process ID of the server's supervisor while it runs, for those who look at the process from outside.
    pub fn supervisor_id(&self) -> Option<u32> {
        self.supervisor.as_ref().map(Child::id)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The one error says that there is nothing to kill.
        let _ = self.kill();
    }
}

/// Sends a command to the supervisor.
fn tell(supervisor: &mut Child, command: u8) {
    if let Some(pipe) = &mut supervisor.stdin {
        // A broken pipe means that the server has just ended.
        let _ = pipe.write_all(&[command]);
    }
}

/// Waits until the supervisor, and with it the server, is gone.
fn wait(supervisor: &mut Child) {
    // It fails only for a process that was waited for already. The pipe stays open until the server has ended: its end
    // would ask for the data to be removed.
    let pipe = supervisor.stdin.take();
    let _ = supervisor.wait();
    drop(pipe);
}

/// Starts the supervisor in a process group of its own, so that Ctrl-C in a terminal reaches the owner alone, which
/// needs the servers while it drains.
fn spawn(spec: &Spec, log: &Log) -> Result<Child, DevstackError> {
    let remove = (spec.lifetime == DataLifetime::Temporary).then(|| spec.dir.clone());
    let mode = SuperviseArgs { remove, command: spec.command.clone() }.into_args();
    let command = spec.launcher.command(mode);
    let output = || log.file.try_clone().map_err(|error| DevstackError::io("open", &log.path, error));
    Command::new(&command[0])
        .args(&command[1..])
        .current_dir(&spec.dir)
        .env(crate::launcher::STARTED_AS_LAUNCHER, "1")
        .stdin(Stdio::piped())
        .stdout(output()?)
        .stderr(output()?)
        .process_group(0)
        .spawn()
        .map_err(|error| DevstackError::io("run", &spec.launcher.program, error))
}

/// A server's log, and where this run of the server began in it.
struct Log {
    path: PathBuf,
    file: File,
    start: u64,
}

impl Log {
    fn open(spec: &Spec) -> Result<Self, DevstackError> {
        let path = spec.dir.join("server.log");
        let failed = |error| DevstackError::io("open", &path, error);
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        let start = file.metadata().map_err(failed)?.len();
        Ok(Self { path, file, start })
    }

    /// What was written since this run began.
    fn text(&self) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.start))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }

    /// Where the log can be read after the stack is gone: temporary ones are copied to the cache, one per server.
    fn keep(&self, spec: &Spec) -> PathBuf {
        if spec.lifetime == DataLifetime::Kept {
            return self.path.clone();
        }
        let copy = || {
            let kept = cache::root().ok()?.join(format!("{}-failed.log", spec.name.to_lowercase()));
            fs::copy(&self.path, &kept).ok().map(|_| kept)
        };
        copy().unwrap_or_else(|| self.path.clone())
    }
}

/// Creates a server's directory.
pub(crate) fn create_dir(dir: &Path) -> Result<(), DevstackError> {
    fs::create_dir_all(dir).map_err(|error| DevstackError::io("create", dir, error))
}
