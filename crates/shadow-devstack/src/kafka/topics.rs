//! Questions to a broker: is it ready, and may it create this topic.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use crate::{DevstackError, KafkaKind};

/// How long the broker may take to create a topic and elect its partitions' leaders.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked whether it has.
const POLL: Duration = Duration::from_millis(20);

/// A client that says nothing: while a broker starts, failed connections are expected.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Quiet {}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();
    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("log_level", "0");
    config
}

/// Whether the broker answers a metadata request and counts itself as available.
pub(crate) async fn has_broker(brokers: String, patience: Duration) -> bool {
    let ask = move || {
        let client: BaseConsumer<Quiet> = config(&brokers).create_with_context(Quiet)?;
        Ok::<_, KafkaError>(!client.fetch_metadata(None, patience)?.brokers().is_empty())
    };
    tokio::task::spawn_blocking(ask).await.expect("a metadata request does not panic").unwrap_or(false)
}

/// Creates a topic and waits until each of its partitions has a leader.
///
/// A topic that exists with as many partitions is left as it is; with another number it is an error, because records
/// are matched by partition.
pub(crate) async fn create(
    brokers: &str,
    kind: KafkaKind,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), DevstackError> {
    let failed = |reason: String| DevstackError::Topic { name: name.to_owned(), reason };
    let admin: AdminClient<Quiet> = config(brokers).create_with_context(Quiet)?;
    // -1 leaves the factor to a broker that is not ours.
    let replication = TopicReplication::Fixed(if kind == KafkaKind::External { -1 } else { 1 });
    let topic =
        settings.iter().fold(NewTopic::new(name, partitions, replication), |topic, (key, value)| topic.set(key, value));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    for result in admin.create_topics([&topic], &options).await? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failed(code.to_string())),
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let client: BaseConsumer<Quiet> = config(brokers).create_with_context(Quiet)?;
    let client = std::sync::Arc::new(client);
    loop {
        let (asked, topic) = (std::sync::Arc::clone(&client), name.to_owned());
        let led = tokio::task::spawn_blocking(move || led_partitions(&asked, &topic)).await;
        match led.expect("a metadata request does not panic")? {
            Some(led) if led == partitions => return Ok(()),
            Some(led) => return Err(failed(format!("it exists with {led} partitions, not {partitions}"))),
            None if Instant::now() >= deadline => return Err(failed("its partitions have no leader yet".into())),
            None => tokio::time::sleep(POLL).await,
        }
    }
}

/// The number of a topic's partitions once every one has a leader.
fn led_partitions(client: &BaseConsumer<Quiet>, topic: &str) -> Result<Option<i32>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let partitions = found.map(|found| found.partitions()).unwrap_or_default();
    let led = !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0);
    Ok(led.then_some(partitions.len() as i32))
}
