//! The command line as a whole.

use clap::{Parser, Subcommand};

use crate::commands::{demo, devstack, launch, ledger, pause, rate, report, schema, status};
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
  Stop everything, now:
      shadowctl pause

Exit codes:
    0  done; the answer is yes
    1  the answer is no: refused, not there, not confirmed, not as expected
   64  wrong command line
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
    /// Create, look at, pause and resume launches
    #[command(subcommand)]
    Launch(launch::LaunchCommand),
    /// How fast captured traffic is replayed
    #[command(subcommand)]
    Rate(rate::RateCommand),
    /// Stop sending to candidates: the kill switch
    Pause(pause::PauseArgs),
    /// Lift the kill switch
    Resume(pause::PauseArgs),
    /// Who is there and what they are doing
    Status(status::StatusArgs),
    /// The account of every captured request
    Ledger(ledger::LedgerArgs),
    /// What a launch has found so far
    Report(report::ReportArgs),
    /// ClickHouse's tables and views
    #[command(subcommand)]
    Schema(schema::SchemaCommand),
    /// Kafka and ClickHouse on this machine, without Docker
    #[command(subcommand)]
    Devstack(devstack::DevstackCommand),
    /// The whole pipeline on this machine, with a shop whose candidate has seeded regressions
    Demo(demo::DemoArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::Cli::command().debug_assert();
    }
}
