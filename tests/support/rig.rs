//! A whole pipeline behind the agent: stack, schema, captured topic, candidate; launches, services and shadowctl on it.

use std::path::Path;
use std::process::Output;

use shadow_control::{Change, ControlRecord, ControlWriter, Launch, Rate};
use shadow_devstack::Devstack;
use shadow_kafka::{Admin, KafkaConfig, TopicSpec};
use shadow_record::{LaunchName, topics};

use super::traffic::{PARTITIONS, ROUTES, Traffic, service};
use super::{BINARY, Candidate, Service, kafka_of, sql, stack, stack_in, until};

/// A killed member is missed after two seconds, not ten: the tests kill many. The devstack's broker allows it.
const QUICK_GROUPS: &str = "properties = { \"session.timeout.ms\" = \"2000\", \"heartbeat.interval.ms\" = \"300\" }\n";

/// Every view that speaks of a launch: its name, its columns without those that depend on when and how fast it was replayed, and how
/// its rows are ordered.
const VIEWS: &[(&str, &str, &str)] = &[
    ("noise", "* EXCEPT launch", "ORDER BY ALL"),
    (
        "judged",
        "partition, captured_offset, request_id, route, outcome, reason, result, verdict_result, differences.signature, \
         differences.standing, control_result, control.signature, rules_used, attributes, paired",
        "ORDER BY partition, captured_offset",
    ),
    ("match_rate", "* EXCEPT launch", "ORDER BY ALL"),
    ("coverage", "* EXCEPT launch", "ORDER BY ALL"),
    ("errors", "* EXCEPT launch", "ORDER BY ALL"),
    ("agreement", "* EXCEPT launch", "ORDER BY ALL"),
    ("latency", "route, pairs", "ORDER BY ALL"),
    ("control_latency", "route, pairs", "ORDER BY ALL"),
    ("staleness", "route, sum(compared), sum(differing), sum(pairs)", "GROUP BY route ORDER BY ALL"),
    ("trend", "* EXCEPT launch", "ORDER BY ALL"),
    ("signatures", "* EXCEPT (launch, stale_from_s, fresh_exchanges, only_stale)", "ORDER BY ALL"),
    ("differences", "* EXCEPT (launch, staleness_us)", "ORDER BY ALL"),
    ("signature_trend", "* EXCEPT launch", "ORDER BY ALL"),
    ("expected_changes", "* EXCEPT launch", "ORDER BY ALL"),
    ("rule_use", "* EXCEPT launch", "ORDER BY ALL"),
    ("drivers", "* EXCEPT launch", "ORDER BY ALL"),
    ("scheduled_effects", "* EXCEPT launch", "ORDER BY ALL"),
    ("correlated_effects", "* EXCEPT launch", "ORDER BY ALL"),
    ("effects_by_exchange", "* EXCEPT launch", "ORDER BY ALL"),
    ("uncorrelated_effects", "* EXCEPT launch", "ORDER BY ALL"),
    ("effect_differences", "* EXCEPT launch", "ORDER BY ALL"),
    ("spend", "* EXCEPT launch", "ORDER BY ALL"),
    ("ledger_partition", "* EXCEPT launch", "ORDER BY ALL"),
    ("ledger_launch", "* EXCEPT launch", "ORDER BY ALL"),
];

/// Views of agents, not of launches.
const NOT_OF_A_LAUNCH: &[&str] = &["ledger_agent"];

/// What the comparator's views say of one launch, without times.
#[derive(Debug, PartialEq, Eq)]
pub struct Views(pub Vec<(&'static str, String)>);

/// The pipeline.
pub struct Rig {
    pub stack: Devstack,
    pub kafka: KafkaConfig,
    pub traffic: Traffic,
    pub candidate: Candidate,
    pub control: ControlWriter,
}

impl Rig {
    /// Starts servers and candidate, makes tables and topics.
    pub async fn start() -> Self {
        Self::on(stack().await, PARTITIONS).await
    }

    /// The same with the servers' data below `dir`.
    pub async fn start_in(dir: &Path) -> Self {
        Self::on(stack_in(Some(dir)).await, PARTITIONS).await
    }

    /// The same on `stack`, with so many partitions of the captured topic.
    pub async fn on(stack: Devstack, partitions: i32) -> Self {
        let kafka = kafka_of(&stack);
        let traffic = Traffic::prepare(&kafka, partitions).await;
        let control = ControlWriter::new(&kafka).expect("settings");
        let rig = Self { stack, kafka, traffic, candidate: Candidate::start().await, control };
        rig.shadowctl(&["schema", "apply"]).await;
        rig
    }

    /// Puts a launch that begins at the start of the captured topic.
    pub async fn launch(&self, name: &str, change: impl FnOnce(&mut Launch)) -> LaunchName {
        let name: LaunchName = name.parse().expect("a name");
        let replayed = TopicSpec::deleting(topics::replayed(&service(), &name), self.traffic.partitions());
        Admin::new(&self.kafka).expect("settings").ensure_topic(&replayed).await.expect("topic");
        let candidate = self.candidate.url.parse().expect("a URL");
        let mut launch = Launch::of(name.clone(), service(), candidate, Change::by("test", "test"));
        change(&mut launch);
        self.control.put(&ControlRecord::Launch(Box::new(launch))).await.expect("control");
        name
    }

    /// Sets the rate of the captured topic.
    pub async fn rate(&self, per_second: Option<f64>) {
        let rate =
            Rate { topic: topics::captured(&service()), launch: None, per_second, change: Change::by("test", "test") };
        self.control.put(&ControlRecord::Rate(rate)).await.expect("control");
    }

    /// A replayer process.
    pub fn replayer(&self, instance: &str) -> Service {
        Service::start(
            "replayer",
            &format!(
                "[service]\ninstance = \"{instance}\"\n[kafka]\nbrokers = \"{}\"\n{QUICK_GROUPS}[masking]\nroutes = {ROUTES:?}\n",
                self.kafka.brokers
            ),
        )
    }

    /// A comparator process.
    pub fn comparator(&self, instance: &str) -> Service {
        Service::start(
            "comparator",
            &format!(
                "[service]\ninstance = \"{instance}\"\n[kafka]\nbrokers = \"{}\"\n{QUICK_GROUPS}[clickhouse]\nurl = \"{}\"\n",
                self.kafka.brokers,
                self.stack.clickhouse_url()
            ),
        )
    }

    /// Runs shadowctl to its end; it must succeed.
    pub async fn shadowctl(&self, args: &[&str]) -> String {
        let output = self.try_shadowctl(args).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "shadowctl {args:?}: {}\n{out}{err}", output.status);
        out.into_owned()
    }

    /// Runs shadowctl to its end.
    pub async fn try_shadowctl(&self, args: &[&str]) -> Output {
        tokio::process::Command::new(BINARY)
            .arg("shadowctl")
            .args(args)
            .env("SHADOW_KAFKA_BROKERS", &self.kafka.brokers)
            .env("SHADOW_CLICKHOUSE_URL", self.stack.clickhouse_url())
            .output()
            .await
            .expect("shadowctl runs")
    }

    /// Waits until the launch's ledger has `captured` offsets and none is pending.
    pub async fn settled(&self, launch: &LaunchName, captured: i64) {
        let query = format!(
            "SELECT captured >= {captured} AND pending = 0 AND uncompared = 0 AND due = captured FROM shadow.ledger_launch WHERE launch = '{launch}'"
        );
        until(&format!("launch {launch} to settle"), || async {
            (sql(&self.stack, &query).await.trim() == "1").then_some(())
        })
        .await;
    }

    /// One number from ClickHouse.
    pub async fn number(&self, query: &str) -> i64 {
        let text = sql(&self.stack, query).await;
        text.trim().parse().unwrap_or_else(|_| panic!("{query}: {text:?}"))
    }

    /// Every view of one launch.
    pub async fn views(&self, launch: &LaunchName) -> Views {
        let all =
            sql(&self.stack, "SELECT name FROM system.tables WHERE database = 'shadow' AND engine = 'View'").await;
        let known = |view: &str| NOT_OF_A_LAUNCH.contains(&view) || VIEWS.iter().any(|(name, ..)| *name == view);
        let forgotten: Vec<&str> = all.lines().filter(|view| !known(view)).collect();
        assert!(forgotten.is_empty(), "views that nothing here reads: {forgotten:?}");
        self.views_in("shadow", launch).await
    }

    /// The same where the views stand in another database.
    pub async fn views_in(&self, database: &str, launch: &LaunchName) -> Views {
        let mut views = Vec::new();
        for (view, columns, order) in VIEWS {
            let query = format!("SELECT {columns} FROM {database}.{view} WHERE launch = '{launch}' {order}");
            views.push((*view, sql(&self.stack, &query).await));
        }
        Views(views)
    }

    /// How often every captured offset of a launch is claimed by rows and ranges: `(offsets, most claims of one)`.
    pub async fn claims(&self, launch: &LaunchName) -> (i64, i64) {
        let claimed = format!(
            "SELECT partition, captured_offset AS o FROM shadow.exchanges FINAL WHERE launch = '{launch}'
             UNION ALL
             SELECT partition, arrayJoin(range(first_offset, last_offset + 1)) AS o FROM shadow.skipped_ranges FINAL WHERE launch = '{launch}'"
        );
        let query = format!(
            "SELECT count(), max(c) FROM (SELECT partition, o, count() AS c FROM ({claimed}) GROUP BY partition, o)"
        );
        let text = sql(&self.stack, &query).await;
        let (offsets, most) = text.trim().split_once('\t').expect("two columns");
        (offsets.parse().expect("a count"), most.parse().expect("a count"))
    }
}
