//! Where and how the servers of one stack run: claims ports, writes their configuration, starts their processes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::{ClickHouse, Kafka};
use crate::clickhouse::users::{ClickHouseCluster, ClickHouseUser};
use crate::kafka::security::{KafkaSecurity, SecureBrokers};
use crate::kafka::{self, KafkaKind, mock::MockBroker};
use crate::ports::Port;
use crate::process::{self, DataLifetime, Launcher, Probe, ServerProcess, Spec};
use crate::{DevstackError, clickhouse};

/// Where the broker comes from.
pub(super) enum KafkaSource {
    External(String),
    Mock(MockBroker),
    Apache(kafka::install::Installation),
}

/// Where ClickHouse comes from.
pub(super) enum ClickHouseSource {
    External(String),
    Program(clickhouse::Program),
}

/// Where and how the servers run.
pub(super) struct Place {
    pub(super) launcher: Launcher,
    pub(super) root: PathBuf,
    pub(super) lifetime: DataLifetime,
    pub(super) deadline: Duration,
}

impl Place {
    pub(super) async fn start_kafka(
        &self,
        source: KafkaSource,
        port: u16,
        security: Option<&KafkaSecurity>,
    ) -> Result<Kafka, DevstackError> {
        let installation = match source {
            KafkaSource::External(brokers) => return Ok(Kafka::without_process(KafkaKind::External, brokers, None)),
            KafkaSource::Mock(mock) => {
                let brokers = mock.brokers().to_owned();
                return Ok(Kafka::without_process(KafkaKind::Mock, brokers, Some(mock)));
            }
            KafkaSource::Apache(installation) => installation,
        };
        let mut ports = vec![Port::claim(port, kafka::NAME)?, Port::claim(0, kafka::NAME)?];
        let (port, controller) = (ports[0].number(), ports[1].number());
        let dir = self.root.join("kafka");
        process::create_dir(&dir)?;
        let mut secure = None;
        if let Some(security) = security {
            let (password, certificate) = (Port::claim(0, kafka::NAME)?, Port::claim(0, kafka::NAME)?);
            secure = Some((SecureBrokers::at(password.number(), certificate.number()), security));
            ports.extend([password, certificate]);
        }
        let secured = secure.as_ref().map(|(brokers, security)| (brokers, *security));
        let place = (dir.as_path(), self.lifetime);
        let java = kafka::config::prepare(&installation, &self.launcher, place, (port, controller), secured).await?;
        let command = self.launcher.command(std::iter::once(OsString::from("run")).chain(java));
        let probe = Probe::KafkaMetadata(port);
        let process = ServerProcess::start(self.spec(kafka::NAME, dir.clone(), command, probe)).await?;
        let brokers = format!("127.0.0.1:{port}");
        if let Some((_, security)) = &secure {
            kafka::security::grant(&installation, &self.launcher, place, &brokers, security).await?;
        }
        let secure = secure.map(|(brokers, _)| brokers);
        Ok(Kafka { process, kind: KafkaKind::Apache, brokers, mock: None, secure, _ports: ports })
    }

    pub(super) async fn start_clickhouse(
        &self,
        source: ClickHouseSource,
        (http, native): (u16, u16),
        users: &[ClickHouseUser],
        cluster: Option<&ClickHouseCluster>,
    ) -> Result<ClickHouse, DevstackError> {
        let program = match source {
            ClickHouseSource::External(url) => {
                return Ok(ClickHouse { process: ServerProcess::not_owned(clickhouse::NAME), url, _ports: None });
            }
            ClickHouseSource::Program(program) => program,
        };
        let ports = [Port::claim(http, clickhouse::NAME)?, Port::claim(native, clickhouse::NAME)?];
        let [http, native] = ports.each_ref().map(Port::number);
        let dir = self.root.join("clickhouse");
        let data = dir.join("data");
        process::create_dir(&data)?;
        let config = clickhouse::users::write(&dir, users, cluster)?;
        let command = program.command(&self.launcher, &config, &data, (http, native));
        let spec = self.spec(clickhouse::NAME, dir, command, Probe::ClickHousePing(http));
        let process = ServerProcess::start(spec).await?;
        Ok(ClickHouse { process, url: format!("http://127.0.0.1:{http}"), _ports: Some(ports) })
    }

    fn spec(&self, name: &'static str, dir: PathBuf, command: Vec<OsString>, probe: Probe) -> Spec {
        let (launcher, lifetime, deadline) = (self.launcher.clone(), self.lifetime, self.deadline);
        Spec { name, launcher, command, dir, lifetime, probe, deadline }
    }
}
