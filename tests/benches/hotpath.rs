//! The figures of the hot path on this machine: `cargo bench -p shadow-tests --bench hotpath -- latency|faults|saturate|soak|loris`.
//!
//! The agent as a process of its own, with full capture to a real Kafka, beside nginx and Envoy, in one run and in interleaved
//! rounds. `docs/benchmarks.md` says what each figure means and quotes a run.
//!
//! | File | What |
//! |---|---|
//! | `latency`, `faults`, `saturate`, `soak`, `loris` | the sub-commands |
//! | `legs`, `stats`, `report` | taking turns, intervals over rounds, tables and JSON |
//! | `load`, `answer`, `origin` | both ends of the wire |
//! | `agent`, `peers`, `process`, `cpus`, `setup` | what is measured, and where it runs |
//! | `disk`, `shadow`, `killed` | a full disk, a hanging candidate, the account of a dead agent |
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

#[path = "hotpath/agent.rs"]
mod agent;
#[path = "hotpath/answer.rs"]
mod answer;
#[path = "hotpath/args.rs"]
mod args;
#[path = "hotpath/clock.rs"]
mod clock;
#[path = "hotpath/cpus.rs"]
mod cpus;
#[path = "hotpath/disk.rs"]
mod disk;
#[path = "hotpath/faults.rs"]
mod faults;
#[path = "hotpath/killed.rs"]
mod killed;
#[path = "hotpath/latency.rs"]
mod latency;
#[path = "hotpath/legs.rs"]
mod legs;
#[path = "hotpath/load.rs"]
mod load;
#[path = "hotpath/loris.rs"]
mod loris;
#[path = "hotpath/origin.rs"]
mod origin;
#[path = "hotpath/peers.rs"]
mod peers;
#[path = "hotpath/process.rs"]
mod process;
#[path = "hotpath/report.rs"]
mod report;
#[path = "hotpath/saturate.rs"]
mod saturate;
#[path = "hotpath/setup.rs"]
mod setup;
#[path = "hotpath/shadow.rs"]
mod shadow;
#[path = "hotpath/soak.rs"]
mod soak;
#[path = "hotpath/stats.rs"]
mod stats;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("{error}\n\n{}", args::USAGE);
            return ExitCode::from(64);
        }
    };
    let setup = setup::Setup::new(args);
    match setup.args.command.as_str() {
        "latency" => latency::run(&setup),
        "faults" => faults::run(&setup),
        "saturate" => saturate::run(&setup),
        "soak" => soak::run(&setup),
        "loris" => loris::run(&setup),
        _ => {
            eprintln!("{}", args::USAGE);
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}
