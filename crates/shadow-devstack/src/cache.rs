//! The user's cache of servers: each is fetched once, whole or not at all.
//!
//! A server is fetched into a temporary directory beside its final place and renamed when it is complete and checked.
//! A file lock makes concurrent stacks (parallel tests) fetch once and wait for each other.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::DevstackError;
use crate::process::{DataLifetime, Finished, Launcher, run_to_end};

/// Written into a directory when it is complete.
const MARKER: &str = ".complete";
/// Prefix of directories that are being filled.
const PARTIAL: &str = ".partial-";
/// Lines of a failed client's output that an error quotes.
const OUTPUT_LINES: usize = 12;

/// `$XDG_CACHE_HOME/shadowline` or `~/.cache/shadowline`.
pub(crate) fn root() -> Result<PathBuf, DevstackError> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let root = base.ok_or(DevstackError::NoCacheDirectory)?.join("shadowline");
    fs::create_dir_all(&root).map_err(|error| DevstackError::io("create", &root, error))?;
    Ok(root)
}

/// The directory `name` of the cache when it is complete and `intact` agrees.
pub(crate) fn cached(name: &str, intact: impl Fn(&Path) -> bool) -> Result<Option<PathBuf>, DevstackError> {
    let dir = root()?.join(name);
    Ok((dir.join(MARKER).is_file() && intact(&dir)).then_some(dir))
}

/// The directory `name` of the cache; `fetch` fills it first when it is missing, incomplete or not `intact`.
pub(crate) async fn ensure<I, F>(name: &str, intact: I, fetch: F) -> Result<PathBuf, DevstackError>
where
    I: Fn(&Path) -> bool,
    F: AsyncFnOnce(&Path) -> Result<(), DevstackError>,
{
    if let Some(dir) = cached(name, &intact)? {
        return Ok(dir);
    }
    let root = root()?;
    let _lock = lock(root.join(format!("{name}.lock"))).await?;
    if let Some(dir) = cached(name, &intact)? {
        return Ok(dir);
    }
    remove_leftovers(&root, name);
    let partial = tempfile::Builder::new()
        .prefix(&format!("{PARTIAL}{name}-"))
        .tempdir_in(&root)
        .map_err(|error| DevstackError::io("create a directory in", &root, error))?;
    fetch(partial.path()).await?;
    let marker = partial.path().join(MARKER);
    fs::write(&marker, "").map_err(|error| DevstackError::io("write", &marker, error))?;

    let dir = root.join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(|error| DevstackError::io("remove", &dir, error))?;
    }
    fs::rename(partial.path(), &dir).map_err(|error| DevstackError::io("create", &dir, error))?;
    Ok(dir)
}

/// Takes an exclusive lock, waiting for whoever holds it; released when the file is dropped, or its process ends.
async fn lock(path: PathBuf) -> Result<File, DevstackError> {
    let locked = tokio::task::spawn_blocking(move || {
        let take = || {
            let file = File::create(&path)?;
            file.lock()?;
            Ok(file)
        };
        take().map_err(|error| DevstackError::io("lock", &path, error))
    });
    locked.await.expect("taking a lock does not panic")
}

/// Removes what an earlier fetch left when it was killed. Called under the lock, so none is under way.
fn remove_leftovers(root: &Path, name: &str) {
    let prefix = format!("{PARTIAL}{name}-");
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // Only space is lost when this fails; a fetch that runs out of it says so.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A program's place on `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(executable)
}

/// Runs a registry's client (npm, Maven) to its end; `what` it fetches goes into `into`.
pub(crate) async fn run_client<S: AsRef<OsStr>>(
    launcher: &Launcher,
    what: &'static str,
    program: &Path,
    args: impl IntoIterator<Item = S>,
    into: &Path,
) -> Result<(), DevstackError> {
    let Finished { success, text } = run_to_end(launcher, program, args, into, DataLifetime::Temporary).await?;
    if success {
        return Ok(());
    }
    let says = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
    if says(&["ENOSPC", "No space left on device"]) {
        return Err(DevstackError::DiskFull(into.to_path_buf()));
    }
    let output = last_lines(&text, OUTPUT_LINES);
    if says(&["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH"])
        || says(&["Unknown host", "Connection refused", "Network is unreachable", "Connect to ", "in offline mode"])
    {
        return Err(DevstackError::Offline { what, output });
    }
    Err(DevstackError::Fetch { what, command: program.display().to_string(), output })
}

/// The last `count` lines of `text` that are not blank.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
