//! The stub's configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shadow_ca::Ca;
use shadow_kafka::KafkaConfig;
use shadow_record::{LaunchName, ServiceName};
use shadow_runtime::admin::AdminConfig;
use shadow_runtime::telemetry::LogConfig;
use shadow_runtime::units::{ByteSize, HumanDuration};
use shadow_runtime::{Alias, Instance, MaskingConfig, Problem, Secret, ServiceConfig};

use crate::rules::Rules;

/// A small configuration that works.
pub const EXAMPLE: &str = r#"[service]
name = "checkout"

[stub]
http = "127.0.0.1:8090"
rules = ["/etc/shadowline/stripe.toml"]
aliases = [{ path = "/stripe", to = "https://api.stripe.com" }]

[kafka]
brokers = "127.0.0.1:9092"

[masking]
key = { file = "/run/secrets/shadowline-key" }
"#;

/// Longest wait for the primary's effects that may be asked for.
const LONGEST_PATIENCE: Duration = Duration::from_secs(10);

/// Longest body that may be allowed: longer ones than a few MiB are in no record, only their length and digest.
const LONGEST_BODY: ByteSize = ByteSize::mib(64);

/// All sections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this instance is.
    pub service: ServiceSection,
    /// What it answers, where, and with what.
    pub stub: StubConfig,
    /// The agents' key and rules; routes are those of the stub's rules.
    pub masking: MaskingConfig,
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// The admin endpoint.
    pub admin: AdminConfig,
    /// The log.
    pub log: LogConfig,
}

/// The section `[service]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSection {
    /// The logical service whose calls come here. Required.
    pub name: Option<ServiceName>,
    /// Name of this instance; two running stubs must not share one.
    pub instance: Instance,
}

/// The section `[stub]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StubConfig {
    /// Where calls by base URL, through a forward proxy and through tunnels come in.
    pub http: SocketAddr,
    /// Where calls with TLS to DNS aliases come in; absent for nowhere.
    pub tls: Option<SocketAddr>,
    /// Where mail comes in; absent for nowhere.
    pub smtp: Option<SocketAddr>,
    /// The host that mail is recorded under.
    pub smtp_host: String,
    /// Files of rules, in order of precedence.
    pub rules: Vec<PathBuf>,
    /// What the shadow's base URLs stand for.
    pub aliases: Vec<Alias>,
    /// Private key of the authority that `shadowctl stub ca` made; without it no call may come with TLS.
    pub ca_key: Option<Secret>,
    /// The launch that calls belong to when they do not tell.
    pub launch: Option<LaunchName>,
    /// Whether a call of a known request is answered as the primary's call was.
    pub mirror: bool,
    /// Longest wait for the primary's effects.
    pub mirror_patience: HumanDuration,
    /// Memory for the primary's effects, for each launch.
    pub mirror_memory: ByteSize,
    /// Connections at a time, for each listener.
    pub connections: usize,
    /// Longest body of a call.
    pub max_body: ByteSize,
    /// Partitions of the effects topic, when it is not there yet.
    pub partitions: i32,
}

impl Default for StubConfig {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8090)),
            tls: None,
            smtp: None,
            smtp_host: "mail".to_owned(),
            rules: Vec::new(),
            aliases: Vec::new(),
            ca_key: None,
            launch: None,
            mirror: true,
            mirror_patience: HumanDuration::from_millis(250),
            mirror_memory: ByteSize::mib(128),
            connections: 1024,
            max_body: ByteSize::mib(1),
            partitions: 12,
        }
    }
}

impl StubConfig {
    /// The rules of all files.
    ///
    /// # Errors
    /// The first problem, with its file.
    pub fn parsed_rules(&self) -> Result<Rules, Problem> {
        let problem =
            |cause: String| Problem::key("stub.rules", cause, "correct the file; docs/side-effects.md explains rules");
        let mut rules = Rules::none();
        for path in &self.rules {
            let text = std::fs::read_to_string(path)
                .map_err(|error| problem(format!("`{}` cannot be read: {error}", path.display())))?;
            rules.read(&text).map_err(|error| problem(format!("`{}`: {error}", path.display())))?;
        }
        Ok(rules)
    }

    /// The authority, if there is one.
    ///
    /// # Errors
    /// When the key is none.
    pub fn parsed_ca(&self) -> Result<Option<Ca>, Problem> {
        let remedy = "make one with `shadowctl stub ca`";
        let key = self.ca_key.as_ref().map(|key| Ca::of_key(key.expose()));
        key.transpose().map_err(|error| Problem::key("stub.ca_key", error.to_string(), remedy))
    }
}

impl ServiceConfig for Config {
    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.masking.masker().err().unwrap_or_default();
        problems.extend(self.kafka.problems());
        if self.service.name.is_none() {
            problems.push(Problem::key("service.name", "is missing", "name the service, as its capture agents do"));
        }
        if !self.masking.routes.is_empty() {
            let cause = "is set, but the stub's routes are the paths of its rules";
            problems.push(Problem::key("masking.routes", cause, "leave it out"));
        }
        problems.extend(self.stub.parsed_rules().err());
        problems.extend(self.stub.parsed_ca().err());
        if self.stub.tls.is_some() && self.stub.ca_key.is_none() {
            problems.push(Problem::key("stub.tls", "needs stub.ca_key", "make one with `shadowctl stub ca`"));
        }
        for cause in self.stub.aliases.iter().filter_map(Alias::problem) {
            problems.push(Problem::key(
                "stub.aliases",
                cause,
                "write { path = \"/stripe\", to = \"https://api.stripe.com\" }",
            ));
        }
        if self.stub.partitions < 1 {
            problems.push(Problem::key("stub.partitions", "is below 1", "use at least 1"));
        }
        if self.stub.max_body > LONGEST_BODY {
            let cause = "is more than 64MiB, of which a record would hold nothing but length and digest";
            problems.push(Problem::key("stub.max_body", cause, "use at most 64MiB"));
        }
        if self.stub.mirror_patience.get() > LONGEST_PATIENCE {
            let cause = "is more than 10s: the shadow's own time-outs end sooner";
            problems.push(Problem::key("stub.mirror_patience", cause, "use the default of 250ms, or a few seconds"));
        }
        if self.stub.mirror && self.stub.mirror_memory < ByteSize::mib(1) {
            problems.push(Problem::key(
                "stub.mirror_memory",
                "is below 1MiB",
                "use 128MiB, or stub.mirror = false for none",
            ));
        }
        if self.kafka.brokers.trim().is_empty() {
            problems.push(Problem::key("kafka.brokers", "is empty", "name at least one host:port"));
        }
        problems.extend(self.admin.problem());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_not_be_longer_than_memory_bears() {
        let named = |mib| {
            let stub = StubConfig { max_body: ByteSize::mib(mib), ..StubConfig::default() };
            let config = Config { stub, ..Config::default() };
            config.check().iter().any(|problem| problem.to_string().contains("stub.max_body"))
        };
        assert_eq!((named(64), named(65)), (false, true));
    }
}
