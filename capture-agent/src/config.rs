//! The agent's configuration, section by section, and what is checked before anything starts.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shadow_kafka::KafkaConfig;
use shadow_record::ServiceName;
use shadow_runtime::admin::AdminConfig;
use shadow_runtime::telemetry::LogConfig;
use shadow_runtime::units::{ByteSize, HumanDuration};
use shadow_runtime::{Instance, MaskingConfig, Problem, ServiceConfig};
use url::Url;

use crate::sample::{Sampler, SamplingConfig};

/// Longest orderly stop, without the last heartbeat: the runtime ends the service after 8 s, Docker after 10.
const STOP: Duration = Duration::from_secs(5);

/// A small configuration that works.
pub(crate) const EXAMPLE: &str = r#"
[service]
name = "checkout"
[listen]
address = "0.0.0.0:8080"
[primary]
url = "http://127.0.0.1:3000"
[masking]
key = { file = "/run/secrets/shadow-mask-key" }
[kafka]
brokers = "127.0.0.1:9092"
"#;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who this agent is.
    pub service: ServiceSection,
    /// Where clients connect.
    pub listen: ListenSection,
    /// Where they are forwarded to.
    pub primary: PrimarySection,
    /// Bounds of what is kept.
    pub capture: CaptureSection,
    /// What is captured.
    pub sampling: SamplingConfig,
    /// How it is masked.
    pub masking: MaskingConfig,
    /// Where it is published.
    pub kafka: KafkaConfig,
    /// The admin endpoint.
    pub admin: AdminConfig,
    /// The log.
    pub log: LogConfig,
}

/// `[service]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceSection {
    /// The logical service, which names the topic. Required.
    pub name: Option<ServiceName>,
    /// This agent; the host's name by default.
    pub instance: Instance,
}

/// `[listen]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenSection {
    /// Where clients connect.
    pub address: SocketAddr,
    /// How long a client may take for a request's head, which is also how long an idle connection is kept.
    pub header: HumanDuration,
    /// How long open connections may take to finish when the agent stops.
    pub drain: HumanDuration,
}

impl Default for ListenSection {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            header: HumanDuration::from_secs(75),
            drain: HumanDuration::from_secs(3),
        }
    }
}

/// `[primary]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrimarySection {
    /// `http://host:port`. Required.
    pub url: Option<Url>,
    /// How the primary is spoken to.
    pub protocol: Protocol,
    /// Longest wait for a connection.
    pub connect: HumanDuration,
    /// How long an unused connection is kept. Less than the primary's own limit, or it closes them under our hands.
    pub idle: HumanDuration,
    /// Longest wait for the response's head; none by default, as without the agent.
    pub answer: Option<HumanDuration>,
    /// What the primary is told about the client.
    pub forwarded: Forwarded,
}

impl Default for PrimarySection {
    fn default() -> Self {
        Self {
            url: None,
            protocol: Protocol::Http1,
            connect: HumanDuration::from_secs(2),
            idle: HumanDuration::from_secs(4),
            answer: None,
            forwarded: Forwarded::Keep,
        }
    }
}

/// How the primary is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// Cleartext HTTP/2 with prior knowledge, as gRPC needs.
    Http2,
}

/// What the primary is told about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarded {
    /// What the client sent, unchanged.
    #[default]
    Keep,
    /// The client's address is appended to `X-Forwarded-For`; `X-Forwarded-Proto` and `X-Forwarded-Host` are set if absent.
    Append,
}

/// `[capture]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureSection {
    /// Bytes kept of one body; the rest is counted and digested.
    pub body_limit: ByteSize,
    /// Bytes kept of everything that passes or waits for masking.
    pub budget: ByteSize,
    /// Exchanges that may wait for masking.
    pub queue: usize,
    /// Threads that mask.
    pub threads: usize,
    /// Partitions of the captured topic when it is created.
    pub partitions: i32,
    /// Bytes that may wait for the brokers.
    pub outbox: ByteSize,
    /// How long a record may wait for the brokers.
    pub delivery: HumanDuration,
    /// How long the agent waits for masking and for the brokers when it stops.
    pub flush: HumanDuration,
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            body_limit: ByteSize::kib(256),
            budget: ByteSize::mib(64),
            queue: 8192,
            threads: 1,
            partitions: 12,
            outbox: ByteSize::mib(32),
            delivery: HumanDuration::from_secs(30),
            flush: HumanDuration::from_secs(1),
        }
    }
}

impl ServiceConfig for Config {
    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.service.name.is_none() {
            problems.push(Problem::key("service.name", "is missing", "name the service, such as `checkout`"));
        }
        problems.extend(self.primary.problem());
        problems.extend(self.capture.problems());
        if let Err(error) = Sampler::new(&self.sampling) {
            problems.push(Problem::key("sampling", error.to_string(), "mend the entry"));
        }
        if self.listen.drain.get() + 2 * self.capture.flush.get() > STOP {
            let cause = format!("and twice capture.flush are more than {} s together", STOP.as_secs());
            problems.push(Problem::key("listen.drain", cause, "stopping must end before the supervisor's patience"));
        }
        problems.extend(self.masking.masker().err().into_iter().flatten());
        problems.extend(self.admin.problem());
        problems
    }
}

impl PrimarySection {
    fn problem(&self) -> Option<Problem> {
        let remedy = "write it as http://host:port";
        let url = match &self.url {
            None => return Some(Problem::key("primary.url", "is missing", remedy)),
            Some(url) => url,
        };
        let plain = url.scheme() == "http" && url.host().is_some();
        let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
        match (plain, bare) {
            (false, _) => Some(Problem::key("primary.url", format!("`{url}` is not cleartext HTTP"), remedy)),
            (true, false) => Some(Problem::key("primary.url", "has more than a host and a port", remedy)),
            (true, true) => None,
        }
    }
}

impl CaptureSection {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut positive = |key: &str, fits: bool| {
            if !fits {
                problems.push(Problem::key(key, "is out of range", "use at least 1"));
            }
        };
        positive("capture.queue", self.queue >= 1);
        positive("capture.threads", (1..=64).contains(&self.threads));
        positive("capture.partitions", (1..=10_000).contains(&self.partitions));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_needs_nothing_but_its_key_file() {
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "0f".repeat(32)).unwrap();
        let text = EXAMPLE.replace("/run/secrets/shadow-mask-key", key.path().to_str().unwrap());
        let config: Config = toml::from_str(&text).unwrap();
        assert!(config.check().is_empty(), "{:?}", config.check());
    }

    #[test]
    fn everything_missing_or_wrong_is_reported_at_once() {
        let text = r#"
            primary = { url = "https://user@host/path" }
            capture = { threads = 0 }
            masking = { routes = ["nonsense"] }
            sampling = { rate = 2.0 }
        "#;
        let config: Config = toml::from_str(text).unwrap();
        let told = config.check().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for key in ["service.name", "primary.url", "capture.threads", "masking.routes", "sampling.rate", "masking.key"]
        {
            assert!(told.contains(key), "{key} is missing in:\n{told}");
        }
    }
}
