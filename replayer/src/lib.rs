//! Replays captured exchanges against the candidate of each launch, paced, guarded and accounted for.
//!
//! One record's way, each step in the file of its name:
//!
//! ```text
//! shadow.captured.<service>
//!   -> pipeline   consume in the launch's group, from its start offsets on
//!   -> guard      sample, filters, safe methods and write policy, replayable bodies
//!   -> sessions   its turn among partitions, after the answer to the request before it in its session (`turns`)
//!   -> dispatch   a place in flight (`ceiling`), while the shadow is well (`breaker`)
//!   -> pace       its intended time at the topic's rate
//!   -> rewrite    the candidate's URL, end-to-end headers, what the shadow issued in place of the primary (`learn`), the target's
//!                 identity, a trace of its own, the signed mark
//!   -> send       through the gate, once, bounded in time and memory; for a sample, to the control at the same moment
//!                 (`control_leg`); whether it was alone (`alone`)
//!   -> publish    masked under the agents' key, until the broker has it
//! shadow.replayed.<service>.<launch>     same partition number; then commit
//! ```
//!
//! [`window`] keeps the account of each partition, `partition` the work on it, `member` holds the partitions and commits.
//! `launches` starts and stops one such line for every launch on the control topic, [`target`] decides whether it may send at
//! all, `handshake` asks the target itself, `gates` is the kill switch. `target_metrics` stands beside it all: it passes on what
//! the versions tell about themselves.
//!
//! Guarantees: every captured offset from a launch's start on is covered by one outcome or skipped range (a resend after a
//! crash leaves a duplicate that resolves first-wins); failures and skips are records; nothing is committed before its outcome
//! is acknowledged; nothing is sent while the launch's gate is shut.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shadow_control::{ControlFeed, ControlWriter, Heart, HeartConfig, Subject};
use shadow_kafka::{Producer, ProducerLimits};
use shadow_record::Role;
use shadow_runtime::admin::Admin;
use shadow_runtime::config::redacted;
use shadow_runtime::{ConfigError, MaskingMetrics, Service, masking_counters, run_service};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

mod alone;
pub mod breaker;
pub mod ceiling;
pub mod config;
mod control_leg;
mod dispatch;
mod gates;
pub mod guard;
mod handshake;
pub mod identity;
mod launches;
pub mod learn;
mod member;
pub mod metrics;
mod outgoing;
pub mod pace;
mod partition;
pub mod pipeline;
pub mod publish;
pub mod rewrite;
mod room;
#[cfg(test)]
mod samples;
pub mod send;
pub mod sessions;
mod shares;
pub mod target;
mod target_metrics;
pub mod trace;
mod turns;
pub mod window;
pub mod writes;

use config::Config;
use gates::{GateMetrics, Gates};
use launches::Shared;
use metrics::Metrics;
use target_metrics::TargetMetrics;

const SERVICE: Service = Service {
    name: "replayer",
    about: "Replays captured exchanges against the candidates of the launches on the control topic",
    version: env!("CARGO_PKG_VERSION"),
    example: config::EXAMPLE,
};

/// The whole service, from its arguments to its exit code.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    run_service(SERVICE, args, run)
}

/// Replays until `shutdown`, then drains every launch.
///
/// # Errors
/// When the configuration cannot be used, or the admin endpoint's address cannot be had. Kafka may come later.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    use_ring();
    let masker = Arc::new(config.masking.masker().map_err(ConfigError::from)?);
    let identities = Arc::new(config.replay.identities().map_err(ConfigError::from)?);
    let mut registry = shadow_runtime::metrics::registry(SERVICE.name, SERVICE.version);
    let metrics = Metrics::register(&mut registry);
    MaskingMetrics::register(masker.clone(), &mut registry);
    let gates = Arc::new(Gates::default());
    GateMetrics::register(gates.clone(), &mut registry);
    // Control and heartbeats go on until everything has drained: a drain is not a reason to stop listening.
    let afterwards = CancellationToken::new();
    let mut control = ControlFeed::spawn(&config.kafka, afterwards.clone());
    let of_targets = TargetMetrics::new(&config.replay.metrics_of, control.clone())
        .context("setting up the HTTP client for the metrics of targets")?;
    let (ready, is_ready) = watch::channel(false);
    let admin = Admin::new(config.admin.clone())
        .metrics(registry)
        .ready(is_ready)
        .config(redacted(&config))
        .pausable(gates.clone())
        .routes(of_targets.routes())
        .serve(shutdown.clone())
        .await?;

    let instance = config.service.instance.to_string();
    let heart = HeartConfig::of(&config.kafka, &instance, Role::Replayer, "");
    let heart = Heart::spawn(heart, afterwards.clone()).context("starting the heartbeat")?;
    let of_masker = masker.clone();
    let counters = Arc::new(move || masking_counters(&of_masker).collect());
    heart.register(Subject { launch: None, gate: None, counters });
    let producer = Producer::new(&config.kafka, &ProducerLimits::default()).context("starting the producer")?;
    let shared = Shared {
        instance: instance.clone(),
        kafka: config.kafka,
        replay: config.replay,
        masker,
        identities,
        producer: producer.clone(),
        metrics,
        heart: heart.clone(),
        control: control.clone(),
        gates: gates.clone(),
    };

    tokio::select! {
        () = shutdown.cancelled() => {}
        Ok(_) = control.wait_for(|state| state.caught_up) => {
            ready.send_replace(true);
            tracing::info!("control topic read; replaying");
        }
    }
    let writer = ControlWriter::new(&shared.kafka).context("starting the control writer")?;
    let put = |record| {
        let writer = writer.clone();
        async move { writer.put(&record).await.map(drop) }
    };
    tokio::select! {
        () = launches::supervise(Arc::new(shared), shutdown) => {}
        () = gates.remember(&instance, put) => {}
    }
    producer.flush(Duration::from_secs(1)).await;
    heart.stopped().await;
    afterwards.cancel();
    admin.join().await;
    Ok(())
}

/// TLS by ring, for the whole process; whoever came first did the same.
fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
