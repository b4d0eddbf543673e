//! The agent's line of the flow, from top to bottom: listen, observe, sample, hand over; mask, publish; announce.
//!
//! Start order: bind and serve first; Kafka is waited for in the background, beside the traffic. Stop order: the hot path
//! drains, then the queue, then the producer, and the last heartbeat is the last word.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use crossbeam_channel::Receiver;
use shadow_control::Heart;
use shadow_kafka::ProducerLimits;
use shadow_mask::Masker;
use shadow_record::{ServiceName, topics};
use shadow_runtime::ConfigError;
use shadow_runtime::admin::{Admin, AdminHandle, Pausable};
use shadow_runtime::config::redacted;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use crate::config::{Config, PrimarySection};
use crate::handover;
use crate::ledger::{Account, Ledger};
use crate::mask::{Mask, Workers};
use crate::metrics::Metrics;
use crate::observe::{Observer, RawExchange};
use crate::pause::{Alarm, Pause};
use crate::proxy::{self, Proxy, Target, Upstream};
use crate::publish::Publisher;
use crate::sample::Sampler;
use crate::tee::{Budget, Limits};

/// A running agent.
pub struct Agent {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    serving: JoinHandle<()>,
    queue: Receiver<RawExchange>,
    workers: Workers,
    publisher: Publisher,
    heart: Heart,
    announcing: JoinHandle<()>,
    admin: AdminHandle,
    beside: CancellationToken,
    config: Config,
}

impl Agent {
    /// Starts an agent. It serves when this returns, whether or not Kafka is there.
    ///
    /// # Errors
    /// A configuration that cannot be used, or an address that cannot be had.
    pub async fn start(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let ledger = Ledger::open();
        let (pause, alarm) = (Arc::new(Pause::default()), Alarm::default());
        let service = service_of(&config)?;
        let instance = config.service.instance.to_string();
        let target = target_of(&config.primary)?;
        let masker = masker_of(&config)?;
        let sampler = Sampler::new(&config.sampling)?;
        let sampling_rate = sampler.rate();
        let limits = Limits {
            body: config.capture.body_limit.as_len(),
            budget: Budget::of(config.capture.budget.as_len()),
            masker,
        };

        // On the hot path: listen, observe, hand over.
        let listener = TcpListener::bind(config.listen.address)
            .await
            .with_context(|| format!("cannot listen on {}; set listen.address", config.listen.address))?;
        let address = listener.local_addr()?;
        let (handover, queue) = handover::queue(config.capture.queue);
        let observer = Observer {
            ledger: ledger.clone(),
            sampler,
            limits: limits.clone(),
            handover,
            pause: pause.clone(),
            alarm: alarm.clone(),
        };
        let upstream = Upstream::new(&config.primary, &target);
        let proxy = Proxy { target: target.clone(), upstream, observer };
        let listen = config.listen.clone();
        let serving = tokio::spawn(async move { proxy::serve(listener, proxy, &listen, shutdown).await });
        tracing::info!(%address, primary = %target.authority, "serving");

        // Behind it: mask, publish.
        let outbox = ProducerLimits {
            queue_bytes: config.capture.outbox.as_len(),
            message_timeout: config.capture.delivery.get(),
        };
        let publisher = Publisher::new(&config.kafka, &outbox, topics::captured(&service))?;
        let mask = Mask {
            masker: limits.masker.clone(),
            service: service.clone(),
            instance: instance.clone(),
            epoch: ledger.epoch(),
            sampling_rate,
        };
        let workers = Workers::start(config.capture.threads, &queue, Arc::new(move |raw| mask.seal(raw)), &publisher)?;

        // Beside it: announce, be seen.
        let beside = CancellationToken::new();
        let announcer = Announcer {
            kafka: config.kafka.clone(),
            service,
            instance,
            primary: target.authority.to_string(),
            listen: address,
            partitions: config.capture.partitions,
            publisher: publisher.clone(),
            alarm: alarm.clone(),
            ledger: ledger.clone(),
        };
        let heart = announcer.beat(beside.clone())?;
        let announcing = tokio::spawn(announcer.run(beside.clone()));
        let metrics = Metrics {
            ledger: ledger.clone(),
            budget: limits.budget,
            queue: queue.clone(),
            publisher: publisher.clone(),
            alarm,
        };
        let mut registry = shadow_runtime::metrics::registry("capture-agent", env!("CARGO_PKG_VERSION"));
        metrics.register(&mut registry);
        let admin = Admin::new(config.admin.clone())
            .metrics(registry)
            .config(redacted(&config))
            .pausable(Arc::new(Capturing(pause)))
            .serve(beside.clone())
            .await?;
        Ok(Self { address, ledger, serving, queue, workers, publisher, heart, announcing, admin, beside, config })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin endpoint listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// The account now.
    pub fn account(&self) -> Account {
        self.ledger.account()
    }

    /// Runs until the shutdown token is cancelled and everything has drained; gives the final account.
    pub async fn finish(self) -> Account {
        // The hot path only ends by the token: a panic in a handler ends one connection.
        let _ = self.serving.await;
        let patience = self.config.capture.flush.get();
        self.workers.finish(patience).await;
        // Where Kafka never was, nobody listens for the last words.
        let reached = self.publisher.is_open();
        if reached {
            self.publisher.flush(patience).await;
        }
        // An exchange that ended after its threads did.
        self.queue.try_iter().for_each(drop);
        self.ledger.close();
        // First, so that no regular heartbeat follows the last one.
        self.beside.cancel();
        if reached {
            self.heart.stopped().await;
        }
        let _ = self.announcing.await;
        self.admin.join().await;
        self.ledger.account()
    }
}

fn service_of(config: &Config) -> anyhow::Result<ServiceName> {
    config.service.name.clone().context("service.name is missing")
}

fn masker_of(config: &Config) -> anyhow::Result<Arc<Masker>> {
    Ok(Arc::new(config.masking.masker().map_err(ConfigError::from)?))
}

fn target_of(config: &PrimarySection) -> anyhow::Result<Target> {
    let url = config.url.as_ref().context("primary.url is missing")?;
    let host = url.host_str().context("primary.url has no host")?;
    let port = url.port_or_known_default().context("primary.url has no port")?;
    let authority = format!("{host}:{port}").parse().context("primary.url has no usable host")?;
    Ok(Target { authority, protocol: config.protocol, forwarded: config.forwarded })
}

/// Pausing the agent stops capturing, never the traffic.
struct Capturing(Arc<Pause>);

impl Pausable for Capturing {
    fn pause(&self) {
        self.0.set(true);
    }

    fn resume(&self) {
        self.0.set(false);
    }

    fn paused(&self) -> bool {
        self.0.is_on()
    }
}
