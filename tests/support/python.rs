//! A Python with a package from PyPI, installed once into the user's cache directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The interpreter of an environment that has `package` (`name==version`). `None`, with one line that says why, where it cannot be had; with
/// `CI` set that is a failure.
pub(crate) fn python_with(package: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let folder = cache.join("shadowline").join(package.replace("==", "-"));
    let (python, finished) = (folder.join("bin/python"), folder.join("finished"));
    if finished.exists() {
        return Some(python);
    }
    let step = |program: &Path, args: &[&str]| {
        let output =
            Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    std::fs::create_dir_all(&folder).unwrap();
    let made = step(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()])
        .and_then(|()| step(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]));
    match made {
        Ok(()) => {
            std::fs::write(finished, "").unwrap();
            Some(python)
        }
        Err(trouble) => {
            assert!(std::env::var_os("CI").is_none(), "no {package}: {trouble}");
            println!("skipped: no {package} (install the packages python3 and python3-venv): {trouble}");
            None
        }
    }
}
