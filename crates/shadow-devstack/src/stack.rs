//! The stack: both servers together, from the builder's choices to the end of their processes.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::clickhouse::users::{ClickHouseCluster, ClickHouseUser};
use crate::kafka::security::{KafkaSecurity, SecureBrokers};
use crate::kafka::{self, KafkaChoice, KafkaKind, mock::MockBroker, topics};
use crate::launcher::{LAUNCHER_ARG, STARTED_AS_LAUNCHER};
use crate::ports::Port;
use crate::process::{self, DataLifetime, Launcher, ServerProcess};
use crate::{DevstackError, Progress, clickhouse};

mod place;

use place::{ClickHouseSource, KafkaSource, Place};

/// Brokers to use instead of starting one.
const KAFKA_BROKERS: &str = "SHADOW_KAFKA_BROKERS";
/// A ClickHouse to use instead of starting one.
const CLICKHOUSE_URL: &str = "SHADOW_CLICKHOUSE_URL";
/// How long a server may take to answer. Both take about two seconds on an idle machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running Kafka and a running ClickHouse.
///
/// Dropping it kills the processes it started and waits for them; [`stop`](Self::stop) lets them end in order.
pub struct Devstack {
    // Fields drop in this order: the servers are gone before their data is removed and their directory given up.
    kafka: Kafka,
    clickhouse: ClickHouse,
    _lock: Option<File>,
    _temporary: Option<TempDir>,
}

/// The broker's part of the stack.
struct Kafka {
    process: ServerProcess,
    kind: KafkaKind,
    brokers: String,
    mock: Option<MockBroker>,
    secure: Option<SecureBrokers>,
    _ports: Vec<Port>,
}

impl Kafka {
    fn without_process(kind: KafkaKind, brokers: String, mock: Option<MockBroker>) -> Self {
        Self { process: ServerProcess::not_owned(kafka::NAME), kind, brokers, mock, secure: None, _ports: Vec::new() }
    }
}

/// ClickHouse's part of the stack.
struct ClickHouse {
    process: ServerProcess,
    url: String,
    _ports: Option<[Port; 2]>,
}

impl Devstack {
    /// Begins to describe a stack.
    pub fn builder() -> DevstackBuilder {
        DevstackBuilder::default()
    }

    /// Kafka's bootstrap servers, as `host:port`.
    pub fn brokers(&self) -> &str {
        &self.kafka.brokers
    }

    /// The listeners that [`DevstackBuilder::kafka_security`] asked for.
    pub fn secure_brokers(&self) -> Option<&SecureBrokers> {
        self.kafka.secure.as_ref()
    }

    /// ClickHouse's HTTP interface, as `http://host:port`; user `default`, no password, unless it is external.
    pub fn clickhouse_url(&self) -> &str {
        &self.clickhouse.url
    }

    /// Which broker runs.
    pub fn kafka_kind(&self) -> KafkaKind {
        self.kafka.kind
    }

    /// Creates a topic and waits until it can be written to. The mock broker ignores `config`.
    ///
    /// A topic that exists with as many partitions is left as it is.
    ///
    /// # Errors
    /// When the broker refuses, or the topic exists with another number of partitions.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<(), DevstackError> {
        match &self.kafka.mock {
            Some(mock) => mock.create_topic(name, partitions),
            None => topics::create(&self.kafka.brokers, self.kafka.kind, name, partitions, config).await,
        }
    }

    /// The broker's process, for injecting faults. Its methods fail unless the broker is Apache Kafka of this stack.
    pub fn kafka(&mut self) -> &mut ServerProcess {
        &mut self.kafka.process
    }

    /// ClickHouse's process, for injecting faults. Its methods fail when ClickHouse is external.
    pub fn clickhouse(&mut self) -> &mut ServerProcess {
        &mut self.clickhouse.process
    }

    /// Tells when a server has ended by itself: the first thing to ask when something does not answer.
    ///
    /// # Errors
    /// [`DevstackError::Ended`] with the cause and the server's last words.
    pub fn check(&mut self) -> Result<(), DevstackError> {
        self.kafka.process.check()?;
        self.clickhouse.process.check()
    }

    /// Ends both servers in an orderly way, so that kept data needs no recovery at the next start.
    pub async fn stop(mut self) {
        tokio::join!(self.kafka.process.stop(), self.clickhouse.process.stop());
    }
}

/// Describes a stack; see the methods for the defaults.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing runs until start() is awaited"]
pub struct DevstackBuilder {
    launcher: Option<Launcher>,
    kafka: KafkaChoice,
    data_dir: Option<PathBuf>,
    clickhouse_port: u16,
    kafka_port: u16,
    clickhouse_users: Vec<ClickHouseUser>,
    clickhouse_cluster: Option<ClickHouseCluster>,
    clickhouse_native_port: u16,
    kafka_security: Option<KafkaSecurity>,
    progress: Progress,
    deadline: Option<Duration>,
}

impl DevstackBuilder {
    /// The program, and its leading arguments, that run [`launcher_main`](crate::launcher_main). By default this
    /// executable with [`LAUNCHER_ARG`], which its `main` must then honour.
    pub fn launcher(mut self, program: PathBuf, args: Vec<String>) -> Self {
        self.launcher = Some(Launcher { program, args: args.into_iter().map(OsString::from).collect() });
        self
    }

    /// Which broker to start; [`KafkaChoice::Auto`] by default.
    pub fn kafka(mut self, choice: KafkaChoice) -> Self {
        self.kafka = choice;
        self
    }

    /// Where the servers keep their data. By default in a temporary directory that goes with the stack; a directory
    /// given here is created and kept, and a later stack on it finds the data again.
    pub fn data_dir(mut self, dir: PathBuf) -> Self {
        self.data_dir = Some(dir);
        self
    }

    /// ClickHouse's HTTP port; 0, the default, takes any free one.
    pub fn clickhouse_port(mut self, port: u16) -> Self {
        self.clickhouse_port = port;
        self
    }

    /// Kafka's port; 0, the default, takes any free one.
    pub fn kafka_port(mut self, port: u16) -> Self {
        self.kafka_port = port;
        self
    }

    /// Adds a ClickHouse user with exactly these rights, as in `INSERT ON shadowline.exchanges`; `default` stays and may
    /// do everything.
    pub fn clickhouse_user(mut self, name: &str, password: &str, grants: &[&str]) -> Self {
        let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
        self.clickhouse_users.push(ClickHouseUser { name: name.into(), password: password.into(), grants });
        self
    }

    /// ClickHouse's native port; 0, the default, takes any free one.
    pub fn clickhouse_native_port(mut self, port: u16) -> Self {
        self.clickhouse_native_port = port;
        self
    }

    /// Makes ClickHouse a node of a cluster whose shards, itself among them, have these native ports of this machine.
    pub fn clickhouse_cluster(mut self, name: &str, shards: &[u16]) -> Self {
        self.clickhouse_cluster = Some(ClickHouseCluster { name: name.to_owned(), shards: shards.to_vec() });
        self
    }

    /// Apache Kafka also listens with TLS, where it asks for a password or a certificate, and lets everybody who came that way do only
    /// what [`KafkaSecurity::grants`] say.
    pub fn kafka_security(mut self, security: KafkaSecurity) -> Self {
        self.kafka_security = Some(security);
        self
    }

    /// What the person who waits is told; [`Progress::Silent`] by default.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// How long each server may take to answer; 60 s by default.
    pub fn start_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Fetches what is missing, starts both servers at once and waits until they answer.
    ///
    /// Dropping the future ends whatever was started.
    ///
    /// # Errors
    /// When a program is missing, a download fails, a port is taken, or a server does not start.
    pub async fn start(self) -> Result<Devstack, DevstackError> {
        // Without this guard a program that ignores its launcher argument would start itself for ever.
        if std::env::var_os(STARTED_AS_LAUNCHER).is_some() {
            return Err(DevstackError::NotALauncher);
        }
        let launcher = self.chosen_launcher()?;
        let kafka_source = self.kafka_source(&launcher).await?;
        let clickhouse_source = self.clickhouse_source(&launcher).await?;

        let (root, temporary) = self.root()?;
        let lock = if temporary.is_some() { None } else { Some(lock(&root)?) };
        let place = Place {
            launcher,
            root,
            lifetime: if temporary.is_some() { DataLifetime::Temporary } else { DataLifetime::Kept },
            deadline: self.deadline.unwrap_or(DEADLINE),
        };
        let step = self.progress.step("starting Kafka and ClickHouse");
        let (kafka, clickhouse) = tokio::try_join!(
            place.start_kafka(kafka_source, self.kafka_port, self.kafka_security.as_ref()),
            place.start_clickhouse(
                clickhouse_source,
                (self.clickhouse_port, self.clickhouse_native_port),
                &self.clickhouse_users,
                self.clickhouse_cluster.as_ref()
            )
        )?;
        drop(step);
        Ok(Devstack { kafka, clickhouse, _lock: lock, _temporary: temporary })
    }

    async fn kafka_source(&self, launcher: &Launcher) -> Result<KafkaSource, DevstackError> {
        if let Some(brokers) = set(KAFKA_BROKERS) {
            return Ok(KafkaSource::External(brokers));
        }
        if self.kafka == KafkaChoice::Mock {
            return Ok(KafkaSource::Mock(MockBroker::start()?));
        }
        match kafka::install::Installation::find(launcher, self.progress).await {
            Ok(installation) => Ok(KafkaSource::Apache(installation)),
            Err(error) if self.kafka == KafkaChoice::Apache => Err(error),
            Err(error) if set("CI").as_deref() == Some("true") => Err(DevstackError::ApacheRequired(Box::new(error))),
            Err(error) => {
                let cause = error.to_string();
                let cause = cause.lines().next().unwrap_or_default();
                self.progress.notice(&format!("using librdkafka's mock broker instead of Apache Kafka: {cause}"));
                Ok(KafkaSource::Mock(MockBroker::start()?))
            }
        }
    }

    async fn clickhouse_source(&self, launcher: &Launcher) -> Result<ClickHouseSource, DevstackError> {
        match set(CLICKHOUSE_URL) {
            Some(url) => Ok(ClickHouseSource::External(url)),
            None => Ok(ClickHouseSource::Program(clickhouse::Program::find(launcher, self.progress).await?)),
        }
    }

    fn chosen_launcher(&self) -> Result<Launcher, DevstackError> {
        if let Some(launcher) = &self.launcher {
            return Ok(launcher.clone());
        }
        let program = std::env::current_exe()
            .map_err(|source| DevstackError::Io { doing: "find this executable".into(), source })?;
        Ok(Launcher { program, args: vec![LAUNCHER_ARG.into()] })
    }

    /// The stack's directory, and what removes it when it is a temporary one.
    fn root(&self) -> Result<(PathBuf, Option<TempDir>), DevstackError> {
        if let Some(dir) = &self.data_dir {
            process::create_dir(dir)?;
            let dir = std::path::absolute(dir).map_err(|error| DevstackError::io("find", dir, error))?;
            return Ok((dir, None));
        }
        let temporary = tempfile::Builder::new().prefix("shadowline-devstack-").tempdir();
        let temporary = temporary.map_err(|error| DevstackError::io("create", &std::env::temp_dir(), error))?;
        Ok((temporary.path().to_path_buf(), Some(temporary)))
    }
}

/// A variable of the environment that is set to something.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Keeps a second stack off the same directory.
fn lock(root: &Path) -> Result<File, DevstackError> {
    let path = root.join(".lock");
    let file = File::create(&path).map_err(|error| DevstackError::io("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DevstackError::DataDirInUse(root.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(DevstackError::io("lock", &path, error)),
    }
}
