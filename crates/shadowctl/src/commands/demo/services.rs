//! The services of the demo, in this process, with configurations built in code.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use capture_agent::{Account, Agent};
use shadow_runtime::{Instance, MaskingConfig, Secret};
use shadow_shop::{Build, ROUTES, Shop};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::world::{PARTITIONS, World};
use crate::failure::Failure;

/// How long services may take to drain: what `run_service` gives them as processes.
const GRACE: Duration = Duration::from_secs(8);

/// Primary, candidate and control.
const SHOPS: usize = 3;

/// Shops, agent, replayer and comparator, running.
pub(super) struct Services {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    /// Stops what sends first, what receives last.
    stages: [CancellationToken; 2],
    agent: Option<Arc<Agent>>,
    view: View,
}

/// What others need to know of the services.
#[derive(Clone)]
pub(super) struct View {
    pub(super) primary: String,
    pub(super) agent: String,
    pub(super) candidate: String,
    pub(super) control: String,
    agent_ledger: Arc<Agent>,
}

impl View {
    /// The agent's account now.
    pub(super) fn account(&self) -> Account {
        self.agent_ledger.account()
    }
}

impl Services {
    /// Starts everything on free ports of loopback, with `candidate` as the next version.
    ///
    /// # Errors
    /// When a port cannot be had or a configuration is refused.
    pub(super) async fn start(world: &World, candidate: Build) -> Result<Self, Failure> {
        let [pipeline, shops] = [CancellationToken::new(), CancellationToken::new()];
        let mut tasks = JoinSet::new();
        let mut shop = async |name: &'static str, pod: &'static str, build: Build| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::internal)?;
            let url = format!("http://{}", listener.local_addr().map_err(Failure::internal)?);
            let serving = Shop::new(build).volatile(pod).serve(listener, shops.clone());
            tasks.spawn(async move { (name, serving.await.map_err(anyhow::Error::from)) });
            Ok::<_, Failure>(url)
        };
        let primary = shop("primary shop", "shop-7f9c", Build::Primary).await?;
        let candidate = shop("candidate shop", "shop-c04d", candidate).await?;
        let control = shop("control shop", "shop-b21e", Build::Primary).await?;

        let key = masking_key();
        let agent = Agent::start(agent(world, &primary, &key)?, pipeline.clone()).await.map_err(refused)?;
        let agent = Arc::new(agent);
        let (replayer, stop) = (replayer(world, &key)?, pipeline.clone());
        tasks.spawn(async move { ("replayer", replayer::run(replayer, stop).await) });
        let (comparator, stop) = (comparator(world)?, pipeline.clone());
        tasks.spawn(async move { ("comparator", comparator::run(comparator, stop).await) });

        let (address, agent_ledger) = (format!("http://{}", agent.address()), agent.clone());
        let view = View { primary, agent: address, candidate, control, agent_ledger };
        Ok(Self { tasks, stages: [pipeline, shops], agent: Some(agent), view })
    }

    pub(super) fn view(&self) -> View {
        self.view.clone()
    }

    /// Resolves when a service ends by itself, which none should.
    pub(super) async fn ended(&mut self) -> Failure {
        match self.tasks.join_next().await {
            Some(Ok((name, Err(error)))) => Failure::internal(format!("the {name} failed: {error:#}")),
            Some(Ok((name, Ok(())))) => Failure::internal(format!("the {name} ended by itself")),
            Some(Err(panic)) => Failure::internal(format!("a service panicked: {panic}")),
            None => std::future::pending().await,
        }
    }

    /// Stops everything, the shops last; what does not drain in time is cut off.
    pub(super) async fn stop(mut self) {
        let [pipeline, shops] = &self.stages;
        pipeline.cancel();
        drop(self.view);
        let drained = async {
            if let Some(agent) = self.agent.take().and_then(Arc::into_inner) {
                agent.finish().await;
            }
            while self.tasks.len() > SHOPS && self.tasks.join_next().await.is_some() {}
            shops.cancel();
            while self.tasks.join_next().await.is_some() {}
        };
        if tokio::time::timeout(GRACE, drained).await.is_err() {
            tracing::warn!("services did not drain in time and were cut off");
        }
    }
}

/// A configuration that a service refused is a defect of the demo.
fn refused(error: anyhow::Error) -> Failure {
    Failure::internal(format!("{error:#}"))
}

fn instance(world: &World, name: &str) -> Result<Instance, Failure> {
    format!("demo-{name}{}", world.suffix).parse().map_err(Failure::internal)
}

/// Good for one demo: nothing masked under it outlives the servers.
fn masking_key() -> String {
    (0..4_u64).map(|part| format!("{:016x}", RandomState::new().hash_one(part))).collect()
}

/// The same for agent and replayer.
fn masking(world: &World, key: &str) -> MaskingConfig {
    let routes = ROUTES.iter().map(|route| (*route).to_owned()).collect();
    MaskingConfig {
        key: Some(Secret::new(key)),
        rules_file: Some(world.masking_rules()),
        routes,
        ..MaskingConfig::default()
    }
}

fn agent(world: &World, primary: &str, key: &str) -> Result<capture_agent::Config, Failure> {
    use capture_agent::{CaptureSection, Config, ListenSection, PrimarySection, ServiceSection, Threshold};
    Ok(Config {
        service: ServiceSection { name: Some(world.service.clone()), instance: instance(world, "agent")? },
        listen: ListenSection { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..ListenSection::default() },
        primary: PrimarySection { url: Some(primary.parse().map_err(Failure::internal)?), ..PrimarySection::default() },
        // A demo is to capture everything, however busy the machine is.
        capture: CaptureSection {
            partitions: PARTITIONS,
            latency_budget: Threshold::Off,
            lag_budget: Threshold::Off,
            ..CaptureSection::default()
        },
        masking: masking(world, key),
        kafka: world.kafka.config.clone(),
        ..Config::default()
    })
}

fn replayer(world: &World, key: &str) -> Result<replayer::config::Config, Failure> {
    use replayer::config::{Config, ServiceSection};
    Ok(Config {
        service: ServiceSection { instance: instance(world, "replayer")? },
        masking: masking(world, key),
        kafka: world.kafka.config.clone(),
        ..Config::default()
    })
}

fn comparator(world: &World) -> Result<comparator::config::Config, Failure> {
    use comparator::config::{ClickHouseConfig, Config, ServiceSection};
    let defaults = ClickHouseConfig::default();
    Ok(Config {
        service: ServiceSection { instance: instance(world, "comparator")? },
        clickhouse: ClickHouseConfig {
            url: world.clickhouse.clickhouse_url.clone(),
            database: world.clickhouse.clickhouse_database.clone(),
            user: world.sql.user.clone().unwrap_or(defaults.user),
            password: world.sql.password.clone(),
        },
        kafka: world.kafka.config.clone(),
        ..Config::default()
    })
}
