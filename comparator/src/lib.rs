//! The comparator: joins what the primary and the candidate answered, says where they differ, and stores it in ClickHouse.
//!
//! The flow of one record, each step in the file of its name:
//!
//! 1. [`pipeline`] **consumes** the captured topic and the launch's replayed topic, equal partitions on one member;
//! 2. [`pair`] **pairs** them by captured offset, without clocks and without waiting for what will never come;
//! 3. [`classify`] **classifies** each pair, comparing both answers under the launch's rules (`shadow-diff`);
//! 4. [`effects`] **settles** each row: what both versions asked of others, compared once a declared window has passed;
//! 5. [`store`] **stores** the rows, and only then are offsets committed.
//!
//! Beside it, [`bookkeeping`] stores heartbeats, dead letters, launches and outbound calls, and [`schema`] holds the tables and views, which
//! `shadowctl schema apply` creates: the comparator itself needs the right to insert and no other.
//!
//! Guarantee: every captured offset is covered exactly once per launch by a row or a range, whatever crashes and however often
//! records are delivered.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use shadow_control::{ControlFeed, ControlState, Heart, HeartConfig, Launch, Subject};
use shadow_kafka::{Producer, ProducerLimits};
use shadow_record::{LaunchName, Role};
use shadow_runtime::admin::Admin;
use shadow_runtime::{Service, config::redacted, metrics::registry, run_service};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub mod authorities;
pub mod bookkeeping;
pub mod classify;
pub mod config;
pub mod effects;
pub mod metrics;
pub mod pair;
pub mod pipeline;
pub mod schema;
pub mod shared;
pub mod store;

use config::Config;
use shared::Shared;

const SERVICE: Service = Service {
    name: "comparator",
    about: "Joins primary and candidate by captured offset into ClickHouse",
    version: env!("CARGO_PKG_VERSION"),
    example: config::EXAMPLE,
};

/// Runs the comparator with these arguments, the first being the program's name.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    run_service(SERVICE, args, run)
}

/// Compares every launch until `shutdown`.
///
/// # Errors
/// When the admin endpoint cannot listen or Kafka's settings are refused. What can heal is waited for.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut registry = registry(SERVICE.name, SERVICE.version);
    let metrics = metrics::Metrics::register(&mut registry);
    let (ready, is_ready) = watch::channel(false);
    let shown = redacted(&config);
    let admin = Admin::new(config.admin.clone()).metrics(registry).ready(is_ready).config(shown);
    let admin = admin.serve(shutdown.clone()).await?;

    let limits = ProducerLimits { queue_bytes: 8 << 20, message_timeout: Duration::from_secs(10) };
    let shared = Shared {
        store: store::Store::new(&config.clickhouse, metrics.clone()),
        dead_letters: Producer::new(&config.kafka, &limits)?,
        control: ControlFeed::spawn(&config.kafka, shutdown.clone()),
        metrics: metrics.clone(),
        kafka: config.kafka.clone(),
        instance: config.service.instance.clone(),
        settings: config.comparator.clone(),
    };
    let heart = HeartConfig::of(&config.kafka, config.service.instance.as_str(), Role::Comparator, "");
    let beating = CancellationToken::new();
    let heart = Heart::spawn(heart, beating.clone())?;
    heart.register(Subject { launch: None, gate: None, counters: Arc::new(move || metrics.counters()) });

    let ended = if shared.store.wait_until_ready(&shutdown).await {
        supervise(&shared, &ready, &shutdown).await
    } else {
        Ok(())
    };
    heart.stopped().await;
    beating.cancel();
    shutdown.cancel();
    admin.join().await;
    ended
}

/// Runs one pipeline for each launch there is, from when it appears until it is deleted.
async fn supervise(shared: &Shared, ready: &watch::Sender<bool>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut running: HashMap<LaunchName, (Launch, CancellationToken)> = HashMap::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(bookkeeping::keep_books(shared.clone(), shutdown.clone()));
    tasks.spawn(bookkeeping::keep_effects(shared.clone(), shutdown.clone()));
    let mut control = shared.control.clone();
    control.mark_changed();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = control.changed() => if changed.is_err() { break },
            // A launch that is no longer compared must not go unnoticed.
            Some(Err(panicked)) = tasks.join_next() => return Err(panicked.into()),
        }
        let state: Arc<ControlState> = control.borrow_and_update().clone();
        ready.send_replace(state.caught_up);
        running.retain(|name, (launch, stop)| {
            let goes_on = state.launches.get(name).is_some_and(|now| same_launch(launch, now));
            if !goes_on {
                stop.cancel();
            }
            goes_on
        });
        for (name, launch) in &state.launches {
            if !running.contains_key(name) {
                let stop = shutdown.child_token();
                tasks.spawn(pipeline::compare_launch(shared.clone(), launch.clone(), stop.clone()));
                running.insert(name.clone(), (launch.clone(), stop));
            }
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Whether a changed launch still joins the same topics from the same offsets. Its rules do not change while it runs.
fn same_launch(one: &Launch, other: &Launch) -> bool {
    one.service == other.service && one.start == other.start
}
