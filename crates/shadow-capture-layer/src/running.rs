//! Starting to capture, and ending well.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use shadow_capture::{Account, Capture, Observer, Production, Settings, measure_lag};
use shadow_record::Source;
use shadow_runtime::ConfigError;
use shadow_runtime::admin::Pausable as _;
use tokio::task::AbortHandle;

use crate::config::Config;
use crate::layer::CaptureLayer;

/// Why capturing cannot start. The service can start all the same.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that cannot be used, each with its cause and its remedy.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The Kafka client's settings, or the operating system.
    #[error(transparent)]
    Capture(#[from] shadow_capture::StartError),
}

/// Starts capturing. Kafka need not be there: until it is, exchanges wait in a bounded queue and then drop, counted.
///
/// The runtime this is called on is the one whose lag the watchdog watches: call it on the service's own.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub async fn start(config: Config) -> Result<Capturing, StartError> {
    let settings = settings(config)?;
    let (capture, observer) = Capture::start(settings)?;
    let observer = Arc::new(observer);
    let lag = Lag(tokio::spawn(measure_lag(observer.latency.clone())).abort_handle());
    Ok(Capturing { capture, observer, _lag: lag })
}

fn settings(config: Config) -> Result<Settings, ConfigError> {
    let problems = config.problems();
    let Some(service) = config.service.name.filter(|_| problems.is_empty()) else {
        return Err(ConfigError::from(problems));
    };
    Ok(Settings {
        service,
        instance: config.service.instance.to_string(),
        source: Source::Sdk,
        scheme: config.layer.scheme.as_str(),
        production: Production::Here(config.layer.addresses),
        capture: config.capture,
        sampling: config.sampling,
        masking: config.masking,
        kafka: config.kafka,
        effects: None,
    })
}

/// Capturing, for as long as this lives.
pub struct Capturing {
    capture: Capture,
    observer: Arc<Observer>,
    _lag: Lag,
}

impl Capturing {
    /// A layer for a service. Wrap as many as you like: they share one account, one queue and one topic. A request that passes two
    /// of them is captured twice, so wrap the outermost.
    pub fn layer(&self) -> CaptureLayer {
        CaptureLayer::new(self.observer.clone())
    }

    /// The account now.
    pub fn account(&self) -> Account {
        self.capture.account()
    }

    /// Stops capturing until [`Capturing::resume`]; requests pass and are counted as left out.
    pub fn pause(&self) {
        self.capture.switch().pause();
    }

    /// Captures again.
    pub fn resume(&self) {
        self.capture.switch().resume();
    }

    /// Adds the metrics `capture_...` to the service's registry.
    pub fn register(&self, registry: &mut Registry) {
        self.capture.register(registry);
    }

    /// Masks and publishes what has been handed over, says the last word and gives the final account. Call it when the service has
    /// drained and its layers are dropped, as when `axum::serve` has returned: while a layer is left there might be more to come, and
    /// that is waited for, at most `capture.flush`.
    pub async fn finish(self) -> Account {
        let Self { capture, observer, _lag: lag } = self;
        drop((observer, lag));
        capture.finish().await
    }
}

/// The task that measures the runtime's lag. It ends with this.
struct Lag(AbortHandle);

impl Drop for Lag {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
