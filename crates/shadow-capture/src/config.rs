//! The `[capture]` section: bounds of what is kept behind the tee.

use serde::{Deserialize, Serialize};
use shadow_runtime::Problem;
use shadow_runtime::units::{ByteSize, HumanDuration};

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
    /// Partitions of the captured topic when it is created.
    pub partitions: i32,
    /// Bytes that may wait for the brokers.
    pub outbox: ByteSize,
    /// How long a record may wait for the brokers.
    pub delivery: HumanDuration,
    /// How long a stop waits for masking and for the brokers.
    pub flush: HumanDuration,
}

impl Default for CaptureSection {
    fn default() -> Self {
        Self {
            body_limit: ByteSize::kib(256),
            budget: ByteSize::mib(64),
            queue: 8192,
            threads: 1,
            nice: 10,
            partitions: 12,
            outbox: ByteSize::mib(32),
            delivery: HumanDuration::from_secs(30),
            flush: HumanDuration::from_secs(1),
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
        if self.nice > 19 {
            problems.push(Problem::key("capture.nice", "is out of range", "use 0 to 19"));
        }
        problems
    }
}
