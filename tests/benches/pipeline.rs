//! The figures of the whole pipeline on this machine: `cargo bench -p shadow-tests --bench pipeline --
//! latency|throughput|unlimited|fresh|behind|outage|resources|scale`.
//!
//! Every service is a process of its own; Kafka and ClickHouse are the real ones. `docs/benchmarks.md` says what each figure
//! means and quotes a run.
//!
//! | File | What |
//! |---|---|
//! | `latency`, `throughput`, `unlimited`, `backlog`, `resources`, `scale` | the sub-commands |
//! | `bytes` | part of `resources`: what a request takes of disks |
//! | `setup`, `peers`, `deployment`, `member`, `quota` | what runs, and what it may use |
//! | `process`, `topic`, `hotpath/cpus`, `hotpath/stats` | what is read from outside, and what is made of it |
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    reason = "a benchmark that cannot go on fails, and prints its figures; its modules are nobody's interface"
)]

#[path = "../support.rs"]
mod support;

#[path = "pipeline/backlog.rs"]
mod backlog;
#[path = "pipeline/bytes.rs"]
mod bytes;
#[allow(dead_code, reason = "shared with the hot path, which uses the rest")]
#[path = "hotpath/cpus.rs"]
mod cpus;
#[path = "pipeline/deployment.rs"]
mod deployment;
#[path = "pipeline/latency.rs"]
mod latency;
#[path = "pipeline/member.rs"]
mod member;
#[path = "pipeline/peers.rs"]
mod peers;
#[path = "pipeline/process.rs"]
mod process;
#[path = "pipeline/quota.rs"]
mod quota;
#[path = "pipeline/resources.rs"]
mod resources;
#[path = "pipeline/scale.rs"]
mod scale;
#[path = "pipeline/setup.rs"]
mod setup;
#[allow(dead_code, reason = "shared with the hot path, which uses the rest")]
#[path = "hotpath/stats.rs"]
mod stats;
#[path = "pipeline/throughput.rs"]
mod throughput;
#[path = "pipeline/topic.rs"]
mod topic;
#[path = "pipeline/unlimited.rs"]
mod unlimited;

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use scale::Scale;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    if peers::served_as_peer().await {
        return ExitCode::SUCCESS;
    }
    let stop = shadow_runtime::lifecycle::shutdown_on_signal().expect("signals can be waited for");
    // What runs is ended, and control groups are removed, when the future is dropped.
    let ended = tokio::select! {
        ended = run() => ended,
        () = stop.cancelled() => Err("stopped".to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let seconds = |n| Ok::<_, String>(number(&args, n)?.map_or(MINUTE, Duration::from_secs));
    match args.first().map(String::as_str) {
        Some("latency") => latency::latency(MINUTE).await,
        Some("throughput") => throughput::throughput().await,
        Some("unlimited") => unlimited::unlimited().await,
        Some("fresh") => unlimited::fresh(MINUTE).await,
        Some("behind") => backlog::behind().await,
        Some("outage") => backlog::outage(number(&args, 1)?.unwrap_or(10)).await,
        Some("resources") => {
            let rates = [number(&args, 2)?, number(&args, 3)?].into_iter().flatten().collect::<Vec<u32>>();
            let rates = if rates.is_empty() { vec![500, 2_000] } else { rates };
            resources::resources(seconds(1)?, &rates).await;
        }
        Some("scale") => {
            let rounds = number(&args, 1)?.unwrap_or(3);
            let length = Duration::from_secs(number(&args, 2)?.unwrap_or(10));
            scale::scale(Scale { rounds, length, share: number(&args, 3)?.unwrap_or(0.15) }).await?;
        }
        // Plain `cargo bench` runs what takes a minute or two.
        None => {
            latency::latency(MINUTE / 2).await;
            throughput::throughput().await;
        }
        Some(other) => {
            return Err(format!("`{other}` is none of the benchmarks; tests/benches/pipeline.rs names them"));
        }
    }
    Ok(())
}

/// The argument at that place, if it is there.
fn number<T: FromStr>(args: &[String], place: usize) -> Result<Option<T>, String> {
    let parse = |arg: &String| arg.parse().map_err(|_| format!("`{arg}` is no number that means anything there"));
    args.get(place).map(parse).transpose()
}
