//! How to reach Kafka.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use shadow_runtime::{Problem, Secret};

/// The `[kafka]` section of every service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Bootstrap list, `host:port,host:port`.
    pub brokers: String,
    /// Whether to speak TLS; a `ca`, a `certificate` or a `user` asks for it too.
    pub tls: bool,
    /// PEM file with the authorities that sign the brokers' certificates; those of the system when absent.
    pub ca: Option<PathBuf>,
    /// PEM file with the certificate that is shown to brokers, and its intermediates.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// Who this is, for SASL.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// How the password is proved.
    pub mechanism: Mechanism,
    /// Further librdkafka properties, such as security settings; they win over Shadowline's own.
    #[serde(skip_serializing)]
    pub properties: BTreeMap<String, String>,
}

/// How a password is proved to the brokers. `PLAIN` hands it over, so it goes through TLS like the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    #[default]
    ScramSha512,
    /// The password as it is.
    Plain,
}

impl Mechanism {
    /// As Kafka spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::Plain => "PLAIN",
        }
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self::at("127.0.0.1:9092")
    }
}

/// Shows which properties are set, never their values: some are passwords.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("tls", &self.speaks_tls())
            .field("user", &self.user)
            .field("properties", &names)
            .finish_non_exhaustive()
    }
}

impl KafkaConfig {
    /// Plain connection to `brokers`.
    pub fn at(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            tls: false,
            ca: None,
            certificate: None,
            key: None,
            user: None,
            password: None,
            mechanism: Mechanism::default(),
            properties: BTreeMap::new(),
        }
    }

    /// What cannot work, for [`ServiceConfig::check`](shadow_runtime::ServiceConfig::check).
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.certificate.is_some() != self.key.is_some() {
            let remedy = "set kafka.certificate and kafka.key together";
            problems.push(Problem::key("kafka.certificate", "a certificate and its key belong together", remedy));
        }
        if self.user.is_some() != self.password.is_some() {
            let remedy = "set kafka.user, and kafka.password as { file = \"...\" } or SHADOW_KAFKA_PASSWORD";
            problems.push(Problem::key("kafka.user", "a user and a password belong together", remedy));
        }
        let protocol = self.properties.get("security.protocol").map(|protocol| protocol.to_ascii_uppercase());
        if self.user.is_some() && protocol.is_some_and(|protocol| !protocol.ends_with("SSL")) {
            let cause = "would send the password of kafka.user without TLS";
            problems.push(Problem::key("kafka.properties", cause, "leave security.protocol out"));
        }
        let files = [("kafka.ca", &self.ca), ("kafka.certificate", &self.certificate), ("kafka.key", &self.key)];
        for (key, path) in files {
            if let Some(path) = path
                && let Err(error) = std::fs::File::open(path)
            {
                let cause = format!("cannot read {}: {error}", path.display());
                problems.push(Problem::key(key, cause, "check the path and its permissions"));
            }
        }
        problems
    }

    /// A password never goes over a connection that others can read.
    fn speaks_tls(&self) -> bool {
        self.tls || self.ca.is_some() || self.certificate.is_some() || self.user.is_some()
    }

    fn secure(&self, config: &mut ClientConfig) {
        let protocol = match (self.speaks_tls(), self.user.is_some()) {
            (false, _) => return,
            (true, false) => "SSL",
            (true, true) => "SASL_SSL",
        };
        config.set("security.protocol", protocol);
        let files = [
            ("ssl.ca.location", &self.ca),
            ("ssl.certificate.location", &self.certificate),
            ("ssl.key.location", &self.key),
        ];
        for (key, path) in files {
            if let Some(path) = path {
                config.set(key, path.display().to_string());
            }
        }
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            config.set("sasl.mechanism", self.mechanism.as_str());
            config.set("sasl.username", user).set("sasl.password", password.expose());
        }
    }

    /// Settings of every client; `overrides` are those of its kind.
    pub(crate) fn client(&self, overrides: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "shadowline")
            .set("allow.auto.create.topics", "false")
            // Brokers come back within seconds; the default grows to 10 s between attempts.
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("log.connection.close", "false");
        for (key, value) in overrides {
            config.set(*key, *value);
        }
        self.secure(&mut config);
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config
    }
}

/// The client's own log goes to `tracing`; connection errors repeat every second, so they are debug there and are reported
/// once by whoever waits for the broker.
pub(crate) struct LogContext;

impl rdkafka::ClientContext for LogContext {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_sent_without_tls_and_halves_are_refused() {
        let known = KafkaConfig {
            user: Some("u".to_owned()),
            password: Some(Secret::new("hidden")),
            ..KafkaConfig::at("localhost:9093")
        };
        assert!(known.problems().is_empty());
        assert_eq!(known.client(&[]).get("security.protocol"), Some("SASL_SSL"));
        assert!(!format!("{known:?}").contains("hidden"));
        let plain = BTreeMap::from([("security.protocol".to_owned(), "sasl_plaintext".to_owned())]);
        let refused = [
            KafkaConfig { properties: plain, ..known.clone() },
            KafkaConfig { password: None, ..known.clone() },
            KafkaConfig { key: Some("/nowhere".into()), ..KafkaConfig::default() },
            KafkaConfig { ca: Some("/nowhere/ca.pem".into()), ..KafkaConfig::default() },
        ];
        for config in refused {
            assert!(!config.problems().is_empty(), "{config:?}");
        }
        assert_eq!(KafkaConfig::default().client(&[]).get("security.protocol"), None);
    }
}
