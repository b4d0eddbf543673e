//! What the tests share: a builder with the launcher, small clients, and a look at the machine's processes.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::print_stderr, reason = "a test that was not run says so")]

use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use shadow_devstack::{Devstack, DevstackBuilder, KafkaKind, LAUNCHER_ARG};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The crate's own program, which is owner and launcher in one.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_devstack");

pub(crate) fn builder() -> DevstackBuilder {
    Devstack::builder().launcher(PROGRAM.into(), vec![LAUNCHER_ARG.into()])
}

/// Whether Apache Kafka cannot be had here. With `CI=true` no stack starts without it, so nothing is skipped there.
pub(crate) fn is_stand_in(stack: &Devstack) -> bool {
    let stand_in = stack.kafka_kind() != KafkaKind::Apache;
    if stand_in {
        eprintln!("not tested: this needs an Apache Kafka of its own");
    }
    stand_in
}

/// The answer to one query, which must succeed.
pub(crate) async fn query(url: &str, sql: &str) -> String {
    let (status, answer) = query_as(None, url, sql).await;
    assert_eq!(status, 200, "{sql}: {answer}");
    answer
}

/// The status and the answer to one query by a user with a password.
pub(crate) async fn query_as(user: Option<(&str, &str)>, url: &str, sql: &str) -> (u16, String) {
    let address = url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (user, key) = user.unwrap_or(("default", ""));
    let credentials = format!("X-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {key}");
    let request =
        format!("POST / HTTP/1.0\r\nHost: {address}\r\n{credentials}\r\nContent-Length: {}\r\n\r\n{sql}", sql.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Writes one record and waits for its acknowledgement.
pub(crate) async fn produce(brokers: &str, topic: &str, partition: i32, payload: &str) {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let record = FutureRecord::<(), _>::to(topic).partition(partition).payload(payload);
    producer.send(record, Duration::from_secs(30)).await.unwrap();
}

/// Reads the first `count` records of a partition.
pub(crate) async fn consume(brokers: &str, topic: &str, partition: i32, count: usize) -> Vec<String> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let message = tokio::time::timeout(Duration::from_secs(60), consumer.recv()).await.unwrap().unwrap();
        payloads.push(message.payload_view::<str>().unwrap().unwrap().to_owned());
    }
    payloads
}

/// The command lines of all processes that name `dir` or work in it.
pub(crate) fn processes_naming(dir: &Path) -> Vec<String> {
    let dir_text = dir.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(raw) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&raw).replace('\0', " ");
        let inside = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        if line.contains(dir_text) || inside {
            found.push(line);
        }
    }
    found
}
