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

impl Config {
    /// A primary that is this agent, as far as the configuration alone tells; connecting tells the rest.
    fn circle(&self) -> Option<Problem> {
        let admin = self.admin.network.is_none().then_some(self.admin.listen);
        let listeners = [
            ("listen.address", Some(self.listen.address)),
            ("egress.listen", self.egress.listen),
            ("admin.listen", admin),
        ];
        let leads = |(key, listener): (&'static str, Option<_>)| {
            listener.filter(|listener| self.primary.leads_to(*listener)).map(|listener| (key, listener))
        };
        let (key, listener) = listeners.into_iter().find_map(leads)?;
        let cause = format!("leads to this agent itself ({key} is {listener}): its requests would go round");
        Some(Problem::key("primary.url", cause, format!("write where the primary listens, or change {key}")))
    }
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
        problems.extend(self.circle());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(listen: &str, primary: &str, more: &str) -> Option<String> {
        let toml = format!("listen.address = '{listen}'\nprimary.url = '{primary}'\n{more}");
        toml::from_str::<Config>(&toml).unwrap().circle().map(|problem| problem.to_string())
    }

    #[test]
    fn a_primary_that_is_the_agent_is_refused_with_the_listener_that_it_is() {
        for (listen, primary) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("127.0.0.1:8080", "http://localhost:8080"),
            ("127.0.0.1:8080", "http://0.0.0.0:8080"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:8080", "http://localhost.:8080"),
            ("[::]:8080", "http://127.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("[::1]:8080", "http://localhost:8080"),
            ("0.0.0.0:443", "https://localhost"),
        ] {
            let told = told(listen, primary, "").unwrap_or_else(|| panic!("{listen} {primary}"));
            assert!(told.starts_with("primary.url: leads to this agent itself (listen.address is "), "{told}");
            assert!(told.contains("write where the primary listens"), "{told}");
        }
        for (more, key) in [
            ("egress.listen = '127.0.0.1:9000'", "egress.listen is 127.0.0.1:9000"),
            ("admin.listen = '0.0.0.0:9000'", "admin.listen is 0.0.0.0:9000"),
        ] {
            let told = told("127.0.0.1:8080", "http://127.0.0.1:9000", more).unwrap_or_else(|| panic!("{more}"));
            assert!(told.contains(key), "{told}");
        }
    }

    #[test]
    fn a_primary_beside_the_agent_is_not() {
        for (listen, primary) in [
            ("127.0.0.1:8080", "http://127.0.0.1:3000"),
            ("127.0.0.1:8080", "http://127.0.0.2:8080"),
            ("0.0.0.0:8080", "http://192.0.2.1:8080"),
            ("0.0.0.0:8080", "http://shop.internal:8080"),
            ("127.0.0.1:0", "http://127.0.0.1:3000"),
        ] {
            assert_eq!(told(listen, primary, ""), None, "{listen} {primary}");
        }
        let elsewhere = "admin = { listen = '127.0.0.1:9000', network = '192.0.2.0/24' }";
        assert_eq!(told("127.0.0.1:8080", "http://127.0.0.1:9000", elsewhere), None);
    }

    #[test]
    fn the_check_of_the_whole_configuration_says_so() {
        let config: Config = toml::from_str("primary.url = 'http://localhost:8080'").unwrap();
        let problems: Vec<_> = config.check().iter().map(ToString::to_string).collect();
        assert_eq!(problems.iter().filter(|told| told.contains("this agent itself")).count(), 1, "{problems:?}");
    }
}
