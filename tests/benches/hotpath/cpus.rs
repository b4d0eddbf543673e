//! Which core does what, and how busy it was.
//!
//! The proxy under test has one core. The load generator and the origin share another. Kafka and everything else behind the
//! agent runs on the remaining cores, or beside the load where a machine has only two, and then only in time nobody else wants.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Proxy threads by name, most telling first: the first prefix that any thread of the process has is the one. The last is what
/// tokio calls its workers.
const PROXY_THREADS: [&str; 2] = ["proxy-", "tokio-rt-worker"];

/// The division of the cores.
#[derive(Clone, Debug)]
pub struct Cpus {
    /// The proxy's.
    pub proxy: usize,
    /// The generator's and the origin's.
    pub load: usize,
    /// Everybody else's.
    pub rest: Vec<usize>,
}

impl Cpus {
    /// Of the cores that this process may use, in their order: `taskset -c` chooses others, such as no two of one physical core.
    pub fn divide() -> Self {
        let allowed = sched_getaffinity(None).expect("the kernel tells a process its cores");
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let [proxy, load, rest @ ..] = allowed.as_slice() else {
            panic!("the benchmark needs two cores: one for the proxy, one for its load");
        };
        Self { proxy: *proxy, load: *load, rest: if rest.is_empty() { vec![*load] } else { rest.to_vec() } }
    }

    /// Whether Kafka must share a core with the generator.
    pub fn crowded(&self) -> bool {
        self.rest == [self.load]
    }

    /// Every core.
    pub fn all(&self) -> Vec<usize> {
        let mut all = vec![self.proxy, self.load];
        all.extend(self.rest.iter().filter(|cpu| **cpu != self.load));
        all
    }
}

/// A list as `taskset -c` takes it.
pub fn list(cpus: &[usize]) -> String {
    cpus.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn set(cpus: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    set
}

/// Pins the calling thread.
pub fn pin_this_thread(cpus: &[usize]) {
    sched_setaffinity(None, &set(cpus)).expect("a thread may choose among its cores");
}

/// Pins every thread of a process, those named as proxy threads to `proxy` and the others to `others`. Gives how many were
/// proxy threads.
pub fn pin_process(process: u32, proxy: &[usize], others: &[usize]) -> usize {
    let threads = threads(process);
    let prefix = PROXY_THREADS.iter().find(|prefix| threads.iter().any(|(_, name)| name.starts_with(**prefix)));
    let prefix = prefix.expect("the agent has threads named as PROXY_THREADS says");
    let mut found = 0;
    for (id, name) in &threads {
        let proxying = name.starts_with(prefix);
        found += usize::from(proxying);
        // A thread may have ended since it was listed.
        let _ = sched_setaffinity(Pid::from_raw(*id), &set(if proxying { proxy } else { others }));
    }
    found
}

/// Number and name of every thread of a process.
fn threads(process: u32) -> Vec<(i32, String)> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, name.trim().to_owned()))
    });
    named.collect()
}

/// Resident memory of a process in KiB, now and at most.
pub fn memory(process: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Raises the limit on open files of this process and its children towards `wanted`, and gives what it is then.
pub fn raise_open_files(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let current = now.current.unwrap_or(u64::MAX);
    let hard = now.maximum.unwrap_or(u64::MAX);
    // Beyond the hard limit needs a privilege that even root may lack in a container.
    [(wanted, wanted.max(hard)), (wanted.min(hard), hard)]
        .into_iter()
        .filter(|(soft, _)| *soft > current)
        .find(|(soft, hard)| setrlimit(Resource::Nofile, Rlimit { current: Some(*soft), maximum: Some(*hard) }).is_ok())
        .map_or(current, |(soft, _)| soft)
}

/// What the kernel counted for one core: clock ticks in all, idle, and taken by the hypervisor.
#[derive(Clone, Copy)]
pub struct Ticks {
    all: u64,
    idle: u64,
    stolen: u64,
}

impl Ticks {
    /// Of one core, now.
    pub fn of(cpu: usize) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().find(|line| line.split_whitespace().next() == Some(&format!("cpu{cpu}")));
        let fields = line.unwrap_or_default().split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
        let at = |n: usize| ticks.get(n).copied().unwrap_or(0);
        Self { all: ticks.iter().sum(), idle: at(3) + at(4), stolen: at(7) }
    }

    /// Shares of the time since: busy (stolen time included), and stolen.
    pub fn since(self, earlier: Self) -> (f64, f64) {
        let all = (self.all - earlier.all).max(1) as f64;
        (1.0 - self.idle.saturating_sub(earlier.idle) as f64 / all, (self.stolen - earlier.stolen) as f64 / all)
    }
}
