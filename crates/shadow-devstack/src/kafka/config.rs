//! Prepares and describes a broker: one node that is broker and controller (KRaft), tuned for tests that cannot wait.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::install::Installation;
use super::security::{self, KafkaSecurity, SecureBrokers};
use crate::DevstackError;
use crate::cache::last_lines;
use crate::process::{DataLifetime, Finished, Launcher, run_to_end};

/// Its heap is small since records live in the page cache. The serial collector saves memory and threads.
const BROKER_JVM: &[&str] = &["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"];
/// The formatting tool runs for half a second: compiling it well does not pay.
pub(super) const TOOL_JVM: &[&str] = &["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// Any 16 bytes in base64; a cluster of one node meets no other.
const CLUSTER_ID: &str = "c2hhZG93bGluZS1kZXZzdA";

const LOG4J: &str = "\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
";

/// Writes the configuration, formats the storage the first time, and gives the broker's command line.
///
/// The ports may differ from one run to the next on the same directory: nothing on disk remembers them.
pub(crate) async fn prepare(
    kafka: &Installation,
    launcher: &Launcher,
    (dir, lifetime): (&Path, DataLifetime),
    (port, controller_port): (u16, u16),
    secured: Option<(&SecureBrokers, &KafkaSecurity)>,
) -> Result<Vec<OsString>, DevstackError> {
    let data = dir.join("data");
    let log4j = dir.join("log4j2.properties");
    write(&log4j, LOG4J)?;
    // Relative, as the broker runs in its directory: a path with odd characters needs no escaping then.
    let mut settings = properties(port, controller_port);
    if let Some((brokers, security)) = secured {
        settings = security::add(settings, dir, brokers, security)?;
    }
    write(&dir.join("server.properties"), &settings)?;
    if !data.join("meta.properties").is_file() {
        let mut format =
            ["format", "--cluster-id", CLUSTER_ID, "--config", "server.properties"].map(str::to_owned).to_vec();
        for (name, password) in secured.iter().flat_map(|(_, security)| &security.users) {
            format.extend(["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={name},password={password}]")]);
        }
        let format: Vec<&str> = format.iter().map(String::as_str).collect();
        let command = kafka.command(TOOL_JVM, &log4j, "kafka.tools.StorageTool", &format);
        run_tool(launcher, &command, dir, lifetime).await?;
    }
    Ok(kafka.command(BROKER_JVM, &log4j, "kafka.Kafka", &["server.properties"]))
}

/// What differs from the defaults, and why.
fn properties(port: u16, controller_port: u16) -> String {
    let listeners = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
    );
    listeners
        + "\
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data
# A topic that was not created explicitly is a mistake to be seen.
auto.create.topics.enable=false
# There is one broker to replicate to, and few partitions are created quickly.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
# A broker that was killed may register again once the session of its former life has expired.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Groups form at once, and members that were killed may be noticed soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# Retention and compaction act within a second of being due.
log.initial.task.delay.ms=500
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=500
log.cleaner.backoff.ms=500
# Small: the heap is, and so is the data.
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
background.threads=2
"
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), DevstackError> {
    fs::write(path, text).map_err(|error| DevstackError::io("write", path, error))
}

/// Runs one of Kafka's tools to its end.
pub(super) async fn run_tool(
    launcher: &Launcher,
    command: &[OsString],
    dir: &Path,
    lifetime: DataLifetime,
) -> Result<(), DevstackError> {
    let Finished { success, text } = run_to_end(launcher, Path::new(&command[0]), &command[1..], dir, lifetime).await?;
    if success {
        return Ok(());
    }
    if text.contains("No space left on device") {
        return Err(DevstackError::DiskFull(dir.to_path_buf()));
    }
    Err(DevstackError::Io {
        doing: format!("format Kafka's storage in {}", dir.display()),
        source: std::io::Error::other(last_lines(&text, 12)),
    })
}
