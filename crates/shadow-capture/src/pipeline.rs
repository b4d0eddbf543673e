//! The line behind the tee, from top to bottom: observe, sample, hand over; mask, publish; announce. Where the primary's calls pass
//! too, they take a line of their own beside it, with the same bounds.
//!
//! Start order: everything is there at once and nothing waits for Kafka, which is looked for in the background. Stop order, once
//! the caller's traffic has drained: the queue, then the producer, and the last heartbeat is the last word.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use prometheus_client::registry::Registry;
use shadow_control::{Heart, LastWord};
use shadow_kafka::{KafkaConfig, KafkaError, ProducerLimits};
use shadow_mask::Masker;
use shadow_record::{ServiceName, Source, topics};
use shadow_runtime::admin::Pausable;
use shadow_runtime::{ConfigError, MaskingConfig, MaskingMetrics};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::announce::{Announcer, Production};
use crate::beside::Beside;
use crate::config::CaptureSection;
use crate::effects::{Calls, Effects, Requests, SealEffect};
use crate::handover;
use crate::last_words::{LastWords, label};
use crate::latency::Latency;
use crate::ledger::{Account, Directory, Ledger};
use crate::mask::{Mask, Seal, Workers};
use crate::metrics::{EffectsMetrics, Metrics};
use crate::observe::{Observer, RawExchange};
use crate::pause::{Alarm, Pause};
use crate::publish::Publisher;
use crate::sample::{Sampler, SamplingConfig, SamplingError};
use crate::tee::{Budget, Limits};
use crate::watchdog::{Allowed, Watchdog};

/// What a line needs to know.
pub struct Settings {
    /// The logical service, which names the topic.
    pub service: ServiceName,
    /// Who captures.
    pub instance: String,
    /// Where exchanges are seen.
    pub source: Source,
    /// `http` or `https`, as clients use it.
    pub scheme: &'static str,
    /// Where production is, so that no launch can have it for a target.
    pub production: Production,
    /// Bounds.
    pub capture: CaptureSection,
    /// What is captured.
    pub sampling: SamplingConfig,
    /// How it is masked.
    pub masking: MaskingConfig,
    /// Where it is published.
    pub kafka: KafkaConfig,
    /// How the primary's calls are recorded, where they pass.
    pub effects: Option<EffectsSettings>,
}

/// How the primary's calls are recorded; the rest is as for exchanges.
pub struct EffectsSettings {
    /// Path templates of destinations, such as `POST /v1/charges/{id}/capture`.
    pub routes: Vec<String>,
    /// Partitions of the effects topic if it must be created.
    pub partitions: i32,
}

/// A line that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The masking section.
    #[error(transparent)]
    Masking(#[from] ConfigError),
    /// The sampling section.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The settings of the Kafka client.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The operating system gives no thread.
    #[error("cannot start the threads behind the traffic: {0}; allow the process more")]
    Threads(#[from] std::io::Error),
}

/// A running line.
pub struct Capture {
    ledger: Arc<Ledger>,
    masker: Arc<Masker>,
    pause: Arc<Pause>,
    alarm: Alarm,
    latency: Arc<Latency>,
    budget: Arc<Budget>,
    queue: Receiver<RawExchange>,
    workers: Workers,
    publisher: Publisher,
    effects: Option<EffectsLine>,
    heart: Heart,
    announcing: JoinHandle<()>,
    stop: CancellationToken,
    beside: Beside,
    watchdog: Watchdog,
    flush: Duration,
}

/// What runs for the primary's calls.
struct EffectsLine {
    calls: Arc<Calls>,
    queue: Receiver<RawExchange>,
    workers: Workers,
    publisher: Publisher,
    partitions: i32,
}

impl Capture {
    /// Starts a line. The observer is for whoever sees the traffic; when its last copy is gone the line may finish.
    ///
    /// # Errors
    /// Settings that cannot be used. Kafka need not be there.
    pub fn start(settings: Settings) -> Result<(Self, Observer), StartError> {
        let Settings { service, instance, source, scheme, production, capture, sampling, masking, kafka, effects } =
            settings;
        let directories = Directory::candidates(capture.account.as_deref());
        let ledger = Ledger::kept(label(&service, &instance, &kafka), &directories);
        let (pause, alarm) = (Arc::new(Pause::default()), Alarm::default());
        let masker = Arc::new(masking.masker().map_err(ConfigError::from)?);
        let sampler = Sampler::new(&sampling)?;
        let sampling_rate = sampler.rate();
        let budget = Budget::of(capture.budget.as_len());
        let limits = Limits { body: capture.body_limit.as_len(), budget: budget.clone(), masker: masker.clone() };

        // On the hot path: observe, sample, hand over.
        let (handover, queue) = handover::queue(capture.queue);
        let latency = Arc::new(Latency::default());
        let mut observer = Observer {
            ledger: ledger.clone(),
            sampler,
            limits,
            handover,
            pause: pause.clone(),
            alarm: alarm.clone(),
            latency: latency.clone(),
            effects: None,
        };

        // Behind it: mask, publish.
        let outbox = ProducerLimits { queue_bytes: capture.outbox.as_len(), message_timeout: capture.delivery.get() };
        let beside = Beside::start(capture.nice)?;
        let publisher = beside.run(|| Publisher::new(&kafka, &outbox, topics::captured(&service)))?;
        let effects = match effects {
            None => None,
            Some(EffectsSettings { routes, partitions }) => {
                let masking = MaskingConfig { routes, ..masking };
                let masker = Arc::new(masking.masker().map_err(ConfigError::from)?);
                let (handover, queue) = handover::queue(capture.queue);
                let calls = Calls::open();
                observer.effects = Some(Arc::new(Effects {
                    calls: calls.clone(),
                    limits: Limits { masker: masker.clone(), ..observer.limits.clone() },
                    handover,
                    pause: pause.clone(),
                    alarm: alarm.clone(),
                    requests: Arc::<Requests>::default(),
                }));
                let publisher = publisher.beside(topics::effects(&service));
                let (service, instance) = (service.clone(), instance.clone());
                let sealing = SealEffect { masker, service, instance, epoch: ledger.epoch() };
                let seal: Seal = Arc::new(move |raw| sealing.seal(raw));
                let workers = beside.run(|| Workers::start("mask-call", 1, &queue, seal, &publisher))?;
                Some(EffectsLine { calls, queue, workers, publisher, partitions })
            }
        };
        let mask = Mask {
            masker: masker.clone(),
            service: service.clone(),
            instance: instance.clone(),
            epoch: ledger.epoch(),
            sampling_rate,
            source,
            scheme,
        };
        let seal: Seal = Arc::new(move |raw| mask.seal(raw));
        let workers = beside.run(|| Workers::start("mask", capture.threads, &queue, seal, &publisher))?;

        // Beside it: watch, announce.
        let allowed = Allowed { added: capture.latency_budget, lag: capture.lag_budget };
        let tell = capture.pause_launches.then(|| alarm.clone());
        let watchdog = Watchdog::start(allowed, latency.clone(), pause.clone(), tell)?;
        let stop = CancellationToken::new();
        let last_words = LastWords::new(kafka.clone(), service.clone(), directories);
        let announcer = Announcer {
            kafka,
            service,
            instance,
            production,
            partitions: capture.partitions,
            publisher: publisher.clone(),
            effects: effects.as_ref().map(|line| (line.publisher.clone(), line.partitions, line.calls.clone())),
            alarm: alarm.clone(),
            ledger: ledger.clone(),
            masker: masker.clone(),
            last_words,
        };
        let heart = beside.run(|| announcer.beat(stop.clone()))?;
        let announcing = beside.run(|| tokio::spawn(announcer.run(stop.clone())));
        let flush = capture.flush.get();
        let line = Self {
            ledger,
            masker,
            pause,
            alarm,
            latency,
            budget,
            queue,
            workers,
            publisher,
            effects,
            heart,
            announcing,
            stop,
            beside,
            watchdog,
            flush,
        };
        Ok((line, observer))
    }

    /// Adds the line's metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let metrics = Metrics {
            ledger: self.ledger.clone(),
            budget: self.budget.clone(),
            queue: self.queue.clone(),
            publisher: self.publisher.clone(),
            alarm: self.alarm.clone(),
            latency: self.latency.clone(),
            pause: self.pause.clone(),
            effects: self.effects.as_ref().map(EffectsLine::metrics),
        };
        metrics.register(registry);
        MaskingMetrics::register(self.masker.clone(), registry);
    }

    /// The switch by which capturing is paused.
    pub fn switch(&self) -> Arc<Pause> {
        self.pause.clone()
    }

    /// The account now.
    pub fn account(&self) -> Account {
        self.ledger.account()
    }

    /// The account of the primary's calls now, where they pass.
    pub fn calls(&self) -> Option<Account> {
        self.effects.as_ref().map(|effects| effects.calls.account())
    }

    /// Finishes what has been handed over, once nobody hands over any more; gives the final account.
    pub async fn finish(self) -> Account {
        let (calls, effects) = match self.effects {
            None => (None, None),
            Some(EffectsLine { calls, queue, workers, publisher, .. }) => {
                (Some(workers), Some((calls, queue, publisher)))
            }
        };
        let of_calls = async {
            if let Some(workers) = calls {
                workers.finish(self.flush).await;
            }
        };
        tokio::join!(self.workers.finish(self.flush), of_calls);
        // Where Kafka never was, nobody listens for the last words.
        let open = effects.as_ref().is_some_and(|(_, _, publisher)| publisher.is_open());
        let reached = self.publisher.is_open() || open;
        if reached {
            self.publisher.flush(self.flush).await;
        }
        // An exchange that ended after its threads did.
        self.queue.try_iter().for_each(drop);
        self.ledger.close();
        if let Some((calls, queue, _)) = &effects {
            queue.try_iter().for_each(drop);
            calls.ledger().close();
        }
        // First, so that no regular heartbeat follows the last one.
        self.stop.cancel();
        let known = reached && self.heart.stopped().await == LastWord::Acknowledged;
        if known || self.ledger.account().seen == 0 {
            self.ledger.discard();
        } else if let Some(path) = self.ledger.path() {
            tracing::info!(path = %path.display(), "Kafka does not have the last heartbeat; the account is kept for the next agent");
        }
        let _ = self.announcing.await;
        drop((self.beside, self.watchdog));
        self.ledger.account()
    }
}

impl EffectsLine {
    fn metrics(&self) -> EffectsMetrics {
        let (calls, queue) = (self.calls.clone(), self.queue.clone());
        EffectsMetrics { calls, queue }
    }
}

/// An operator pauses capturing, never the traffic.
impl Pausable for Pause {
    fn pause(&self) {
        self.set_by_operator(true);
    }

    fn resume(&self) {
        self.set_by_operator(false);
    }

    fn paused(&self) -> bool {
        self.by_operator()
    }
}
