//! What the layer needs to know: the capture agent's own sections, and one of its own.
//!
//! Guarantee: one file can serve the agent's settings and the layer's. A key that does not exist is refused; the sections that only
//! the agent has are passed over.

use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use shadow_capture::{CaptureSection, Sampler, SamplingConfig, ServiceSection};
use shadow_kafka::KafkaConfig;
use shadow_record::ServiceName;
use shadow_runtime::config::load;
use shadow_runtime::{ConfigError, Instance, MaskingConfig, Problem, Secret, ServiceArgs};

/// All settings. Read them with [`Config::load`], as a part of your own configuration, or set them one by one.
///
/// ```
/// use shadow_capture_layer::{Config, Secret};
///
/// let config = Config::default()
///     .service("checkout".parse().expect("a name"))
///     .address("checkout.internal:3000")
///     .brokers("kafka-1:9092,kafka-2:9092")
///     .masking_key(Secret::new("6f".repeat(32)))
///     .route("GET /orders/{id}")
///     .sampling_rate(0.1);
/// assert!(config.problems().is_empty());
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who captures.
    pub service: ServiceSection,
    /// Where the service is reached.
    pub layer: LayerSection,
    /// Bounds of what is kept.
    pub capture: CaptureSection,
    /// What is captured.
    pub sampling: SamplingConfig,
    /// How it is masked.
    pub masking: MaskingConfig,
    /// Where it is published.
    pub kafka: KafkaConfig,
    #[serde(skip_serializing)]
    listen: OfTheAgent,
    #[serde(skip_serializing)]
    primary: OfTheAgent,
    #[serde(skip_serializing)]
    admin: OfTheAgent,
    #[serde(skip_serializing)]
    log: OfTheAgent,
}

/// `[layer]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerSection {
    /// Every `host:port` at which this service is reached, by clients or by a load balancer. Required: they are announced, and the
    /// replayer refuses them as targets, so that no launch can be aimed at production.
    pub addresses: Vec<String>,
    /// How clients reach it.
    pub scheme: Scheme,
}

/// How clients reach the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In cleartext.
    #[default]
    Http,
    /// Over TLS, whoever ends it.
    Https,
}

impl Scheme {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A section of the agent's that means nothing here.
#[derive(Clone, Debug, Default)]
struct OfTheAgent;

impl<'de> Deserialize<'de> for OfTheAgent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Config {
    /// Reads a TOML file, and over it the environment (`SHADOW_KAFKA_BROKERS`, ...), as the agent does.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read and for keys that do not exist, with place, cause and remedy.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        load(&ServiceArgs { config: Some(path.as_ref().to_owned()), ..ServiceArgs::default() })
    }

    /// Names the service, and so its topic.
    #[must_use]
    pub fn service(mut self, name: ServiceName) -> Self {
        self.service.name = Some(name);
        self
    }

    /// Names this copy of the service; the host's name by default.
    #[must_use]
    pub fn instance(mut self, instance: Instance) -> Self {
        self.service.instance = instance;
        self
    }

    /// Adds a `host:port` at which the service is reached.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.layer.addresses.push(address.into());
        self
    }

    /// Says how clients reach the service.
    #[must_use]
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.layer.scheme = scheme;
        self
    }

    /// Names the brokers, `host:port,host:port`.
    #[must_use]
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.kafka.brokers = brokers.into();
        self
    }

    /// Sets the masking key, the same for all agents and replayers of the service.
    #[must_use]
    pub fn masking_key(mut self, key: Secret) -> Self {
        self.masking.key = Some(key);
        self
    }

    /// Adds a route template, such as `GET /orders/{id}`; the first match wins.
    #[must_use]
    pub fn route(mut self, template: impl Into<String>) -> Self {
        self.masking.routes.push(template.into());
        self
    }

    /// Sets the share of the traffic to capture, 0 to 1.
    #[must_use]
    pub fn sampling_rate(mut self, rate: f64) -> Self {
        self.sampling.rate = rate;
        self
    }

    /// Everything that is wrong with it, each with a cause and a remedy.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.service.name.is_none() {
            problems.push(Problem::key("service.name", "is missing", "name the service, such as `checkout`"));
        }
        problems.extend(self.layer.problems());
        problems.extend(self.capture.problems());
        if let Err(error) = Sampler::new(&self.sampling) {
            problems.push(Problem::key("sampling", error.to_string(), "mend the entry"));
        }
        problems.extend(self.masking.masker().err().into_iter().flatten());
        problems
    }
}

impl LayerSection {
    fn problems(&self) -> Vec<Problem> {
        let remedy = "name every host:port at which the service is reached, such as `checkout.internal:3000`";
        if self.addresses.is_empty() {
            return vec![Problem::key("layer.addresses", "is missing", remedy)];
        }
        let wrong = self.addresses.iter().filter(|address| !is_host_and_port(address));
        wrong.map(|address| Problem::key("layer.addresses", format!("`{address}` is no host:port"), remedy)).collect()
    }
}

fn is_host_and_port(address: &str) -> bool {
    let split = address.rsplit_once(':');
    split.is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

#[cfg(test)]
mod tests;
