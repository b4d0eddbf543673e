//! The comparator's configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shadow_kafka::KafkaConfig;
use shadow_runtime::admin::AdminConfig;
use shadow_runtime::telemetry::LogConfig;
use shadow_runtime::units::{ByteSize, HumanDuration};
use shadow_runtime::{Instance, Problem, Secret, ServiceConfig};
use url::Url;

use crate::authorities::{self, Authorities};

/// A small configuration that works.
pub const EXAMPLE: &str = r#"
[kafka]
brokers = "127.0.0.1:9092"
[clickhouse]
url = "http://127.0.0.1:8123"
"#;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who this instance is.
    pub service: ServiceSection,
    /// How rows are stored.
    pub comparator: ComparatorSection,
    /// Where rows go.
    pub clickhouse: ClickHouseConfig,
    /// Where records come from.
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
    /// Its name in heartbeats and dead letters.
    pub instance: Instance,
}

/// `[comparator]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComparatorSection {
    /// Longest time a settled row waits for its batch.
    pub flush: HumanDuration,
    /// Rows that end a batch early.
    pub batch_rows: usize,
    /// How much of each side's body is kept with a differing row; 0 keeps none.
    pub body: ByteSize,
    /// How long after an exchange its outbound calls may be recorded; 0 compares none.
    pub effects_settle: HumanDuration,
    /// Outbound calls held in memory, per launch.
    pub effects_memory: ByteSize,
}

impl Default for ComparatorSection {
    fn default() -> Self {
        let (flush, body) = (HumanDuration::from_millis(500), ByteSize::kib(16));
        let (effects_settle, effects_memory) = (HumanDuration::from_millis(5_000), ByteSize::mib(128));
        Self { flush, batch_rows: 5_000, body, effects_settle, effects_memory }
    }
}

/// `[clickhouse]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClickHouseConfig {
    /// Its HTTP interface.
    pub url: Url,
    /// The database that `shadowctl schema apply` made.
    pub database: String,
    /// The user; inserting is all the comparator does.
    pub user: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// PEM file with the authorities that sign ClickHouse's certificate; those that browsers know when absent.
    pub ca: Option<Authorities>,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        let url = "http://127.0.0.1:8123".parse().expect("a literal URL");
        Self { url, database: "shadow".to_owned(), user: "default".to_owned(), password: None, ca: None }
    }
}

impl ClickHouseConfig {
    /// A client of the database.
    pub fn client(&self) -> clickhouse::Client {
        let client = authorities::client(self.ca.as_ref())
            .with_url(self.url.as_str())
            .with_database(&self.database)
            .with_user(&self.user)
            // Asking for a table's columns needs a right to read it, which a comparator has no other use for.
            .with_validation(false);
        match &self.password {
            Some(password) => client.with_password(password.expose()),
            None => client,
        }
    }
}

impl ServiceConfig for Config {
    fn log(&self) -> &LogConfig {
        &self.log
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.admin.problem().into_iter().collect();
        problems.extend(self.kafka.problems());
        let Self { comparator, clickhouse, .. } = self;
        if !matches!(clickhouse.url.scheme(), "http" | "https") {
            problems.push(Problem::key("clickhouse.url", "is not http or https", "write it as http://127.0.0.1:8123"));
        }
        if clickhouse.database.is_empty() {
            problems.push(Problem::key("clickhouse.database", "is empty", "name the database, such as `shadow`"));
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&comparator.flush.get()) {
            problems.push(Problem::key("comparator.flush", "is out of range", "use 10ms to 60s"));
        }
        if !(1..=100_000).contains(&comparator.batch_rows) {
            problems.push(Problem::key("comparator.batch_rows", "is out of range", "use 1 to 100000"));
        }
        if comparator.body > ByteSize::mib(1) {
            problems.push(Problem::key("comparator.body", "is out of range", "use 0 to 1MiB"));
        }
        if comparator.effects_settle.get() > Duration::from_secs(300) {
            problems.push(Problem::key("comparator.effects_settle", "is out of range", "use 0s to 5m"));
        }
        if !(ByteSize::mib(1)..=ByteSize::mib(16 << 10)).contains(&comparator.effects_memory) {
            problems.push(Problem::key("comparator.effects_memory", "is out of range", "use 1MiB to 16GiB"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_works_and_unknown_keys_are_refused() {
        let config: Config = toml::from_str(EXAMPLE).unwrap();
        assert!(config.check().is_empty());
        assert!(toml::from_str::<Config>("[clickhouse]\nurll = \"http://a\"").is_err());
    }

    #[test]
    fn what_cannot_work_is_reported_with_its_key() {
        let text =
            "[clickhouse]\nurl = \"tcp://a:9000\"\ndatabase = \"\"\n[comparator]\nflush = \"1us\"\nbatch_rows = 0";
        let config: Config = toml::from_str(text).unwrap();
        let problems: Vec<String> = config.check().iter().map(ToString::to_string).collect();
        for (problem, key) in
            problems.iter().zip(["clickhouse.url", "clickhouse.database", "comparator.flush", "comparator.batch_rows"])
        {
            assert!(problem.contains(key), "{problem}");
        }
        assert_eq!(problems.len(), 4);
    }
}
