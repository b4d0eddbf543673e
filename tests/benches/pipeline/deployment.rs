//! Everything that a user runs, each a process of its own: the services as configured for the shop, its two builds and its partners, Kafka and
//! ClickHouse. Calls of the live build leave through the agent, those of the candidate end in the stub.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shadow_record::{LaunchName, topics};
use shadow_shop::{Build, MAIL, PAYMENTS};
use tempfile::TempDir;

use super::peers::Peer;
use super::process::server_below;
use super::support::{Rig, Service, free_port, sql, stack_in, test_service};
use super::topic::Topic;

/// What services create their topics with when nobody says otherwise.
const PARTITIONS: i32 = 12;
/// How long nothing may move before waiting is given up.
const STALLED: Duration = Duration::from_secs(60);

/// All of it, running. Fields drop in this order: who calls ends before who is called.
pub(super) struct Deployment {
    /// Where clients send their requests.
    pub(super) url: String,
    /// Name and process of each service and server.
    pub(super) processes: Vec<(&'static str, u32)>,
    captured: Topic,
    outcomes: Topic,
    launch: LaunchName,
    _services: [Service; 4],
    _peers: [Peer; 3],
    pub(super) rig: Rig,
    dir: TempDir,
}

/// How far the records have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) captured: i64,
    /// Outcomes that Kafka holds; more than were captured where some were sent again.
    pub(super) replayed: i64,
    /// Exchanges with a row in ClickHouse.
    pub(super) stored: i64,
}

impl Deployment {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Rig::on(stack_in(Some(dir.path())).await, PARTITIONS).await;
        let [listen, egress, stub] = [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let partners = Peer::partners().await;
        let primary = Peer::shop(Build::Primary, &format!("http://{egress}")).await;
        let candidate = Peer::shop(Build::Candidate, &format!("http://{stub}")).await;
        let launch = rig.launch("bench", |launch| {
            launch.candidate = candidate.url().parse().unwrap();
            launch.isolation = Some("its calls end in the stub".to_owned());
            launch.rules = Some(shadow_shop::COMPARISON_RULES.to_owned());
        });
        let launch = launch.await;
        let brokers = &rig.kafka.brokers;
        let (masking, stub_rules) = (
            write(dir.path(), "masking.toml", shadow_shop::MASKING_RULES),
            write(dir.path(), "stub.toml", shadow_shop::STUB_RULES),
        );
        let stub_config = format!(
            "[service]\nname = \"shop\"\ninstance = \"stub-1\"\n[stub]\nhttp = \"{stub}\"\nrules = [{stub_rules:?}]\n\
             [masking]\nrules_file = {masking:?}\n[kafka]\nbrokers = \"{brokers}\"\n"
        );
        let masking = format!("[masking]\nrules_file = {masking:?}\nroutes = {:?}\n", shadow_shop::ROUTES);
        let partners_at = &partners.address;
        let agent_config = format!(
            "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"{listen}\"\n[primary]\nurl = \"{}\"\n\
             [capture]\npartitions = {PARTITIONS}\naccount = {:?}\nlatency_budget = \"off\"\nlag_budget = \"off\"\n\
             [egress]\nlisten = \"{egress}\"\nroutes = {:?}\nresolve = {{ \"{PAYMENTS}\" = \"{partners_at}\", \"{MAIL}\" = \"{partners_at}\" }}\n\
             {masking}[kafka]\nbrokers = \"{brokers}\"\n",
            primary.url(),
            dir.path(),
            routes_called()
        );
        let replayer_config = format!("[service]\ninstance = \"r1\"\n{masking}[kafka]\nbrokers = \"{brokers}\"\n");
        let comparator_config = format!(
            "[service]\ninstance = \"c1\"\n[kafka]\nbrokers = \"{brokers}\"\n[clickhouse]\nurl = \"{}\"\n",
            rig.stack.clickhouse_url()
        );
        let services = [
            ready("capture-agent", &agent_config).await,
            ready("replayer", &replayer_config).await,
            ready("comparator", &comparator_config).await,
            ready("shadow-stub", &stub_config).await,
        ];
        let names = ["capture-agent", "replayer", "comparator", "shadow-stub"];
        let mut processes: Vec<_> = names.into_iter().zip(services.iter().map(Service::id)).collect();
        let kafka = rig.stack.kafka().supervisor_id();
        let servers = [("Kafka", kafka), ("ClickHouse", rig.stack.clickhouse().supervisor_id())];
        // Servers that run elsewhere have no process here.
        processes.extend(servers.into_iter().filter_map(|(name, id)| Some((name, server_below(id?)))));
        Self {
            url: format!("http://{listen}"),
            processes,
            captured: Topic::new(&rig, topics::captured(&test_service())),
            outcomes: Topic::of_outcomes(&rig, &launch),
            launch,
            _services: services,
            _peers: [partners, primary, candidate],
            rig,
            dir,
        }
    }

    pub(super) async fn flow(&self) -> Flow {
        // What comes last in the flow is asked first: no step seems to be ahead of the one before it.
        let query = "SELECT count() FROM shadow.exchanges FINAL WHERE launch";
        let stored = self.rig.number(&format!("{query} = '{}'", self.launch)).await;
        let replayed = self.outcomes.records().await;
        Flow { captured: self.captured.records().await, replayed, stored }
    }

    /// Waits until everything that the agent captured is replayed and stored; gives how long that took, or `None` when nothing moves any more.
    pub(super) async fn settled(&self) -> Option<Duration> {
        let began = Instant::now();
        let (mut last, mut moved) = (self.flow().await, began);
        let mut looks = tokio::time::interval(Duration::from_millis(250));
        while last.captured > last.replayed
            || last.captured != last.stored
            || self.account().await.acknowledged < last.captured
        {
            looks.tick().await;
            let now = self.flow().await;
            if now != last {
                (last, moved) = (now, Instant::now());
            } else if moved.elapsed() > STALLED {
                return None;
            }
        }
        Some(began.elapsed())
    }

    /// The agent's account, as of its last heartbeat.
    pub(super) async fn account(&self) -> Account {
        let row = "SELECT sum(seen), sum(acknowledged) FROM shadow.ledger_agent WHERE instance = 'agent-1'";
        let row = sql(&self.rig.stack, row).await;
        let columns: Vec<i64> = row.split_whitespace().map(|column| column.parse().unwrap()).collect();
        Account { seen: columns[0], acknowledged: columns[1] }
    }

    /// Exchanges that the candidate answered too, so that there were two answers to compare.
    pub(super) async fn compared(&self) -> i64 {
        let query = "SELECT countIf(outcome = 'completed') FROM shadow.exchanges FINAL WHERE launch";
        self.rig.number(&format!("{query} = '{}'", self.launch)).await
    }

    /// Where Kafka keeps a topic's partitions, each in a directory `TOPIC-PARTITION`; `None` where Kafka is somebody else's.
    pub(super) fn logs(&self) -> Option<PathBuf> {
        let logs = self.dir.path().join("kafka/data");
        logs.is_dir().then_some(logs)
    }

    /// The topics of the flow.
    pub(super) fn topics(&self) -> [(&'static str, String); 3] {
        let service = test_service();
        [
            ("captured", topics::captured(&service)),
            ("replayed", topics::replayed(&service, &self.launch)),
            ("effects", topics::effects(&service)),
        ]
    }

    pub(super) async fn stop(self) {
        let Self { rig, _services, _peers, .. } = self;
        drop((_services, _peers));
        rig.stack.stop().await;
    }
}

/// What the agent says of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) seen: i64,
    pub(super) acknowledged: i64,
}

async fn ready(kind: &'static str, config: &str) -> Service {
    Service::start(kind, config).ready().await
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What `shadowctl stub routes` would print.
fn routes_called() -> Vec<String> {
    let mut rules = shadow_stub::Rules::none();
    rules.read(shadow_shop::STUB_RULES).unwrap();
    rules.routes()
}
