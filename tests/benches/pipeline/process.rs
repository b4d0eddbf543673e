//! What processes take of the machine: memory, processor time, and how idle its cores are meanwhile.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use super::cpus::{self, Cpus, Ticks};
use super::support::Service;

/// Current and most resident memory of a process in MiB.
pub(super) fn memory(process: u32) -> (u64, u64) {
    let (now, most) = cpus::memory(process);
    (now / 1024, most / 1024)
}

pub(super) fn say_memory(what: &str, services: &[(&str, &Service)]) {
    for (name, service) in services {
        let (now, most) = memory(service.id());
        println!("{what}: {name}: {now} MiB resident, {most} MiB at most");
    }
}

/// Processor time of a process, user and system.
pub(super) fn cpu(process: u32) -> Duration {
    let fields = stat(process).unwrap_or_default();
    let ticks: u64 = fields.iter().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    // A tick is 1/100 s to every program on Linux.
    Duration::from_millis(ticks * 10)
}

/// The fields of `/proc/PID/stat` behind the name: the state first, then the parent.
fn stat(process: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// The server below a supervisor: of the processes that descend from it the one with the most memory.
pub(super) fn server_below(supervisor: u32) -> u32 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: HashMap<u32, u32> = numbers.filter_map(|id| Some((id, stat(id)?.get(1)?.parse().ok()?))).collect();
    let descends = |id: &u32| std::iter::successors(parents.get(id), |id| parents.get(id)).any(|id| *id == supervisor);
    let below = parents.keys().copied().filter(|id| descends(id));
    below.max_by_key(|id| cpus::memory(*id).0).unwrap_or(supervisor)
}

/// The machine's cores at one moment.
pub(super) struct Cores(Vec<Ticks>);

impl Cores {
    pub(super) fn now() -> Self {
        Self(Cpus::divide().all().into_iter().map(Ticks::of).collect())
    }

    /// The share of all cores' time since `earlier` in which nobody computed; what the hypervisor took counts as busy.
    pub(super) fn idle_since(&self, earlier: &Self) -> f64 {
        let busy: f64 = self.0.iter().zip(&earlier.0).map(|(now, earlier)| now.since(*earlier).0).sum();
        1.0 - busy / self.0.len().max(1) as f64
    }
}
