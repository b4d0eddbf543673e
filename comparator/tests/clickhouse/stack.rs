//! One stack for all tests of this binary, each test in a database of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use comparator::config::ClickHouseConfig;
use comparator::metrics::Metrics;
use comparator::schema;
use comparator::store::Store;
use shadow_devstack::Devstack;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// The user that may insert into the tables of every database, and look at their names.
pub(crate) const INSERTER: (&str, &str) = ("inserter", "inserter-secret");

#[derive(Clone)]
pub(crate) struct Stack {
    // Drops before the runtime that its processes' tasks run on.
    servers: Arc<OnceCell<Devstack>>,
    runtime: Arc<Runtime>,
}

impl Stack {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { servers: Arc::default(), runtime: Arc::new(runtime) }
    }

    /// Runs one test; the servers start with the first.
    pub(crate) fn run<F: Future<Output = ()>>(&self, test: impl FnOnce(Place) -> F) {
        self.runtime.block_on(async {
            let start = || async {
                let builder = Devstack::builder();
                builder.clickhouse_user(INSERTER.0, INSERTER.1, &["INSERT ON *.*"]).start().await.unwrap()
            };
            let servers = self.servers.get_or_init(start).await;
            test(Place::of(servers).await).await;
        });
    }
}

/// Where one test works.
pub(crate) struct Place {
    pub(crate) clickhouse: ClickHouseConfig,
    pub(crate) client: clickhouse::Client,
    pub(crate) store: Store,
    pub(crate) brokers: String,
}

impl Place {
    async fn of(servers: &Devstack) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let database = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let url = servers.clickhouse_url().parse().unwrap();
        let clickhouse = ClickHouseConfig { url, database, ..ClickHouseConfig::default() };
        let client = clickhouse.client();
        schema::apply(&client, &clickhouse.database, None).await.unwrap();
        let store = Store::new(&clickhouse, Metrics::default());
        Self { client, store, brokers: servers.brokers().to_owned(), clickhouse }
    }

    /// The answer as tab-separated text.
    pub(crate) async fn query(&self, sql: &str) -> String {
        let mut cursor = self.client.query(&sql.replace('?', "??")).fetch_bytes("TSV").unwrap();
        let bytes = cursor.collect().await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Every view, whole.
    pub(crate) async fn views(&self) -> String {
        let mut all = String::new();
        for view in VIEWS {
            all += &format!("{view}\n{}\n", self.query(&format!("SELECT * FROM {view} ORDER BY ALL")).await);
        }
        all
    }
}

pub(crate) const VIEWS: &[&str] = &[
    "noise",
    "judged",
    "match_rate",
    "latency",
    "control_latency",
    "errors",
    "coverage",
    "agreement",
    "staleness",
    "trend",
    "differences",
    "signatures",
    "signature_trend",
    "expected_changes",
    "rule_use",
    "drivers",
    "ledger_partition",
    "ledger_launch",
    "ledger_agent",
    "scheduled_effects",
    "correlated_effects",
    "effects_by_exchange",
    "uncorrelated_effects",
    "effect_differences",
    "spend",
];
