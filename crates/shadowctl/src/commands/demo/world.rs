//! Where the demo takes place: names, topics, tables and files.

use std::path::PathBuf;

use shadow_control::ensure_shared_topics;
use shadow_devstack::{Devstack, KafkaKind};
use shadow_kafka::{KafkaConfig, TopicSpec};
use shadow_record::{LaunchName, ServiceName, Timestamp, topics};
use tempfile::TempDir;
use url::Url;

use super::services::View;
use crate::commands::launch::{CreateArgs, StartAt, create};
use crate::commands::ramp::OnFailArg;
use crate::commands::{devstack, schema};
use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::sql::{ClickHouseArgs, Sql};

/// Partitions of the captured topic: enough that ordering across partitions is never accidental.
pub(super) const PARTITIONS: i32 = 4;
/// What keeps the candidate and the control from anything real.
const ISOLATION: &str = "the shop stores nothing, and its outbound calls end in the stub";
/// Where the tables are made.
const DATABASE: &str = "shadow";

/// Everything that exists before the first service starts.
pub(super) struct World {
    pub(super) kafka: Kafka,
    pub(super) sql: Sql,
    pub(super) clickhouse: ClickHouseArgs,
    pub(super) kind: KafkaKind,
    pub(super) service: ServiceName,
    pub(super) launch: LaunchName,
    /// Told apart from another demo on the same servers.
    pub(super) suffix: String,
    files: TempDir,
}

impl World {
    /// Makes tables, topics and files on the stack.
    ///
    /// # Errors
    /// When a server refuses.
    pub(super) async fn prepare(stack: &Devstack) -> Result<Self, Failure> {
        let clickhouse_url: Url = stack.clickhouse_url().parse().map_err(|error| {
            Failure::usage(format!("SHADOW_CLICKHOUSE_URL is not a URL: {error}"), "write http://host:8123")
        })?;
        let clickhouse =
            ClickHouseArgs { clickhouse_url, clickhouse_ca: None, clickhouse_database: DATABASE.to_owned() };
        let suffix = match stack.kafka_kind() {
            // Servers that others use too: every demo is a service of its own there.
            KafkaKind::External => format!("-{}", Timestamp::now().micros() / 1_000_000),
            KafkaKind::Apache | KafkaKind::Mock => String::new(),
        };
        let name = |name: &str| format!("{name}{suffix}");
        let world = Self {
            kafka: Kafka::at(KafkaConfig::at(stack.brokers()))?,
            sql: Sql::new(&clickhouse)?,
            clickhouse,
            kind: stack.kafka_kind(),
            service: name("shop").parse().map_err(Failure::internal)?,
            launch: name("shop-v2").parse().map_err(Failure::internal)?,
            files: tempfile::Builder::new().prefix("shadowline-demo-").tempdir().map_err(Failure::internal)?,
            suffix,
        };
        std::fs::write(world.masking_rules(), shadow_shop::MASKING_RULES).map_err(Failure::internal)?;
        std::fs::write(world.comparison_rules(), shadow_shop::COMPARISON_RULES).map_err(Failure::internal)?;
        std::fs::write(world.stub_rules(), shadow_shop::STUB_RULES).map_err(Failure::internal)?;
        schema::apply(&world.sql, None).await?;
        world.create_topics(stack).await?;
        Ok(world)
    }

    /// The stand-in broker cannot create topics when services ask for them, so all of them are made here.
    async fn create_topics(&self, stack: &Devstack) -> Result<(), Failure> {
        let captured = topics::captured(&self.service);
        if self.kind != KafkaKind::Mock {
            ensure_shared_topics(&self.kafka.admin).await?;
            return Ok(self.kafka.admin.ensure_topic(&TopicSpec::deleting(captured, PARTITIONS)).await?);
        }
        for shared in [topics::CONTROL, topics::STATUS, topics::DEAD_LETTER] {
            stack.create_topic(shared, 1, &[]).await?;
        }
        for topic in [captured, topics::replayed(&self.service, &self.launch), topics::effects(&self.service)] {
            stack.create_topic(&topic, PARTITIONS, &[]).await?;
        }
        Ok(())
    }

    pub(super) fn masking_rules(&self) -> PathBuf {
        self.files.path().join("masking.toml")
    }

    fn comparison_rules(&self) -> PathBuf {
        self.files.path().join("comparison.toml")
    }

    pub(super) fn stub_rules(&self) -> PathBuf {
        self.files.path().join("stub.toml")
    }

    /// Creates the launch of the candidate, as `shadowctl launch create` would.
    pub(super) async fn launch(&self, view: &View, control_sample: f64) -> Result<LaunchName, Failure> {
        let View { candidate, control, .. } = view;
        let args = CreateArgs {
            name: self.launch.clone(),
            service: self.service.clone(),
            candidate: candidate.parse().map_err(Failure::internal)?,
            control: Some(control.parse().map_err(Failure::internal)?),
            control_sample,
            sample: 1.0,
            ramp: None,
            on_fail: OnFailArg::RollBack,
            from: StartAt::Latest,
            rules: Some(self.comparison_rules()),
            gates: None,
            isolation: Some(ISOLATION.to_owned()),
            allow: Vec::new(),
            deny: Vec::new(),
            methods: Vec::new(),
            routes: Vec::new(),
            headers: Vec::new(),
            replay: None,
            paused: false,
            max_in_flight: 64,
            timeout: shadow_runtime::units::HumanDuration::from_secs(10),
            no_compare: false,
            why: Some("demo".to_owned()),
            output: crate::output::Output::default(),
        };
        create(&self.kafka, args).await.map(|created| created.launch.name)
    }

    /// What a newcomer may look at while it runs.
    pub(super) fn guide(&self, view: &View, endless: bool) -> String {
        let (brokers, url) = (&self.kafka.config.brokers, &self.clickhouse.clickhouse_url);
        let broker = match self.kind {
            KafkaKind::Mock => "librdkafka's own broker, for want of Apache Kafka".to_owned(),
            kind => devstack::kind(kind).to_owned(),
        };
        let mut text = format!(
            "primary    {}\nagent      {}  (send requests here; the primary's calls leave through {})\ncandidate  {}\n\
             control    {}  (a second copy of the live build)\nstub       {}  (answers what the two call)\nKafka      {brokers}  ({broker})\n\
             ClickHouse {url}  (database {DATABASE})\ntopics     {}, {}, {}\n",
            view.primary,
            view.agent,
            view.egress,
            view.candidate,
            view.control,
            view.stub,
            topics::captured(&self.service),
            topics::replayed(&self.service, &self.launch),
            topics::effects(&self.service),
        );
        if endless {
            let url = url.as_str().trim_end_matches('/');
            text.push_str(&format!(
                "try        export SHADOW_KAFKA_BROKERS={brokers} SHADOW_CLICKHOUSE_URL={url}\n           \
                 shadowctl status; shadowctl report {launch}; shadowctl pause; shadowctl resume\n           \
                 curl {url}/?database={DATABASE} --data-binary 'SELECT * FROM signatures FORMAT Vertical'\n\
                 Ctrl-C ends the load and prints the report; a second one ends everything at once\n",
                launch = self.launch,
            ));
        }
        text
    }
}
