//! One server process: started under a supervisor, polled until it answers, killed, restarted and stopped.
//!
//! Guarantee: when a method returns that ends the server, the server has been reaped, so its port and its files are
//! free for a restart.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::launcher::{Ending, FREEZE, KILL, STARTED_AS_LAUNCHER, SUPERVISED, SuperviseArgs, THAW};
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

/// How a program that was run to its end went.
pub(crate) struct Finished {
    pub(crate) success: bool,
    /// What it wrote to standard output and standard error.
    pub(crate) text: String,
}

/// Runs a program to its end in `dir`, under a supervisor: if the owner is killed meanwhile, the program ends and
/// `dir` is removed. Dropping the future kills the program and waits for it.
pub(crate) async fn run_to_end<S: AsRef<OsStr>>(
    launcher: &Launcher,
    program: &Path,
    args: impl IntoIterator<Item = S>,
    dir: &Path,
    lifetime: DataLifetime,
) -> Result<Finished, DevstackError> {
    let failed = |error| DevstackError::io("run", program, error);
    let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    let run = ["run".into(), program.as_os_str().to_owned()].into_iter().chain(args);
    let remove = (lifetime == DataLifetime::Temporary).then(|| dir.to_path_buf());
    let supervise = SuperviseArgs { remove, ending: Ending::AtOnce, command: launcher.command(run) }.into_args();
    let command = launcher.command(supervise);
    let (mut reader, writer) = std::io::pipe().map_err(failed)?;
    let mut supervised = Supervised::spawn(&command, dir, writer.into()).map_err(failed)?;
    let output = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        // It ends when the program and its supervisor have.
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    let output = output.await.expect("reading a pipe does not panic").map_err(failed)?;
    let status = supervised.0.wait().map_err(failed)?;
    let text = String::from_utf8_lossy(&output);
    if !text.contains(SUPERVISED) {
        return Err(DevstackError::NotALauncher);
    }
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with(SUPERVISED)).collect();
    Ok(Finished { success: status.success(), text: text.join("\n") })
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

impl Spec {
    fn spawn(&self, log: &Log) -> Result<Supervised, DevstackError> {
        let remove = (self.lifetime == DataLifetime::Temporary).then(|| self.dir.clone());
        let mode = SuperviseArgs { remove, ending: Ending::Orderly, command: self.command.clone() }.into_args();
        let output = log.file.try_clone().map_err(|error| DevstackError::io("open", &log.path, error))?;
        Supervised::spawn(&self.launcher.command(mode), &self.dir, output.into())
            .map_err(|error| DevstackError::io("run", &self.launcher.program, error))
    }
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
    running: Option<Running>,
}

/// A started server and the log of this run.
struct Running {
    supervisor: Supervised,
    log: Log,
}

impl Running {
    /// Why the server has ended by itself, if it has.
    fn failure(&mut self, spec: &Spec) -> Result<Option<StartFailure>, DevstackError> {
        let status = self.supervisor.0.try_wait();
        let status = status.map_err(|source| DevstackError::Io { doing: format!("wait for {}", spec.name), source })?;
        Ok(status.map(|status| StartFailure::of_exit(status.code(), &self.log.text(), SUPERVISED)))
    }
}

impl ServerProcess {
    /// A server that this stack did not start.
    pub(crate) fn not_owned(name: &'static str) -> Self {
        Self { name, spec: None, running: None }
    }

    /// Starts a server and waits until it answers.
    pub(crate) async fn start(spec: Spec) -> Result<Self, DevstackError> {
        let mut server = Self { name: spec.name, spec: Some(spec), running: None };
        server.restart().await?;
        Ok(server)
    }

    /// Kills the server as `kill -9` would, and waits until it is gone. Does nothing when it is not running.
    ///
    /// # Errors
    /// When the server is not one of this stack's processes.
    pub fn kill(&mut self) -> Result<(), DevstackError> {
        self.spec.as_ref().ok_or(DevstackError::NotOwned(self.name))?;
        self.running = None;
        Ok(())
    }

    /// Tells when the server has ended by itself, for instance on a full disk, with the cause and its last words.
    ///
    /// # Errors
    /// [`DevstackError::Ended`] when it has. A server that was killed on purpose, or is not this stack's, is no error.
    pub fn check(&mut self) -> Result<(), DevstackError> {
        let (Some(spec), Some(running)) = (&self.spec, &mut self.running) else { return Ok(()) };
        match running.failure(spec)? {
            None => Ok(()),
            Some(failure) => {
                let (log, tail) = running.log.keep(spec);
                Err(DevstackError::Ended { server: spec.name, failure, log, tail })
            }
        }
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
        let running = self.running.as_mut().ok_or(DevstackError::NotOwned(self.name))?;
        running.supervisor.tell(command);
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
        let supervisor = spec.spawn(&log)?;
        // Held by `self` from here on: when this future is dropped, the server does not go on starting.
        let running = self.running.insert(Running { supervisor, log });
        let deadline = Instant::now() + spec.deadline;
        let failure = loop {
            if let Some(failure) = running.failure(spec)? {
                break failure;
            }
            if spec.probe.answers().await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                break StartFailure::TimedOut(spec.deadline);
            }
            tokio::time::sleep(POLL).await;
        };
        let (log, tail) = running.log.keep(spec);
        self.running = None;
        Err(DevstackError::Start { server: spec.name, failure, log, tail })
    }

    /// Ends the server in an orderly way and waits until it is gone.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let ended = tokio::task::spawn_blocking(move || running.supervisor.stop());
            ended.await.expect("waiting for a process does not panic");
        }
    }

    /// The process ID of the server's supervisor while it runs, for those who look at the process from outside.
    pub fn supervisor_id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.supervisor.0.id())
    }
}

/// A supervisor with the pipe that carries this process's life to it. Dropping it kills what it supervises and waits.
struct Supervised(Child);

impl Supervised {
    /// Starts a supervisor in a process group of its own, so that Ctrl-C in a terminal reaches the owner alone, which
    /// needs the servers while it drains.
    fn spawn(command: &[OsString], dir: &Path, output: OwnedFd) -> std::io::Result<Self> {
        let errors = output.try_clone()?;
        let mut command_line = Command::new(&command[0]);
        command_line
            .args(&command[1..])
            .current_dir(dir)
            .env(STARTED_AS_LAUNCHER, "1")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        command_line.spawn().map(Self)
    }

    /// Sends a command.
    fn tell(&mut self, command: u8) {
        if let Some(pipe) = &mut self.0.stdin {
            // A broken pipe means that the server has just ended.
            let _ = pipe.write_all(&[command]);
        }
    }

    /// Closes the pipe, on which the server ends in an orderly way, and waits until it is gone.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        // Waiting fails only for a process that was waited for already.
        let _ = self.0.wait();
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.tell(KILL);
        // `wait` would close the pipe first, which asks for the data to be removed.
        let pipe = self.0.stdin.take();
        let _ = self.0.wait();
        drop(pipe);
    }
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

    /// Where the log can be read after the stack is gone, and its last lines. A temporary log is copied to the cache,
    /// one per server.
    fn keep(&self, spec: &Spec) -> (PathBuf, String) {
        let tail = cache::last_lines(&self.text(), LOG_LINES);
        if spec.lifetime == DataLifetime::Kept {
            return (self.path.clone(), tail);
        }
        let copy = || {
            let kept = cache::root().ok()?.join(format!("{}-failed.log", spec.name.to_lowercase()));
            fs::copy(&self.path, &kept).ok().map(|_| kept)
        };
        (copy().unwrap_or_else(|| self.path.clone()), tail)
    }
}

/// Creates a server's directory.
pub(crate) fn create_dir(dir: &Path) -> Result<(), DevstackError> {
    fs::create_dir_all(dir).map_err(|error| DevstackError::io("create", dir, error))
}
