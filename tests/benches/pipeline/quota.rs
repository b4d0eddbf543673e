//! Shares of a core for single processes, by the kernel's control groups: what `cpus:` of docker-compose does. Needs root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Of all groups made here; the process's number follows.
const PREFIX: &str = "shadowline-bench-";
/// The kernel's usual one, which Docker takes too.
const PERIOD_US: u32 = 100_000;
/// How long a group may still hold a process that was just waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where groups are made.
#[derive(Clone, Debug)]
pub(super) enum Controller {
    /// The first version's hierarchy for processor time.
    Separate(PathBuf),
    /// The second version's one hierarchy.
    Unified(PathBuf),
}

impl Controller {
    /// Finds it, and removes what an earlier run that was killed has left there.
    ///
    /// # Errors
    /// Where none is mounted, or it may not be written to; with the remedy.
    pub(super) fn find() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| format!("/proc/self/mounts: {error}"))?;
        let found = mounts.lines().find_map(Self::of_mount);
        let controller = found.ok_or(
            "no control group of the kernel shares out processor time here: run it on a host that has one mounted",
        )?;
        if let Self::Unified(root) = &controller {
            // Already so under systemd.
            fs::write(root.join("cgroup.subtree_control"), "+cpu").map_err(|error| refused(root, &error))?;
        }
        for left in fs::read_dir(controller.root()).into_iter().flatten().flatten() {
            if left.file_name().to_string_lossy().starts_with(PREFIX) {
                // One that holds processes is another run's, and stays.
                let _ = fs::remove_dir(left.path());
            }
        }
        // Whether it may be written to shows before anything else is started.
        controller.group("probe", 0.5).map(|_| controller)
    }

    fn of_mount(line: &str) -> Option<Self> {
        let mut fields = line.split(' ').skip(1);
        let (root, kind, options) = (PathBuf::from(fields.next()?), fields.next()?, fields.next()?);
        match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => Some(Self::Separate(root)),
            "cgroup2" => {
                let controllers = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
                controllers.split_whitespace().any(|name| name == "cpu").then_some(Self::Unified(root))
            }
            _ => None,
        }
    }

    fn root(&self) -> &Path {
        match self {
            Self::Separate(root) | Self::Unified(root) => root,
        }
    }

    /// A group that has `share` of one core.
    ///
    /// # Errors
    /// Where it cannot be made; with the remedy.
    pub(super) fn group(&self, name: &str, share: f64) -> Result<Group, String> {
        let dir = self.root().join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| refused(&dir, &error))?;
        let group = Group(dir);
        let quota = (share * f64::from(PERIOD_US)).round();
        let set = |file: &str, text: String| {
            let path = group.0.join(file);
            fs::write(&path, text).map_err(|error| refused(&path, &error))
        };
        match self {
            Self::Separate(_) => {
                set("cpu.cfs_period_us", PERIOD_US.to_string())?;
                set("cpu.cfs_quota_us", quota.to_string())?;
            }
            Self::Unified(_) => set("cpu.max", format!("{quota} {PERIOD_US}"))?,
        }
        Ok(group)
    }
}

fn refused(path: &Path, error: &io::Error) -> String {
    format!(
        "{}: {error}: holding processes to a share of a core needs root and control groups that may be written to",
        path.display()
    )
}

/// A control group; dropping it removes it, which its processes must not outlive.
pub(super) struct Group(PathBuf);

impl Group {
    /// Moves a process with all its threads into it.
    pub(super) fn take(&self, process: u32) {
        fs::write(self.0.join("cgroup.procs"), process.to_string()).expect("a group that root made takes processes");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while fs::remove_dir(&self.0).is_err() && self.0.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
