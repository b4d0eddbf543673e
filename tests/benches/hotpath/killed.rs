//! The account of an agent that was killed: its last heartbeat on the status topic, beside the records it left in Kafka.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use shadow_kafka::{KafkaConfig, Tail, TailEvent, TailFrom};
use shadow_record::{CapturedExchange, ServiceName, State, Status, decode, topics};

/// The captured service of the agent that is killed, so that its topic holds nobody else's records.
pub const SERVICE: &str = "killed";

/// What is known of the dead epoch.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Dead {
    pub epoch: i64,
    pub is_final: bool,
    pub seen: i64,
    pub excluded: i64,
    pub sampled_out: i64,
    pub dropped: i64,
    pub acknowledged: i64,
    pub in_doubt: i64,
    pub in_flight: i64,
    pub lost_with_agent: i64,
    /// Distinct sequence numbers among the captured records.
    pub records: i64,
    /// Records whose number was there already.
    pub doubles: i64,
}

impl Dead {
    /// Whether the ledger's equation holds.
    pub fn balances(&self) -> bool {
        self.seen
            == self.excluded
                + self.sampled_out
                + self.dropped
                + self.acknowledged
                + self.in_doubt
                + self.in_flight
                + self.lost_with_agent
    }

    /// As a line of terms.
    pub fn show(&self) -> String {
        format!(
            "seen {} = excluded {} + sampled out {} + dropped {} + acknowledged {} + in doubt {} + in flight {} + lost with the agent {}",
            self.seen,
            self.excluded,
            self.sampled_out,
            self.dropped,
            self.acknowledged,
            self.in_doubt,
            self.in_flight,
            self.lost_with_agent
        )
    }
}

/// Reads the account of the older of an instance's two epochs. A final word is waited for, not endlessly; without one the last
/// heartbeat is what there is.
pub async fn account(brokers: &str, instance: &str, patience: Duration) -> Dead {
    let kafka = KafkaConfig::at(brokers);
    let tail = Tail::open(&kafka, topics::STATUS, TailFrom::Start).await.expect("heartbeats are readable");
    let mut last: Option<Status> = None;
    let mut next_started = false;
    let listening = async {
        loop {
            let TailEvent::Record(record) = tail.recv().await.expect("heartbeats are readable") else { continue };
            let Ok(status) = decode::<Status>(&record.payload) else { continue };
            if status.instance != instance {
                continue;
            }
            next_started |= last.as_ref().is_some_and(|last| status.epoch > last.epoch);
            if last.as_ref().is_none_or(|last| (status.epoch, last.sequence) <= (last.epoch, status.sequence)) {
                last = Some(status);
            }
            if next_started && last.as_ref().is_some_and(|last| last.state == State::Stopped) {
                return;
            }
        }
    };
    drop(tokio::time::timeout(patience, listening).await);
    let status = last.expect("the killed agent had said something");
    let count = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let mut dead = Dead {
        epoch: status.epoch,
        is_final: status.state == State::Stopped,
        seen: count("seen"),
        excluded: count("excluded"),
        sampled_out: count("sampled_out"),
        dropped: count("dropped"),
        acknowledged: count("acknowledged"),
        in_doubt: count("in_doubt"),
        in_flight: count("in_flight"),
        lost_with_agent: count("lost_with_agent"),
        ..Dead::default()
    };
    count_records(&kafka, &mut dead).await;
    dead
}

/// Counts the records of the dead epoch.
async fn count_records(kafka: &KafkaConfig, dead: &mut Dead) {
    let service: ServiceName = SERVICE.parse().expect("a name");
    let tail = Tail::open(kafka, &topics::captured(&service), TailFrom::Start).await.expect("the topic is readable");
    let mut numbers = HashSet::new();
    while let TailEvent::Record(record) = tail.recv().await.expect("the topic is readable") {
        let exchange: CapturedExchange = decode(&record.payload).expect("captured records decode");
        if exchange.epoch == dead.epoch && !numbers.insert(exchange.sequence) {
            dead.doubles += 1;
        }
    }
    dead.records = numbers.len() as i64;
}
