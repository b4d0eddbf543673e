//! What commands ask of Kafka: the control topic as it now is, who is there, how far topics reach.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shadow_control::{ControlRecord, ControlState, Launch, Pause, StatusBoard};
use shadow_kafka::{Admin, Consumed, KafkaConfig, KafkaError, Mechanism, Tail, TailEvent, TailFrom};
use shadow_record::{LaunchName, ServiceName, Status, Timestamp, decode, topics};
use shadow_runtime::Secret;

use crate::failure::{Failure, KAFKA_REMEDY};
use crate::output::note;
use crate::sql::credential;

/// Longest wait for the broker, over all of one question.
const PATIENCE: Duration = Duration::from_secs(15);
/// A member that was not heard for this long is gone: six heartbeats, and the length of the lease, after which a member
/// that lives on without Kafka has stopped sending by itself.
pub(crate) const MEMBER_PATIENCE: Duration = Duration::from_secs(3);
/// How far back heartbeats are read: long enough to name who fell silent, short enough to be quick.
const MEMORY: Duration = Duration::from_secs(600);

/// Where reading the status topic begins.
pub(crate) fn recent() -> TailFrom {
    TailFrom::Since(Timestamp(Timestamp::now().micros() - MEMORY.as_micros() as i64))
}

/// How to reach Kafka.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where things are")]
pub(crate) struct KafkaArgs {
    /// Kafka's bootstrap servers
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT,...",
        env = "SHADOW_KAFKA_BROKERS",
        default_value = "127.0.0.1:9092"
    )]
    pub(crate) kafka_brokers: String,

    /// PEM file with the authorities that sign the brokers' certificates; with it TLS is spoken
    #[arg(long, global = true, value_name = "FILE", env = "SHADOW_KAFKA_CA")]
    kafka_ca: Option<PathBuf>,

    /// Speak TLS, the brokers' certificates signed by an authority that this machine trusts
    #[arg(long, global = true, env = "SHADOW_KAFKA_TLS")]
    kafka_tls: bool,

    /// PEM file with the certificate to show to brokers
    #[arg(long, global = true, value_name = "FILE", env = "SHADOW_KAFKA_CERTIFICATE", requires = "kafka_key")]
    kafka_certificate: Option<PathBuf>,

    /// PEM file with its private key
    #[arg(long, global = true, value_name = "FILE", env = "SHADOW_KAFKA_KEY", requires = "kafka_certificate")]
    kafka_key: Option<PathBuf>,

    /// User, for SASL over TLS; the password comes from SHADOW_KAFKA_PASSWORD or SHADOW_KAFKA_PASSWORD_FILE
    #[arg(long, global = true, value_name = "NAME", env = "SHADOW_KAFKA_USER")]
    kafka_user: Option<String>,

    /// How the password is proved
    #[arg(
        long,
        global = true,
        value_name = "MECHANISM",
        env = "SHADOW_KAFKA_MECHANISM",
        default_value = "scram-sha-512",
        value_parser = mechanism
    )]
    kafka_mechanism: Mechanism,

    /// A file of librdkafka properties, one `key=value` a line, for settings that have no flag
    #[arg(long, global = true, value_name = "FILE", env = "SHADOWCTL_KAFKA_PROPERTIES")]
    kafka_properties: Option<PathBuf>,
}

impl KafkaArgs {
    /// The client's settings.
    ///
    /// # Errors
    /// When the file of properties cannot be used.
    pub(crate) fn config(&self) -> Result<KafkaConfig, Failure> {
        let mut config = KafkaConfig {
            tls: self.kafka_tls,
            ca: self.kafka_ca.clone(),
            certificate: self.kafka_certificate.clone(),
            key: self.kafka_key.clone(),
            user: self.kafka_user.clone(),
            // Never a flag: every process of the host could read it there.
            password: credential("SHADOW_KAFKA_PASSWORD")?.map(Secret::new),
            mechanism: self.kafka_mechanism,
            ..KafkaConfig::at(&self.kafka_brokers)
        };
        if let Some(path) = &self.kafka_properties {
            config.properties = properties(path)?.into_iter().collect();
        }
        match config.problems().first() {
            Some(problem) => Err(Failure::usage(format!("{}: {}", problem.place, problem.cause), &problem.remedy)),
            None => Ok(config),
        }
    }
}

fn mechanism(text: &str) -> Result<Mechanism, String> {
    let all = [Mechanism::ScramSha256, Mechanism::ScramSha512, Mechanism::Plain];
    let named = all.into_iter().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(text));
    named.ok_or_else(|| "use scram-sha-256, scram-sha-512 or plain".to_owned())
}

/// The lines of a Java-style properties file. Errors name the line, never its value: it may be a password.
fn properties(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}", path.display()), "check the path and its permissions")
    })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| match line.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => Err(Failure::usage(format!("{}, line {number}: no `=`", path.display()), "write key=value")),
        })
        .collect()
}

/// What somebody else wrote about a launch.
#[derive(Debug)]
pub(crate) enum Written {
    Nothing,
    Launch(Box<Launch>),
    Deletion,
}

/// A connection to Kafka.
pub(crate) struct Kafka {
    pub(crate) config: KafkaConfig,
    pub(crate) admin: Admin,
}

impl Kafka {
    /// Makes the clients; they connect when first used.
    ///
    /// # Errors
    /// When settings cannot be used.
    pub(crate) fn new(args: &KafkaArgs) -> Result<Self, Failure> {
        Self::at(args.config()?)
    }

    /// As [`Kafka::new`], from settings.
    pub(crate) fn at(config: KafkaConfig) -> Result<Self, Failure> {
        Ok(Self { admin: Admin::new(&config)?, config })
    }

    /// What the control topic says now; nothing when there is no such topic yet.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(crate) async fn control(&self) -> Result<ControlState, Failure> {
        Ok(self.control_with(-1).await?.0)
    }

    /// As [`Kafka::control`], with the time at which the broker appended the record that made `version`.
    pub(crate) async fn control_with(&self, version: i64) -> Result<(ControlState, Option<Timestamp>), Failure> {
        let (mut state, mut appended_at) = (ControlState::empty(), None);
        self.read_to_end(topics::CONTROL, TailFrom::Start, |record| {
            if record.offset == version {
                appended_at = Some(record.appended_at);
            }
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            if let Err(error) = state.apply(record.offset, &key, &record.payload) {
                note(&format!("note: {error}; what it speaks of counts as paused"));
            }
        })
        .await?;
        state.caught_up = true;
        Ok((state, appended_at))
    }

    /// What others wrote about a launch behind the control version `after` and before `before`; the newest counts.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(crate) async fn written_between(&self, name: &LaunchName, after: i64, before: i64) -> Result<Written, Failure> {
        let (key, mut written) = (ControlRecord::launch_key(name), Written::Nothing);
        self.read_to_end(topics::CONTROL, TailFrom::Start, |record| {
            let ours = record.key.as_deref() == Some(key.as_bytes());
            if !ours || record.offset <= after || record.offset >= before {
                return;
            }
            match ControlRecord::decode(&key, &record.payload) {
                _ if record.payload.is_empty() => written = Written::Deletion,
                Ok(ControlRecord::Launch(launch)) => written = Written::Launch(launch),
                Ok(_) | Err(_) => {}
            }
        })
        .await?;
        Ok(written)
    }

    /// The pauses of a launch that were written behind the control version `after`, oldest first; `None` is one that this version cannot
    /// read, and a deletion is none.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(crate) async fn pauses_since(&self, name: &LaunchName, after: i64) -> Result<Vec<Option<Pause>>, Failure> {
        let (key, mut pauses) = (ControlRecord::pause_key(name), Vec::new());
        self.read_to_end(topics::CONTROL, TailFrom::Start, |record| {
            let of_launch = record.key.as_deref() == Some(key.as_bytes()) && !record.payload.is_empty();
            if of_launch && record.offset > after {
                pauses.push(match ControlRecord::decode(&key, &record.payload) {
                    Ok(ControlRecord::Pause(pause)) => Some(pause),
                    Ok(_) | Err(_) => None,
                });
            }
        })
        .await?;
        Ok(pauses)
    }

    /// Everyone who published a heartbeat lately.
    pub(crate) async fn board(&self) -> Result<StatusBoard, Failure> {
        let mut board = StatusBoard::default();
        self.read_to_end(topics::STATUS, recent(), |record| apply_status(&mut board, &record)).await?;
        Ok(board)
    }

    async fn read_to_end(&self, topic: &str, from: TailFrom, mut take: impl FnMut(Consumed)) -> Result<(), Failure> {
        self.in_time(async {
            let tail = match Tail::open(&self.config, topic, from).await {
                Err(KafkaError::NoSuchTopic(_)) => return Ok(()),
                opened => opened?,
            };
            while let TailEvent::Record(record) = tail.recv().await? {
                take(record);
            }
            Ok(())
        })
        .await
    }

    /// Bounds a question to the broker.
    pub(crate) async fn in_time<T>(&self, ask: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(PATIENCE, ask).await.unwrap_or_else(|_| {
            let brokers = &self.config.brokers;
            let cause = format!("Kafka at {brokers} did not answer within {} s", PATIENCE.as_secs());
            Err(Failure::unreachable(cause, KAFKA_REMEDY))
        })
    }

    /// The partition count of a captured topic.
    ///
    /// # Errors
    /// When there is no such topic, naming those that exist.
    pub(crate) async fn captured_partitions(&self, service: &ServiceName) -> Result<i32, Failure> {
        let topic = topics::captured(service);
        if let Some(count) = self.admin.partitions(&topic).await? {
            return Ok(count);
        }
        let others = self.captured_services().await?;
        let known = match others.as_slice() {
            [] => "no service has been captured yet".to_owned(),
            others => format!("captured so far: {}", others.join(", ")),
        };
        Err(Failure::negative(
            format!("topic {topic} does not exist: {known}"),
            format!("start a capture agent with service.name = \"{service}\"; it creates the topic"),
        ))
    }

    /// Services with a captured topic, in alphabetical order.
    pub(crate) async fn captured_services(&self) -> Result<Vec<String>, Failure> {
        let all = self.admin.topics().await?;
        let mut services: Vec<String> =
            all.iter().filter_map(|t| t.strip_prefix(topics::CAPTURED_PREFIX)).map(str::to_owned).collect();
        services.sort();
        Ok(services)
    }
}

/// Takes one record of the status topic into a board; what is not a heartbeat is none.
pub(crate) fn apply_status(board: &mut StatusBoard, record: &Consumed) {
    if let Ok(status) = decode::<Status>(&record.payload) {
        board.apply(record.appended_at, status);
    }
}

/// The launch called `name`.
///
/// # Errors
/// When there is none, naming those that exist.
pub(crate) fn launch_of<'a>(state: &'a ControlState, name: &LaunchName) -> Result<&'a Launch, Failure> {
    state.launches.get(name).ok_or_else(|| {
        let names: Vec<&str> = state.launches.keys().map(LaunchName::as_str).collect();
        let remedy = match names.as_slice() {
            [] => "there are no launches: `shadowctl launch create` makes one".to_owned(),
            names => format!("the launches are: {}", names.join(", ")),
        };
        Failure::negative(format!("there is no launch {name}"), remedy)
    })
}
