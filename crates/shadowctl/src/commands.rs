//! One file for each command.

pub(crate) mod audit;
pub(crate) mod demo;
pub(crate) mod devstack;
pub(crate) mod diff;
pub(crate) mod differences;
pub(crate) mod drill;
pub(crate) mod import;
pub(crate) mod launch;
pub(crate) mod ledger;
pub(crate) mod mask;
mod masking;
pub(crate) mod noise;
pub(crate) mod pause;
pub(crate) mod preflight;
pub(crate) mod ramp;
pub(crate) mod rate;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod stub;
pub(crate) mod topics;
pub(crate) mod verdict;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::sql::Sql;

/// Runs one command. Only a verdict and a comparison have answers that are neither success nor failure.
pub(crate) async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { kafka, clickhouse, command } = cli;
    let kafka = || Kafka::new(&kafka);
    let sql = || Sql::new(&clickhouse);
    let done = match command {
        Command::Launch(command) => launch::run(&kafka()?, sql, command).await,
        Command::Rate(command) => rate::run(&kafka()?, command).await,
        Command::Ramp(command) => ramp::run(&kafka()?, &sql()?, command).await,
        Command::Pause(args) => pause::run(&kafka()?, pause::Wanted::Paused, args).await,
        Command::Resume(args) => pause::run(&kafka()?, pause::Wanted::Running, args).await,
        Command::Drill(args) => drill::run(&kafka()?, &sql()?, args).await,
        Command::Preflight(args) => return preflight::run(kafka, sql, args).await,
        Command::Status(args) => status::run(&kafka()?, args).await,
        Command::Audit(args) => audit::run(&sql()?, args).await,
        Command::Ledger(args) => ledger::run(sql, args).await,
        Command::Report(args) => report::run(&sql()?, args).await,
        Command::Verdict(args) => return verdict::run(sql, args).await,
        Command::Noise(command) => noise::run(&sql()?, command).await,
        Command::Rules(command) => rules::run(&sql()?, command).await,
        Command::Schema(command) => schema::run(&sql()?, command).await,
        Command::Topics(command) => topics::run(&kafka()?, command).await,
        Command::Import(args) => return import::run(kafka, args).await,
        Command::Stub(command) => stub::run(command),
        Command::Mask(args) => mask::run(args).await,
        Command::Diff(args) => return diff::run(args).await,
        Command::Devstack(command) => devstack::run(command).await,
        Command::Demo(args) => demo::run(args).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}
