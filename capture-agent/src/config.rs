//! The agent's configuration, section by section, and what is checked before anything starts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shadow_capture::{CaptureSection, Sampler, SamplingConfig, ServiceSection};
use shadow_kafka::KafkaConfig;
use shadow_runtime::admin::AdminConfig;
use shadow_runtime::telemetry::LogConfig;
use shadow_runtime::{MaskingConfig, Problem, ServiceConfig};

use crate::edge::config::{ListenSection, PrimarySection};
use crate::egress::config::EgressSection;

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
    /// Where the primary's own calls come in.
    pub egress: EgressSection,
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

/// How the primary is spoken to when the client speaks HTTP/2. HTTP/1 is always relayed as HTTP/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, as gRPC needs: agreed on in the TLS handshake, or with prior knowledge in cleartext.
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

impl ServiceConfig for Config {
    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.kafka.problems();
        if self.service.name.is_none() {
            problems.push(Problem::key("service.name", "is missing", "name the service, such as `checkout`"));
        }
        problems.extend(self.listen.problems());
        problems.extend(self.primary.problems());
        problems.extend(self.egress.problems());
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
