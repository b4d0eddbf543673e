//! Accounts as files of a directory: made, found, taken over, removed.
//!
//! A running agent holds its file's lock, which the kernel gives back when the process is gone however it went. So a file whose
//! lock is free is a dead agent's, and whoever holds that lock next is the one who settles it. A file gets its name ending only
//! when it is whole and locked.
//!
//! Guarantee: nothing is removed but what was settled, and no account of a running agent is ever taken for a dead one's.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::layout::{Kind, Label, Unreadable, encode};
use super::left::LeftAccount;
use super::page::{LEN, Page};

/// Ending of an account's file.
const ACCOUNT: &str = "account";
/// Ending while it is made.
const UNFINISHED: &str = "unfinished";
/// Ending of what was set aside: somebody should look at it.
const UNREADABLE: &str = "unreadable";
/// An unfinished file this old belongs to an agent that was killed while it made it, before it saw a request.
const ABANDONED: Duration = Duration::from_mins(1);
/// Most files of a directory that are looked at in one go.
const LISTED: usize = 4096;

/// A file of this process's, locked while this lives.
#[derive(Debug)]
pub(crate) struct AccountFile {
    path: PathBuf,
    /// Its lock goes with it.
    _locked: File,
}

impl AccountFile {
    /// Makes the file of a new account and maps it.
    ///
    /// # Errors
    /// No room, no right, or an account of that name: nothing is left behind then.
    pub(super) fn create(dir: &Path, label: &Label, counters: &[(Kind, String)]) -> io::Result<(Self, Page)> {
        let stem = format!("{}.{}.{}", label.service, label.instance, label.epoch);
        let (path, unfinished) = (dir.join(format!("{stem}.{ACCOUNT}")), dir.join(format!("{stem}.{UNFINISHED}")));
        if path.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let made = fill(&mut file, &encode(label, counters)).and_then(|page| {
            fs::rename(&unfinished, &path)?;
            Ok(page)
        });
        match made {
            Ok(page) => Ok((Self { path, _locked: file }, page)),
            Err(error) => {
                let _ = fs::remove_file(&unfinished);
                Err(error)
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it: its account is settled.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Locks, reserves, writes and maps a new file.
fn fill(file: &mut File, bytes: &[u8; LEN]) -> io::Result<Page> {
    file.try_lock()?;
    // A block that is missing when a counter is first touched would end the process. Here it is an error.
    rustix::fs::fallocate(&*file, FallocateFlags::empty(), 0, LEN as u64)?;
    file.write_all(bytes)?;
    Page::of(file)
}

/// A directory for accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    /// The operator's or the service manager's choice, and their care.
    Given(PathBuf),
    /// Made by the first agent of this user in a place where any user may make one.
    Usual(PathBuf),
}

impl Directory {
    /// Those to try in turn: the configured one, or the usual ones. Of these memory comes before any disk, since a page of a disk
    /// that is being written back can hold up who counts in it, and that is the traffic.
    pub(crate) fn candidates(configured: Option<&Path>) -> Vec<Self> {
        if let Some(configured) = configured {
            return vec![Self::Given(configured.to_owned())];
        }
        let given = std::env::var_os("RUNTIME_DIRECTORY").unwrap_or_default();
        // The service manager may give several, with colons between them.
        let given = std::env::split_paths(&given).find(|dir| dir.is_absolute()).map(Self::Given);
        let mut usual = [Path::new("/run"), Path::new("/dev/shm"), &std::env::temp_dir()];
        usual.sort_by_key(|parent| !in_memory(parent));
        given.into_iter().chain(usual.map(|parent| Self::Usual(parent.join("shadowline")))).collect()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        let (Self::Given(path) | Self::Usual(path)) = self;
        path
    }

    /// Makes sure of it.
    ///
    /// # Errors
    /// It cannot be made, or another user has prepared it.
    pub(super) fn ensure(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.path())?;
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        let Self::Usual(path) = self else { return Ok(()) };
        let found = fs::symlink_metadata(path)?;
        let whose = if !found.is_dir() {
            "it is not a directory"
        } else if found.uid() != rustix::process::geteuid().as_raw() {
            "it belongs to another user"
        } else if found.mode() & 0o022 != 0 {
            "other users may write there"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, whose))
    }
}

/// Whether a directory is a tmpfs.
fn in_memory(dir: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(dir).is_ok_and(|found| found.f_type as u64 == TMPFS)
}

/// One account's file as it was found.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// What it says, or why it says nothing.
    pub account: Result<LeftAccount, Unreadable>,
    /// Whether its agent still runs, or somebody is settling it now.
    pub held: bool,
}

/// Every account in a directory, oldest name first.
///
/// # Errors
/// The directory cannot be read.
pub fn survey(dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for path in files(dir, ACCOUNT)? {
        // Settled meanwhile, or another user's: not an account of ours either way.
        let Ok((file, bytes)) = open(&path) else { continue };
        found.push(Found { path, account: LeftAccount::read(&bytes), held: !lock(&file) });
    }
    Ok(found)
}

/// A dead agent's account, held by nobody else while this lives.
#[derive(Debug)]
pub(crate) struct Estate {
    /// What the agent counted.
    pub(crate) account: LeftAccount,
    /// Its file, to be removed when that is settled.
    pub(crate) file: AccountFile,
}

/// Takes over at most `most` accounts of dead agents that are `wanted`; what is no account is set aside.
pub(crate) fn take_over(dir: &Directory, most: usize, wanted: impl Fn(&Path, &LeftAccount) -> bool) -> Vec<Estate> {
    let mut taken = Vec::new();
    if dir.check().is_err() {
        return taken;
    }
    let dir = dir.path();
    for path in files(dir, ACCOUNT).unwrap_or_default() {
        if taken.len() == most {
            break;
        }
        // Only when it is known to be wanted is the lock worth taking: others look at it too.
        let Ok((file, bytes)) = open(&path) else { continue };
        let read = LeftAccount::read(&bytes);
        if read.as_ref().is_ok_and(|account| !wanted(&path, account)) || !lock(&file) {
            continue;
        }
        // Read again, now that nobody counts any more.
        match open(&path).map(|(_, bytes)| LeftAccount::read(&bytes)) {
            Ok(Ok(account)) => taken.push(Estate { account, file: AccountFile { path, _locked: file } }),
            Ok(Err(why)) => set_aside(&path, &why),
            Err(_) => {}
        }
    }
    tidy(dir);
    taken
}

/// Gets what is no account out of the way. That of another version stays for an agent which knows it.
fn set_aside(path: &Path, why: &Unreadable) {
    let file = path.display();
    if let Unreadable::Version(_) = why {
        tracing::debug!(%file, %why, "an account is left for an agent of its version");
        return;
    }
    let aside = path.with_extension(UNREADABLE);
    match fs::rename(path, &aside) {
        Ok(()) => tracing::warn!(
            %file, %why, aside = %aside.display(),
            "this is no account of an agent; set aside, and what it counted is not known: look at it, then remove it"
        ),
        Err(error) => {
            tracing::warn!(%file, %why, %error, "this is no account of an agent, and cannot be set aside; remove it")
        }
    }
}

/// Removes what agents left that were killed while they made a file.
fn tidy(dir: &Path) {
    for path in files(dir, UNFINISHED).unwrap_or_default() {
        let Ok((file, _)) = open(&path) else { continue };
        let age = file.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) && lock(&file) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn files(dir: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.take(LISTED).filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = entries.filter(|path| path.extension() == Some(OsStr::new(ending))).collect();
    files.sort();
    Ok(files)
}

/// The file and what stands in it, no more than tells whether it is an account.
fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(nofollow.bits() as i32).open(path)?;
    let mut bytes = Vec::new();
    (&file).take(LEN as u64 + 1).read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

/// Takes the lock, if it is free; the file's closing gives it back.
fn lock(file: &File) -> bool {
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(error)) => {
            tracing::debug!(%error, "cannot lock an account's file");
            false
        }
    }
}

#[cfg(test)]
mod tests;
