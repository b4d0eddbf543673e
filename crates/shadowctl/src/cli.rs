//! The command line as a whole.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::commands::{
    audit, demo, devstack, diff, drill, import, launch, ledger, mask, noise, pause, preflight, ramp, rate, report,
    rules, schema, status, stub, topics, verdict,
};
use crate::kafka::KafkaArgs;
use crate::sql::ClickHouseArgs;

const EXAMPLES: &str = "\
Examples:
  See the whole pipeline on this machine, without Docker:
      shadowctl demo --requests 2000
  Rehearse a candidate on a tenth of the captured traffic of `checkout`:
      shadowctl schema apply
      shadowctl launch create checkout-v2 --service checkout --candidate http://10.0.3.7:8080 --sample 0.1
      shadowctl rate set checkout 200/s
      shadowctl report checkout-v2
      shadowctl verdict checkout-v2
  Stop everything, now:
      shadowctl pause

Exit codes:
    0  done; the answer is yes
    1  the answer is no: refused, not there, not confirmed, not as expected
    2  of `diff`: trouble; of `preflight`: not ready; of `verdict`: not enough evidence
   64  wrong command line
   66  there is nothing to judge (of `verdict`, which answers with 0, 1, 2 and 3)
   69  Kafka or ClickHouse did not answer
   70  anything else
  130  Ctrl-C";

/// Rehearses the next version of an HTTP service on production traffic and says whether it may go live
#[derive(Debug, Parser)]
#[command(name = "shadowctl", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) kafka: KafkaArgs,
    #[command(flatten)]
    pub(crate) clickhouse: ClickHouseArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Launches, from their creation to their end
    #[command(subcommand)]
    Launch(launch::LaunchCommand),
    /// How fast captured traffic is replayed
    #[command(subcommand)]
    Rate(rate::RateCommand),
    /// Raise a launch's sample step by step while its gates hold
    #[command(subcommand)]
    Ramp(ramp::RampCommand),
    /// Stop sending to candidates: the kill switch
    Pause(pause::PauseArgs),
    /// Lift the kill switch
    Resume(pause::PauseArgs),
    /// Before the first request: whether the declared topology is safe and ready
    Preflight(preflight::PreflightArgs),
    /// Pull the kill switch of a launch that is sending, keep the evidence, and let it go again
    Drill(drill::DrillArgs),
    /// Who is there and what they are doing
    Status(status::StatusArgs),
    /// Who changed what, when and why
    Audit(audit::AuditArgs),
    /// The account of every captured request
    Ledger(ledger::LedgerArgs),
    /// What a launch has found so far
    Report(report::ReportArgs),
    /// Whether a launch's candidate may go live
    Verdict(verdict::VerdictArgs),
    /// What differs between two copies of the live build, and what is decided about it
    #[command(subcommand)]
    Noise(noise::NoiseCommand),
    /// Comparison rules
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// ClickHouse's tables and views
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    /// Kafka's topics
    #[command(subcommand)]
    Topics(topics::TopicsCommand),
    /// Append a recording (HAR, or one exchange a line) to a captured topic, masked
    Import(import::ImportArgs),
    /// What the stub needs besides its rules
    #[command(subcommand)]
    Stub(stub::StubCommand),
    /// Mask a message, a body or seed data, as the services would
    Mask(mask::MaskArgs),
    /// Compare two answers, as the comparator would
    Diff(diff::DiffArgs),
    /// Kafka and ClickHouse on this machine, without Docker
    #[command(subcommand)]
    Devstack(devstack::DevstackCommand),
    /// The whole pipeline on this machine, with a shop whose candidate has seeded regressions
    Demo(demo::DemoArgs),
}

/// `cargo demo -- --requests 9`: the alias ends in `demo`, so cargo's own separator arrives behind it. It means nothing there.
pub(crate) fn without_cargos_dashes(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|command| command == "demo") && args.get(2).is_some_and(|dashes| dashes == "--") {
        args.remove(2);
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_demo_takes_its_options_with_and_without_cargos_separator() {
        for line in ["shadowctl demo --requests 9", "shadowctl demo -- --requests 9"] {
            let args = without_cargos_dashes(line.split(' ').map(OsString::from));
            assert!(matches!(Cli::try_parse_from(args).unwrap().command, Command::Demo(_)), "{line}");
        }
    }
}
