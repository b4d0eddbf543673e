//! What the kernel knows of this process, read when it is asked for. Shows nothing where there is no `/proc`.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct Process;

/// Fields of `/proc/self/stat` that are of use.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: u64,
    threads: i64,
    resident_pages: i64,
}

impl Stat {
    /// The name of the process, in parentheses, may hold anything, so the fields count from the last `)`.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // The first field after the name is number 3 in proc(5).
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            cpu_ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
            threads: field(20)?.parse().ok()?,
            resident_pages: field(24)?.parse().ok()?,
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        if let Some(stat) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
            let resident = stat.resident_pages.saturating_mul(rustix::param::page_size() as i64);
            put(&mut encoder, "resident_memory", "Memory in RAM", Some(&Unit::Bytes), &ConstGauge::new(resident))?;
            let seconds = stat.cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
            put(&mut encoder, "cpu", "CPU time used", Some(&Unit::Seconds), &ConstCounter::new(seconds))?;
            put(&mut encoder, "threads", "Threads", None, &ConstGauge::new(stat.threads))?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            put(&mut encoder, "open_fds", "Open file descriptors", None, &ConstGauge::new(open.count() as i64))?;
        }
        Ok(())
    }
}

fn put(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> Result<(), std::fmt::Error> {
    let name = format!("process_{name}");
    let descriptor = encoder.encode_descriptor(&name, help, unit, metric.metric_type())?;
    metric.encode(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_process_may_hold_parentheses() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 200 0 0 0 31 11 0 0 20 0 5 0 8000 9000000 321 18446744073709551615";
        assert_eq!(Stat::parse(stat), Some(Stat { cpu_ticks: 42, threads: 5, resident_pages: 321 }));
        assert_eq!(Stat::parse("7 (x) S"), None);
    }
}
