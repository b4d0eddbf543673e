//! A disk that is full: a tmpfs of a few pages, filled to the last byte. Mounting needs root.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted disk; dropping it unmounts it.
pub struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// Mounts one of 4 MiB.
    ///
    /// # Errors
    /// Why it cannot be mounted.
    pub fn mount() -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(dir.path()).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self { dir }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("mount: {error}")),
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Writes until nothing fits any more.
    pub fn fill(&self) {
        fill(self.dir.path());
    }
}

/// Fills the disk of `dir` again, should something on it have been freed. Only for a small disk of our own.
fn fill(dir: &Path) {
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(dir.join("ballast")).expect("a file opens");
    let mut piece = vec![0; 64 * 1024];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.dir.path()).output());
    }
}
