//! The sections `[service]` and `[capture]`: who captures, and the bounds of what is kept behind the tee.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shadow_record::ServiceName;
use shadow_runtime::units::{ByteSize, HumanDuration};
use shadow_runtime::{Instance, Problem};

/// `[service]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceSection {
    /// The logical service, which names the topic. Required.
    pub name: Option<ServiceName>,
    /// This agent, or this copy of a service that captures itself; the host's name by default.
    pub instance: Instance,
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
    /// How far masking and the Kafka client give way to the traffic, from 0, not at all, to 19.
    pub nice: u8,
    /// Time that may be added to a request, at the 99th percentile, before capturing pauses by itself.
    pub latency_budget: Threshold,
    /// How much later than due the threads of the hot path may run, at the 99th percentile, before capturing pauses by itself.
    pub lag_budget: Threshold,
    /// Whether every launch is paused too when capturing pauses by itself. Off where something else slows the host now and then, and
    /// stopping rehearsals for it helps nobody.
    pub pause_launches: bool,
    /// Partitions of the captured topic when it is created.
    pub partitions: i32,
    /// Bytes that may wait for the brokers.
    pub outbox: ByteSize,
    /// How long a record may wait for the brokers.
    pub delivery: HumanDuration,
    /// How long a stop waits for masking and for the brokers.
    pub flush: HumanDuration,
    /// Directory of the accounts, so that one outlives an agent that is killed; without it the first usual one that can be used.
    pub account: Option<PathBuf>,
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            body_limit: ByteSize::kib(256),
            budget: ByteSize::mib(64),
            queue: 8192,
            threads: 1,
            nice: 10,
            latency_budget: Threshold::At(HumanDuration::from_millis(1)),
            lag_budget: Threshold::At(HumanDuration::from_millis(10)),
            pause_launches: true,
            partitions: 12,
            outbox: ByteSize::mib(32),
            delivery: HumanDuration::from_secs(30),
            flush: HumanDuration::from_secs(1),
            account: None,
        }
    }
}

impl CaptureSection {
    /// What is wrong with it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut positive = |key: &str, fits: bool| {
            if !fits {
                problems.push(Problem::key(key, "is out of range", "use at least 1"));
            }
        };
        positive("capture.queue", self.queue >= 1);
        positive("capture.threads", (1..=64).contains(&self.threads));
        positive("capture.partitions", (1..=10_000).contains(&self.partitions));
        for (key, budget) in [("capture.latency_budget", self.latency_budget), ("capture.lag_budget", self.lag_budget)]
        {
            if budget == Threshold::At(HumanDuration::default()) {
                problems.push(Problem::key(key, "would always be exceeded", "give it some time, or write `off`"));
            }
        }
        if self.nice > 19 {
            problems.push(Problem::key("capture.nice", "is out of range", "use 0 to 19"));
        }
        problems
    }
}

/// A limit of time, or none: `"1ms"`, `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Threshold {
    /// None.
    Off,
    /// Beyond this.
    At(HumanDuration),
}

/// A text that is no [`Threshold`].
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a duration such as \"1ms\" nor \"off\"")]
pub struct InvalidThreshold(String);

impl FromStr for Threshold {
    type Err = InvalidThreshold;
    fn from_str(text: &str) -> Result<Self, InvalidThreshold> {
        if text.trim() == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| InvalidThreshold(text.to_owned()))
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(limit) => limit.fmt(f),
        }
    }
}

impl TryFrom<String> for Threshold {
    type Error = InvalidThreshold;
    fn try_from(text: String) -> Result<Self, InvalidThreshold> {
        text.parse()
    }
}

impl From<Threshold> for String {
    fn from(threshold: Threshold) -> String {
        threshold.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CaptureSection, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn budgets_of_time_are_durations_or_off() {
        let section = parse("latency_budget = \"off\"\nlag_budget = \"25ms\"").unwrap();
        assert_eq!(section.latency_budget, Threshold::Off);
        assert_eq!(section.lag_budget.to_string(), "25ms");
        assert!(section.problems().is_empty());
        assert!(parse("lag_budget = \"soon\"").unwrap_err().contains("neither a duration such as"));
        assert_eq!(parse("lag_budget = \"0\"").unwrap().problems().len(), 1);
        assert_eq!(parse("nice = 20").unwrap().problems().len(), 1);
    }
}
