//! The smallest service: one section of its own, the log and the admin endpoint. The tests of the lifecycle run it.

use std::process::ExitCode;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use shadow_runtime::admin::{Admin, AdminConfig};
use shadow_runtime::config::redacted;
use shadow_runtime::telemetry::LogConfig;
use shadow_runtime::{Problem, Secret, Service, ServiceConfig, Unreachable, metrics, run_service};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    work: Work,
    admin: AdminConfig,
    log: LogConfig,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Work {
    mode: Mode,
    key: Option<Secret>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Wait,
    Stubborn,
    Fail,
    Unreachable,
    Panic,
}

impl ServiceConfig for Config {
    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn check(&self) -> Vec<Problem> {
        let contradiction = self.work.mode == Mode::Fail && self.work.key.is_none();
        let contradiction = contradiction.then(|| Problem::key("work.key", "is required to fail", "set it"));
        contradiction.into_iter().chain(self.admin.problem()).collect()
    }
}

async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let registry = metrics::registry("minimal", env!("CARGO_PKG_VERSION"));
    let admin = Admin::new(config.admin.clone()).metrics(registry).config(redacted(&config));
    let admin = admin.serve(shutdown.clone()).await?;
    tracing::info!(?config, "works");
    match config.work.mode {
        Mode::Wait => shutdown.cancelled().await,
        Mode::Stubborn => std::future::pending().await,
        Mode::Fail => anyhow::bail!("failed as configured"),
        Mode::Panic => panic!("private data"),
        Mode::Unreachable => Err(Unreachable {
            what: "kafka at 192.0.2.1:9092".to_owned(),
            cause: "timed out".to_owned(),
            remedy: "start it, or set kafka.brokers".to_owned(),
        })
        .context("starting the pipeline")?,
    }
    admin.join().await;
    Ok(())
}

fn main() -> ExitCode {
    let service = Service {
        name: "minimal",
        about: "Waits until it is told to stop",
        version: env!("CARGO_PKG_VERSION"),
        example: "[work]\nmode = \"wait\"\nkey = { file = \"/run/secrets/key\" }\n",
    };
    run_service(service, std::env::args_os(), run)
}
