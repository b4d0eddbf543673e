//! One Kafka and one ClickHouse for all tests of this binary, and the command run against them.

use std::process::Output;

use shadow_devstack::{Devstack, KafkaKind, LAUNCHER_ARG};
use shadow_kafka::{Admin, KafkaConfig, Outgoing, Producer, ProducerLimits, TopicSpec};
use shadow_record::{ServiceName, topics};
use tokio::process::Command;
use tokio::sync::OnceCell;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_shadowctl");

/// Its processes end with this one: they hold a pipe to it.
static STACK: OnceCell<Devstack> = OnceCell::const_new();

/// The servers, or `None` where Apache Kafka cannot be had (with `CI=true` that is an error instead).
pub(crate) async fn stack() -> Option<&'static Devstack> {
    let start =
        || async { Devstack::builder().launcher(PROGRAM.into(), vec![LAUNCHER_ARG.into()]).start().await.unwrap() };
    let stack = STACK.get_or_init(start).await;
    if stack.kafka_kind() == KafkaKind::Mock {
        eprintln!("not tested: this needs Apache Kafka");
        return None;
    }
    Some(stack)
}

/// A command without any of the surrounding configuration.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).kill_on_drop(true);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHADOW_")) {
        command.env_remove(name);
    }
    command
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The answer of a run that must succeed.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The JSON answer of a run that must succeed.
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

pub(crate) async fn run_bare(args: &[&str]) -> Ran {
    Ran::of(&bare(args).output().await.unwrap())
}

/// Runs the command against the stack.
pub(crate) async fn run(stack: &Devstack, args: &[&str]) -> Ran {
    let mut command = bare(args);
    command.env("SHADOW_KAFKA_BROKERS", stack.brokers()).env("SHADOW_CLICKHOUSE_URL", stack.clickhouse_url());
    Ran::of(&command.output().await.unwrap())
}

pub(crate) fn kafka(stack: &Devstack) -> KafkaConfig {
    KafkaConfig::at(stack.brokers())
}

/// Makes the captured topic of `service` and puts `records[p]` records into partition `p`.
pub(crate) async fn captured(stack: &Devstack, service: &str, records: &[usize]) {
    let config = kafka(stack);
    let service: ServiceName = service.parse().unwrap();
    let topic = topics::captured(&service);
    let spec = TopicSpec::deleting(&topic, records.len() as i32);
    Admin::new(&config).unwrap().ensure_topic(&spec).await.unwrap();
    let producer = Producer::new(&config, &ProducerLimits::default()).unwrap();
    for (partition, count) in records.iter().enumerate() {
        for _ in 0..*count {
            let out = Outgoing { topic: &topic, partition: Some(partition as i32), key: None, payload: b"record" };
            producer.publish(out).await;
        }
    }
}

/// An address of this machine at which nobody listens.
pub(crate) fn closed_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
