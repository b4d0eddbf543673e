//! `shadowctl preflight`: before the first request, whether a declared topology can be rehearsed, and above all whether writes
//! of the shadow could reach production's stores.
//!
//! Guarantee: when they could, stdout is exactly `{"error":"unsafe"}` and a line end, and the exit status 1, whatever else was
//! found; what could not be checked never counts as safe. Reasons and remedies go to stderr.

mod finding;
mod isolation;
mod keys;
mod meeting;
mod reach;
mod topology;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use shadow_kafka::KafkaConfig;

use self::finding::{Finding, Findings, Level};
use self::reach::Hosts;
use self::topology::Topology;
use crate::failure::{Failure, Kind};
use crate::kafka::Kafka;
use crate::output::{self, Output, note, printable};
use crate::sql::Sql;

/// What stdout says when shadow writes could reach production's stores.
const UNSAFE: &str = r#"{"error":"unsafe"}"#;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 ready, 1 unsafe (stdout is exactly {\"error\":\"unsafe\"}), 2 not ready, 64 the file cannot be used, 69 something does
not answer. docs/examples/preflight.toml is an example that explains every key.

Examples:
  shadowctl preflight --config checkout.toml
  shadowctl preflight --config checkout.toml --offline --json")]
pub(crate) struct PreflightArgs {
    /// The topology (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Reach for nothing: neither Kafka nor ClickHouse nor the shadow, and no names are resolved
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    output: Output,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    findings: Vec<Finding>,
}

pub(crate) async fn run(
    kafka: impl FnOnce() -> Result<Kafka, Failure>,
    sql: impl FnOnce() -> Result<Sql, Failure>,
    args: PreflightArgs,
) -> Result<ExitCode, Failure> {
    let topology = read(&args.config)?;
    let dir = args.config.parent().unwrap_or(Path::new("")).to_owned();
    let mut list = Vec::new();
    let hosts = Hosts::of(&topology, args.offline).await;
    isolation::judge(&topology, |a, b| hosts.same(a, b), &mut Findings::of("isolation", &mut list));
    reach::rates(&topology, &mut Findings::of("rates", &mut list));
    keys::judge(&topology, &dir, &mut Findings::of("configs", &mut list));
    let state = if args.offline {
        Findings::of("kafka", &mut list)
            .warn("offline: what agents announced is not compared", "run it without --offline");
        None
    } else {
        // What cannot be used is a finding: it must not stand before another one that says unsafe.
        let sql = sql().map(|sql| topology.clickhouse.iter().fold(sql, Sql::at));
        let mut of_clickhouse = Findings::of("clickhouse", &mut list);
        match sql {
            Ok(sql) => reach::clickhouse(&sql, &mut of_clickhouse).await,
            Err(failure) => of_clickhouse.problem(failure.cause, failure.remedy),
        }
        reach::shadow(&topology, &mut Findings::of("shadow", &mut list)).await;
        let kafka = kafka().and_then(|kafka| match &topology.kafka {
            Some(brokers) => Kafka::at(KafkaConfig { brokers: brokers.clone(), ..kafka.config }),
            None => Ok(kafka),
        });
        let mut of_kafka = Findings::of("kafka", &mut list);
        match kafka {
            Ok(kafka) => reach::kafka(&topology, &kafka, &mut of_kafka).await,
            Err(failure) => {
                of_kafka.problem(failure.cause, failure.remedy);
                None
            }
        }
    };
    reach::targets(&topology, &hosts, state.as_ref(), &mut Findings::of("targets", &mut list));
    conclude(list, args.output)
}

fn read(path: &Path) -> Result<Topology, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}"), "check the path of --config"))?;
    let topology: Topology = toml::from_str(&text).map_err(|error| {
        Failure::usage(format!("{shown}: {error}"), "docs/examples/preflight.toml explains every key")
    })?;
    for (name, side) in topology.shadows().chain([("primary", &topology.primary)]) {
        crate::commands::launch::parse_url(side.url.as_str())
            .map_err(|cause| Failure::usage(format!("{shown}: url under [{name}]: {cause}"), "correct the url"))?;
        if !(side.sample > 0.0 && side.sample <= 1.0) {
            let cause = format!("{shown}: sample under [{name}] is {}", side.sample);
            return Err(Failure::usage(cause, "a share is a number above 0 and up to 1, such as 0.1"));
        }
    }
    Ok(topology)
}

/// Says what was found and what it comes to.
fn conclude(mut findings: Vec<Finding>, output: Output) -> Result<ExitCode, Failure> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    for Finding { level, check, what, remedy } in findings.iter().filter(|finding| finding.level > Level::Ok) {
        let level = match level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "not ready",
            Level::Unreachable => "cannot be checked",
            Level::Unsafe => "UNSAFE",
        };
        note(&printable(&format!("preflight: {level}: {check}: {what}\n  what to do: {remedy}")));
    }
    if worst == Level::Unsafe {
        output::print(UNSAFE)?;
        return Ok(Kind::Negative.into());
    }
    let report = Report { ready: worst <= Level::Warning, findings };
    output.show(&report, Report::render)?;
    Ok(match worst {
        Level::Ok | Level::Warning => ExitCode::SUCCESS,
        Level::Problem => Kind::Trouble.into(),
        Level::Unreachable | Level::Unsafe => Kind::Unreachable.into(),
    })
}

impl Report {
    fn render(&self) -> String {
        let count = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        let mut text = match (self.ready, count(Level::Warning)) {
            (true, 0) => "ready\n".to_owned(),
            (true, warnings) => format!("ready, with {warnings} warnings\n"),
            (false, _) => "not ready\n".to_owned(),
        };
        for finding in self.findings.iter().filter(|finding| finding.level == Level::Ok) {
            text.push_str(&format!("  {}: {}\n", finding.check, finding.what));
        }
        text
    }
}
