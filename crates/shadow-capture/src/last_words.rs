//! Says the last word of agents that could not: finds the accounts of dead ones and publishes each as a final heartbeat.
//!
//! Any agent of the same service on this host that publishes to the same brokers does it, at its start and while it runs, so an
//! agent that does not come back is accounted for by its neighbour.
//!
//! Guarantee: an account is removed only when Kafka has acknowledged it. One that is published twice changes nothing, since
//! its counters are totals and its place among the heartbeats is the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shadow_kafka::{Delivery, KafkaConfig, KafkaError, Outgoing, Producer, ProducerLimits};
use shadow_record::{Role, ServiceName, State, Status, Timestamp, encode, topics};
use tokio::time::sleep;

use crate::ledger::{Directory, Ended, Label, LeftAccount, take_over};

/// Time between looks. Also how long an account waits that was still locked: a killed process may take a moment to be gone.
const LOOK: Duration = Duration::from_secs(10);
/// Most accounts settled in one look; the others wait for the next.
const AT_ONCE: usize = 64;
/// How long the brokers may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The last of all heartbeats of an epoch, whichever was the last that the agent sent.
const LAST: i64 = i64::MAX;

/// Publishes what dead agents left.
#[derive(Clone)]
pub(crate) struct LastWords(Arc<Inner>);

struct Inner {
    kafka: KafkaConfig,
    service: ServiceName,
    /// As an account holds them.
    brokers: String,
    directories: Vec<Directory>,
    /// How long the brokers may take.
    answer: Duration,
    /// Accounts for other brokers that were told of.
    told: Mutex<BTreeSet<PathBuf>>,
}

impl LastWords {
    /// For the agents of one service that left their accounts in `directories`.
    pub(crate) fn new(kafka: KafkaConfig, service: ServiceName, directories: Vec<Directory>) -> Self {
        let brokers = label(&service, "", &kafka).brokers;
        Self(Arc::new(Inner { kafka, service, brokers, directories, answer: ANSWER, told: Mutex::default() }))
    }

    /// Looks and publishes until it is dropped. Kafka and its topics should be there.
    pub(crate) async fn say(&self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the accounts of dead agents are not published yet");
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&self) -> Result<(), KafkaError> {
        let words = self.clone();
        // Files, though small ones: not the business of a thread that serves.
        let estates = tokio::task::spawn_blocking(move || {
            let found = words.0.directories.iter().flat_map(|dir| take_over(dir, AT_ONCE, |p, a| words.wants(p, a)));
            found.take(AT_ONCE).collect::<Vec<_>>()
        });
        let Ok(estates) = estates.await else { return Ok(()) };
        if estates.is_empty() {
            return Ok(());
        }
        let producer =
            Producer::new(&self.0.kafka, &ProducerLimits { queue_bytes: 1 << 20, message_timeout: self.0.answer })?;
        for estate in estates {
            let status = last_word(&estate.account, Timestamp::now());
            let key = Some(status.instance.as_bytes());
            let out = Outgoing { topic: topics::STATUS, partition: Some(0), key, payload: &encode(&status) };
            let path = estate.file.path().display();
            match producer.publish(out).await {
                Delivery::Acknowledged { .. } => {
                    tell(&estate.account);
                    if let Err(error) = estate.file.remove() {
                        tracing::warn!(%error, %path, "a settled account cannot be removed; it is published again");
                    }
                }
                Delivery::Rejected(why) | Delivery::InDoubt(why) => {
                    tracing::debug!(why, %path, "a dead agent's account is not acknowledged; it is kept");
                }
            }
        }
        Ok(())
    }

    fn wants(&self, path: &Path, account: &LeftAccount) -> bool {
        if account.service != self.0.service.as_str() {
            return false;
        }
        if account.brokers != self.0.brokers {
            let first = self.0.told.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
            if first {
                tracing::info!(
                    path = %path.display(), brokers = account.brokers,
                    "an agent of this service left an account for other brokers; start one with those to publish it, or read it with `shadowctl ledger --account-dir` and remove it"
                );
            }
            return false;
        }
        true
    }
}

/// Whose account this process keeps.
pub(crate) fn label(service: &ServiceName, instance: &str, kafka: &KafkaConfig) -> Label {
    let (service, instance) = (service.to_string(), instance.to_owned());
    Label { service, instance, brokers: kafka.brokers.clone(), epoch: Timestamp::now().micros() }.cut()
}

fn tell(account: &LeftAccount) {
    let LeftAccount { instance, epoch, ended, .. } = account;
    let [seen, in_doubt, lost] = ["seen", "in_doubt", "lost_with_agent"].map(|name| account.counter(name));
    match ended {
        Ended::Killed => {
            tracing::info!(instance, epoch, seen, in_doubt, lost, "an agent was killed; its account is published");
        }
        Ended::Stopped => tracing::info!(instance, epoch, seen, in_doubt, "a stopped agent's account is published"),
    }
}

/// The heartbeat with which an epoch ends.
fn last_word(account: &LeftAccount, at: Timestamp) -> Status {
    Status {
        instance: account.instance.clone(),
        role: Role::CaptureAgent,
        service: account.service.clone(),
        launch: None,
        epoch: account.epoch,
        sequence: LAST,
        at,
        state: State::Stopped,
        control_version: -1,
        heard_at: None,
        last_send_at: None,
        counters: account.counters.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Settlement};

    fn left(dir: &Path, service: &str, brokers: &str) {
        let label = label(&service.parse().unwrap(), "a", &KafkaConfig::at(brokers));
        let ledger = Ledger::kept(label, &[Directory::Given(dir.to_owned())]);
        ledger.see().settle(Settlement::SampledOut);
    }

    #[test]
    fn only_accounts_of_the_same_service_and_brokers_are_this_agents_business() {
        let dir = tempfile::tempdir().unwrap();
        for (service, brokers) in [("shop", "k:1"), ("shop", "k:2"), ("cart", "k:1")] {
            left(dir.path(), service, brokers);
        }
        let directory = Directory::Given(dir.path().to_owned());
        let words = LastWords::new(KafkaConfig::at("k:1"), "shop".parse().unwrap(), vec![directory.clone()]);
        let taken = take_over(&directory, 9, |path, account| words.wants(path, account));
        let of: Vec<_> = taken.iter().map(|e| (e.account.service.as_str(), e.account.brokers.as_str())).collect();
        assert_eq!(of, [("shop", "k:1")]);
        assert_eq!(words.0.told.lock().unwrap().len(), 1, "an account for other brokers is told of");
    }

    #[tokio::test]
    async fn an_account_that_kafka_does_not_acknowledge_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        left(dir.path(), "shop", "127.0.0.1:1");
        let directory = Directory::Given(dir.path().to_owned());
        let words = LastWords::new(KafkaConfig::at("127.0.0.1:1"), "shop".parse().unwrap(), vec![directory.clone()]);
        let inner = Arc::into_inner(words.0).unwrap();
        let words = LastWords(Arc::new(Inner { answer: Duration::from_millis(100), ..inner }));
        words.look().await.unwrap();
        assert_eq!(take_over(&directory, 9, |_, _| true).len(), 1);
    }

    #[test]
    fn the_last_word_follows_every_heartbeat_of_its_epoch() {
        let dir = tempfile::tempdir().unwrap();
        left(dir.path(), "shop", "k:1");
        let taken = take_over(&Directory::Given(dir.path().to_owned()), 9, |_, _| true);
        let account = &taken[0].account;
        let status = last_word(account, Timestamp(5));
        assert_eq!((status.state, status.sequence, status.epoch), (State::Stopped, i64::MAX, account.epoch));
        assert_eq!((status.counters["seen"], status.counters["in_flight"]), (1, 0));
    }
}
