//! The replayer's configuration. What belongs to one launch stands on the control topic instead.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shadow_kafka::KafkaConfig;
use shadow_runtime::admin::AdminConfig;
use shadow_runtime::telemetry::LogConfig;
use shadow_runtime::units::{ByteSize, HumanDuration};
use shadow_runtime::{Instance, MaskingConfig, Problem, ServiceConfig};
use url::{Position, Url};

use crate::identity::Identities;
use crate::target::Entry;
use crate::target_metrics;

/// Longest drain: it must fit, with the last commit, into the 8 s that a service has to end.
const LONGEST_DRAIN: HumanDuration = HumanDuration::from_secs(5);

/// A small configuration that works.
pub const EXAMPLE: &str = r#"[kafka]
brokers = "127.0.0.1:9092"

[masking]
key = { file = "/run/secrets/shadowline-key" }
"#;

/// All sections.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this instance is.
    pub service: ServiceSection,
    /// How it replays.
    pub replay: ReplayConfig,
    /// The agents' key, rules and routes.
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
    /// Name of this instance; two running replayers must not share one.
    pub instance: Instance,
}

/// The section `[replay]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// How long a rebalance or a stop waits for requests in flight.
    pub drain: HumanDuration,
    /// Longest answer whose body is kept; give it the agents' limit, or answers can only be compared by digest.
    pub max_response_body: ByteSize,
    /// Longest wait for a connection to a candidate.
    pub connect_timeout: HumanDuration,
    /// Hosts and networks outside of which no launch may send, whatever it says of itself; no limit when empty.
    pub allow: Vec<Entry>,
    /// Targets that see what rules encrypted as it was, `http://host:port`; none by default.
    pub reveal_to: Vec<Url>,
    /// Metrics endpoints of the versions by name, which the admin endpoint passes on; none by default.
    pub metrics_of: BTreeMap<String, Url>,
    /// File with the identities of targets (TOML): credentials and header rules of the shadow's own; none when absent.
    pub identity_file: Option<PathBuf>,
    /// Records read past the oldest unfinished one, for each partition.
    pub window_records: usize,
    /// Bytes read past the oldest unfinished record, for each partition; also bytes of outcomes that wait for their
    /// acknowledgement, for each launch.
    pub window_bytes: ByteSize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            drain: HumanDuration::from_secs(3),
            max_response_body: ByteSize::kib(256),
            connect_timeout: HumanDuration::from_secs(2),
            allow: Vec::new(),
            reveal_to: Vec::new(),
            metrics_of: BTreeMap::new(),
            identity_file: None,
            window_records: 2000,
            window_bytes: ByteSize::mib(8),
        }
    }
}

impl ReplayConfig {
    /// What the identity file says.
    ///
    /// # Errors
    /// Every problem with it.
    pub fn identities(&self) -> Result<Identities, Vec<Problem>> {
        self.identity_file.as_deref().map(Identities::load).transpose().map(Option::unwrap_or_default)
    }
}

impl ServiceConfig for Config {
    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = self.masking.masker().err().unwrap_or_default();
        problems.extend(self.kafka.problems());
        if self.kafka.brokers.trim().is_empty() {
            problems.push(Problem::key("kafka.brokers", "is empty", "name at least one host:port"));
        }
        if self.replay.drain > LONGEST_DRAIN {
            let cause = format!("is {}, more than a stop leaves time for", self.replay.drain);
            problems.push(Problem::key("replay.drain", cause, format!("use at most {LONGEST_DRAIN}")));
        }
        if self.replay.window_records == 0 {
            problems.push(Problem::key("replay.window_records", "is 0", "allow at least 1 record"));
        }
        if self.replay.window_bytes.get() == 0 {
            problems.push(Problem::key("replay.window_bytes", "is 0", "allow at least 1 byte"));
        }
        for url in self.replay.reveal_to.iter().filter(|url| !is_origin(url)) {
            let cause = format!("holds `{url}`, which is more or less than scheme, host and port");
            problems.push(Problem::key("replay.reveal_to", cause, "write each as `https://host:port`"));
        }
        for cause in self.replay.metrics_of.iter().filter_map(|(name, url)| target_metrics::problem(name, url)) {
            let remedy = "write { candidate = \"http://host:port/metrics\" }";
            problems.push(Problem::key("replay.metrics_of", cause, remedy));
        }
        problems.extend(self.replay.identities().err().unwrap_or_default());
        problems.extend(self.admin.problem());
        problems
    }
}

/// Whether it is scheme, host and port: a path would promise a narrower choice than there is.
pub(crate) fn is_origin(url: &Url) -> bool {
    let bare =
        url.username().is_empty() && url.password().is_none() && matches!(&url[Position::BeforePath..], "" | "/");
    matches!(url.scheme(), "http" | "https") && url.has_host() && bare
}

#[cfg(test)]
mod tests {
    use super::*;
    use shadow_runtime::ServiceArgs;
    use shadow_runtime::config::load_from;

    #[test]
    fn every_problem_is_named_with_its_key() {
        let mut config = Config::default();
        config.masking.routes = vec!["orders".to_owned()];
        config.masking.rules_file = Some("/nonexistent/rules.toml".into());
        config.replay.identity_file = Some("/nonexistent/identities.toml".into());
        config.replay.window_records = 0;
        config.replay.drain = HumanDuration::from_secs(6);
        config.replay.reveal_to = vec!["http://c:1".parse().unwrap(), "http://c:1/v2".parse().unwrap()];
        let metrics = [("candidate", "http://c:1/metrics"), ("a/b", "http://c:1/metrics")];
        config.replay.metrics_of =
            metrics.map(|(name, url)| (name.to_owned(), url.parse().unwrap())).into_iter().collect();
        let problems: Vec<_> = config.check().iter().map(ToString::to_string).collect();
        let keys = [
            "masking.key",
            "masking.routes",
            "masking.rules_file",
            "replay.window_records",
            "replay.drain",
            "replay.reveal_to",
            "replay.metrics_of",
            "replay.identity_file",
        ];
        for key in keys {
            assert_eq!(problems.iter().filter(|p| p.contains(key)).count(), 1, "{key} in {problems:?}");
        }
    }

    #[test]
    fn endpoints_of_versions_are_named_in_the_environment_too() {
        let value = r#"{ candidate = "http://c:1/metrics", control = "http://d:2/m?x=1" }"#;
        let config: Config =
            load_from(&ServiceArgs::default(), [("SHADOW_REPLAY_METRICS_OF".into(), value.into())]).unwrap();
        let named: Vec<_> = config.replay.metrics_of.iter().map(|(name, url)| (name.as_str(), url.as_str())).collect();
        assert_eq!(named, [("candidate", "http://c:1/metrics"), ("control", "http://d:2/m?x=1")]);
        assert!(config.replay.metrics_of.iter().all(|(name, url)| target_metrics::problem(name, url).is_none()));
        for (name, url) in [
            ("", "http://c/metrics"),
            (".", "http://c/metrics"),
            ("a b", "http://c/metrics"),
            ("a", "ftp://c/metrics"),
            ("a", "data:text/plain,up 1"),
            ("a", "http://c/metrics#x"),
            ("a", "http://u:hunter2@c/metrics"),
        ] {
            let problem = target_metrics::problem(name, &url.parse().unwrap());
            assert!(problem.is_some_and(|problem| !problem.contains("hunter2")), "{name} {url}");
        }
    }

    #[test]
    fn where_launches_may_send_is_a_list_in_the_environment_too_and_never_half_of_one() {
        let load = |value: &str| {
            load_from::<Config>(&ServiceArgs::default(), [("SHADOW_REPLAY_ALLOW".into(), value.into())])
                .map(|config| config.replay.allow.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(load("shadow.internal, 10.1.0.0/16").unwrap(), ["shadow.internal", "10.1.0.0/16"]);
        assert_eq!(load(r#"["candidate:3000"]"#).unwrap(), ["candidate:3000"]);
        assert_eq!(load("").unwrap(), Vec::<String>::new());
        for text in ["shadow.internal, 10.1.0.0/99", "http://shadow.internal", "shadow.internal,"] {
            let refused = load(text).unwrap_err().to_string();
            assert!(refused.contains("SHADOW_REPLAY_ALLOW") && refused.contains("neither a host"), "{refused}");
        }
    }

    #[test]
    fn the_example_is_a_configuration_that_passes_the_check() {
        let dir = tempfile::tempdir().unwrap();
        let (key, file) = (dir.path().join("key"), dir.path().join("replayer.toml"));
        std::fs::write(&key, "k".repeat(32)).unwrap();
        std::fs::write(&file, EXAMPLE.replace("/run/secrets/shadowline-key", &key.to_string_lossy())).unwrap();
        let args = ServiceArgs { config: Some(file), ..ServiceArgs::default() };
        let config: Config = load_from(&args, []).unwrap();
        assert!(config.check().is_empty());
    }
}
