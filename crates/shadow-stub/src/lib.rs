//! Answers the shadow's outbound calls by rules and records them; nothing is ever forwarded.
//!
//! One call's way, each step in the file of its name:
//!
//! ```text
//! shadow service
//!   -> serve       by base URL, through the proxy or a tunnel, by DNS alias with TLS (`ca`); mail (`smtp`)
//!   -> alias       whom a call to the stub's own address is meant for
//!   -> correlate   which request it was made for
//!   -> mirror      as the primary's call was answered, where that is known; otherwise
//!   -> engine      the first of the `rules` that matches; what earlier calls created (`state`); 501 where none does
//!   -> effect      masked
//!   -> publish     until the broker has it, in a record that it takes (`fitting`)
//! shadow.effects.<service>
//! ```
//!
//! Guarantees: no byte of a call leaves the stub for anywhere but Kafka, masked; a call that no rule matches is refused, recorded and counted;
//! a call that is complete is recorded, whether or not its caller waits for the answer; connections, heads, bodies, state and effects on their way are bounded.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use anyhow::Context as _;
use shadow_control::{ControlFeed, Heart, HeartConfig, Subject};
use shadow_kafka::{Admin as KafkaAdmin, Producer, ProducerLimits, TopicSpec};
use shadow_record::{Role, ServiceName, Side, topics};
use shadow_runtime::admin::Admin;
use shadow_runtime::config::redacted;
use shadow_runtime::{ConfigError, MaskingConfig, MaskingMetrics, Service, run_service};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod accept;
mod alias;
mod answering;
pub mod config;
pub mod correlate;
mod effect;
mod engine;
mod fitting;
mod metrics;
mod mirror;
mod numbers;
mod place;
mod publish;
mod refused;
mod request;
mod rules;
mod serve;
mod smtp;
mod state;

pub use engine::{Answer, Circumstances, Decision, Engine};
#[doc(hidden)]
pub use metrics::every_metric;
pub use refused::{Refusals, Refused};
pub use request::Call;
pub use rules::{Fault, Rules, RulesError};
pub use serve::{Answers, Expects, ServeLimits, Server};
pub use shadow_ca::{Ca, CaError, NewCa};
pub use shadow_runtime::Alias;
pub use smtp::Sink;

use answering::{Answering, UnderWay};
use config::Config;
use effect::Recorder;
use metrics::Metrics;
use mirror::Mirror;
use numbers::Numbers;
use publish::Publisher;

const SERVICE: Service = Service {
    name: "shadow-stub",
    about: "Answers the shadow's outbound calls by rules and records them; nothing is ever forwarded",
    version: env!("CARGO_PKG_VERSION"),
    example: config::EXAMPLE,
};

/// Longest wait for calls and effects that are under way when the stub stops.
const LAST: Duration = Duration::from_secs(4);
/// Bytes of the bodies of calls that are not recorded yet.
const BODIES: usize = 256 << 20;
/// Between attempts to reach Kafka at the start.
const RETRY: Duration = Duration::from_secs(1);

/// The whole service, from its arguments to its exit code.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    run_service(SERVICE, args, run)
}

/// Answers until `shutdown`.
///
/// # Errors
/// When the configuration cannot be used, or an address cannot be had. Kafka may come later: calls wait until then.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let rules = config.stub.parsed_rules().map_err(|problem| ConfigError::from(vec![problem]))?;
    let ca = config.stub.parsed_ca().map_err(|problem| ConfigError::from(vec![problem]))?;
    let masking = MaskingConfig { routes: rules.routes(), ..config.masking.clone() };
    let masker = Arc::new(masking.masker().map_err(ConfigError::from)?);
    let service = config.service.name.clone().context("service.name is missing")?;
    let instance = config.service.instance.to_string();
    let mut registry = shadow_runtime::metrics::registry(SERVICE.name, SERVICE.version);
    let refusals = Refusals::default();
    let metrics = Metrics::register(&mut registry, refusals.clone());
    MaskingMetrics::register(masker.clone(), &mut registry);
    let (ready, is_ready) = watch::channel(false);
    let admin = Admin::new(config.admin.clone()).metrics(registry).ready(is_ready).config(redacted(&config));
    let admin = admin.serve(shutdown.clone()).await?;

    let bind = |address| async move {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let http = bind(config.stub.http).await?;
    let tls = match config.stub.tls {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let smtp = match config.stub.smtp {
        Some(address) => Some(bind(address).await?),
        None => None,
    };

    let afterwards = CancellationToken::new();
    let mut control = ControlFeed::spawn(&config.kafka, afterwards.clone());
    let heart = HeartConfig::of(&config.kafka, &instance, Role::Stub, service.as_str());
    let epoch = heart.epoch;
    let heart = Heart::spawn(heart, afterwards.clone()).context("starting the heartbeat")?;
    let counted = metrics.clone();
    heart.register(Subject { launch: None, gate: None, counters: Arc::new(move || counted.counters()) });

    let Some(partitions) = until_topic(&config, &service, &shutdown).await? else { return Ok(()) };
    // A trace tells its request only to who knows the launches.
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        _ = control.wait_for(|state| state.caught_up) => {}
    }
    let producer = Producer::new(&config.kafka, &ProducerLimits::default()).context("starting the producer")?;
    let publisher = Publisher::new(producer.clone(), topics::effects(&service), partitions, metrics.clone());
    let launch = config.stub.launch.clone();
    let mirror = config.stub.mirror.then(|| {
        let (patience, bytes) = (config.stub.mirror_patience.get(), config.stub.mirror_memory.as_len());
        Mirror::new(config.kafka.clone(), service.clone(), patience, bytes, afterwards.clone())
    });
    let answering = Arc::new(Answering {
        engine: Engine::new(rules),
        mirror,
        masker,
        control,
        recorder: Recorder { service, instance, epoch, launch, side: Side::Candidate },
        publisher,
        metrics,
        sequence: AtomicI64::new(0),
        numbers: Numbers::new(),
        under_way: UnderWay::new(),
    });
    let (connections, body) = (config.stub.connections, config.stub.max_body.as_len());
    let limits = ServeLimits { connections, body, bodies: BODIES };
    let server = Server::new(answering.clone(), ca, config.stub.aliases.clone(), limits, refusals.clone());
    let listeners = TaskTracker::new();
    tracing::info!(http = ?http.local_addr().ok(), "answering calls");
    listeners.spawn(server.clone().serve(http, Expects::Http, shutdown.clone()));
    if let Some(tls) = tls {
        listeners.spawn(server.clone().serve(tls, Expects::Tls, shutdown.clone()));
    }
    if let Some(smtp) = smtp {
        let sink = Sink::new(Arc::new(answering.clone()), config.stub.smtp_host.clone(), limits, refusals);
        listeners.spawn(sink.serve(smtp, shutdown.clone()));
    }
    ready.send_replace(true);
    listeners.close();
    listeners.wait().await;

    let left = answering.finish(LAST).await;
    if left > 0 {
        tracing::error!(left, "calls were not recorded in time; they are missing from the account");
    }
    producer.flush(Duration::from_secs(1)).await;
    heart.stopped().await;
    afterwards.cancel();
    admin.join().await;
    Ok(())
}

/// The partition count of the effects topic, which is made if it is not there. `None` when `shutdown` came first.
async fn until_topic(
    config: &Config,
    service: &ServiceName,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<i32>> {
    let admin = KafkaAdmin::new(&config.kafka)?;
    let topic = topics::effects(service);
    let mut said = false;
    loop {
        let found = async {
            match admin.partitions(&topic).await? {
                Some(partitions) => Ok(partitions),
                None => {
                    let spec = TopicSpec::deleting(topic.clone(), config.stub.partitions);
                    admin.ensure_topic(&spec).await.map(|()| config.stub.partitions)
                }
            }
        };
        let found: Result<i32, shadow_kafka::KafkaError> =
            tokio::select! { () = shutdown.cancelled() => return Ok(None), found = found => found };
        match found {
            Ok(partitions) => return Ok(Some(partitions)),
            Err(error) if !said => {
                said = true;
                tracing::warn!(%error, "waiting for Kafka; calls are not answered before effects can be recorded");
            }
            Err(_) => {}
        }
        tokio::select! { () = shutdown.cancelled() => return Ok(None), () = tokio::time::sleep(RETRY) => {} }
    }
}
