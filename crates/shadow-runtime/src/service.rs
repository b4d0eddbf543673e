//! A service from its first argument to its exit code, so that each `main` is one call.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as _, FromArgMatches as _};
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigError, ServiceArgs, ServiceConfig};
use crate::{exit, health, lifecycle, telemetry};

/// How long a service may take to end after the first signal: less than the 10 s after which Docker kills it silently.
const GRACE: Duration = Duration::from_secs(8);
/// For blocking threads when everything else has ended.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// What a service says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The name of the command.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Its version: `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// A small configuration that works, for `--help`.
    pub example: &'static str,
}

/// Parses the arguments, loads and checks the configuration, starts the log, runs `run` until it returns, and says how it went.
///
/// `run` gets the configuration and the token that the first signal cancels; when the token is cancelled it has 8 seconds to
/// return. `Ok` is exit code 0; what an error becomes, [`exit::code`] tells.
pub fn run_service<C, F, Fut>(service: Service, args: impl IntoIterator<Item = OsString>, run: F) -> ExitCode
where
    C: ServiceConfig,
    F: FnOnce(C, CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let args = match parse(&service, args) {
        Ok(args) => args,
        Err(code) => return code,
    };
    if args.health {
        return answer_health::<C>(service.name, &args);
    }
    let config = match load_checked::<C>(&args) {
        Ok(config) => config,
        Err(error) => {
            say_problems(service.name, &error);
            return ExitCode::from(exit::USAGE);
        }
    };
    if args.check {
        say_ok();
        return ExitCode::SUCCESS;
    }
    let _log = telemetry::init(config.log());
    let _traces = telemetry::traces::start(config.log(), service.name, service.version);
    tracing::info!(service = service.name, version = service.version, "starting");
    ExitCode::from(match drive(config, run) {
        Ok(()) => {
            tracing::info!(service = service.name, "stopped");
            exit::OK
        }
        Err(error) => {
            tracing::error!(service = service.name, error = format!("{error:#}"), "failed");
            exit::code(&error)
        }
    })
}

/// Asked every few seconds, so it loads the configuration and leaves out what [`load_checked`] checks beyond it.
fn answer_health<C: ServiceConfig>(name: &str, args: &ServiceArgs) -> ExitCode {
    match config::load::<C>(args) {
        Ok(config) => match health::ask(&config) {
            Ok(()) => {
                say_ok();
                ExitCode::SUCCESS
            }
            Err(error) => {
                say_unhealthy(name, &error);
                ExitCode::from(exit::FAILURE)
            }
        },
        Err(error) => {
            say_problems(name, &error);
            ExitCode::from(exit::USAGE)
        }
    }
}

fn load_checked<C: ServiceConfig>(args: &ServiceArgs) -> Result<C, ConfigError> {
    let config: C = config::load(args)?;
    let problems = config.check();
    if problems.is_empty() { Ok(config) } else { Err(problems.into()) }
}

/// Runs the service in a runtime of its own.
fn drive<C, F, Fut>(config: C, run: F) -> anyhow::Result<()>
where
    F: FnOnce(C, CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let shutdown = lifecycle::shutdown_on_signal()?;
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            outcome = run(config, shutdown.clone()) => outcome,
            () = overdue => Err(anyhow::anyhow!("did not stop within {} s of the signal", GRACE.as_secs())),
        }
    });
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}

fn command(service: &Service) -> clap::Command {
    let command = clap::Command::new(service.name).about(service.about).version(service.version);
    ServiceArgs::augment_args(command).after_help(format!(
        "Configuration, each layer over the one before:
    1. defaults
    2. the file of --config: [section] key = value
    3. the environment: SHADOW_<SECTION>_<KEY>, such as SHADOW_KAFKA_BROKERS for kafka.brokers
    4. --set section.key=value
Unknown keys are refused. Secrets are read from `key = {{ file = \"path\" }}`, SHADOW_<SECTION>_<KEY>
or SHADOW_<SECTION>_<KEY>_FILE, and never shown.

Example:
{}

{}",
        indented(service.example),
        exit::HELP
    ))
}

fn indented(text: &str) -> String {
    text.trim().lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn parse(service: &Service, args: impl IntoIterator<Item = OsString>) -> Result<ServiceArgs, ExitCode> {
    let matches = command(service).try_get_matches_from(args);
    matches.and_then(|matches| ServiceArgs::from_arg_matches(&matches)).map_err(|error| {
        // A closed pipe is the reader's choice.
        let _ = error.print();
        // Help and version were asked for; all else is misuse.
        if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS }
    })
}

#[expect(clippy::print_stderr, reason = "the log has not started; this is what the user waits for")]
fn say_problems(name: &str, error: &ConfigError) {
    for problem in error.problems() {
        eprintln!("{name}: {problem}");
    }
}

#[expect(clippy::print_stderr, reason = "the answer of --health, which starts no log")]
fn say_unhealthy(name: &str, error: &health::Unhealthy) {
    eprintln!("{name}: {error}");
}

#[expect(clippy::print_stdout, reason = "the answer of --check and --health")]
fn say_ok() {
    println!("ok");
}
