//! The services of the demo, in this process, with configurations built in code.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use capture_agent::{Account, Agent};
use shadow_runtime::{Instance, MaskingConfig, Secret};
use shadow_shop::{Build, MAIL, Outbound, PAYMENTS, Partners, ROUTES, Shop};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::world::{PARTITIONS, World};
use crate::failure::Failure;

/// How long services may take to drain: what `run_service` gives them as processes.
const GRACE: Duration = Duration::from_secs(8);

/// How long an exchange waits for its effects: everything is on this machine, and somebody watches.
const SETTLE: Duration = Duration::from_secs(2);

/// Primary, candidate and control, the partners and the stub: what answers somebody, and so ends last.
const ANSWERING: usize = 5;

/// Shops, partners, stub, agent, replayer and comparator, running.
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
    /// Where the primary's calls leave.
    pub(super) egress: String,
    /// Where the others' calls end.
    pub(super) stub: String,
    partners: Partners,
    agent_ledger: Arc<Agent>,
}

impl View {
    /// The agent's account now.
    pub(super) fn account(&self) -> Account {
        self.agent_ledger.account()
    }

    /// What the partners were asked.
    pub(super) fn partners(&self) -> &Partners {
        &self.partners
    }
}

impl Services {
    /// Starts everything on free ports of loopback, with `candidate` as the next version.
    ///
    /// # Errors
    /// When a port cannot be had or a configuration is refused.
    pub(super) async fn start(world: &World, candidate: Build) -> Result<Self, Failure> {
        let [pipeline, answering] = [CancellationToken::new(), CancellationToken::new()];
        let mut tasks = JoinSet::new();
        let key = masking_key();
        let partners = Partners::default();
        let (listener, _) = listen().await?;
        let partners_at = listener.local_addr().map_err(Failure::internal)?;
        let serving = partners.clone().serve(listener, answering.clone());
        tasks.spawn(async move { ("partners", serving.await.map_err(anyhow::Error::from)) });

        let (listener, primary) = listen().await?;
        let agent =
            Agent::start(agent(world, &primary, partners_at, &key)?, pipeline.clone()).await.map_err(refused)?;
        let agent = Arc::new(agent);
        let egress =
            agent.egress_address().ok_or_else(|| Failure::internal("the agent takes no calls of the primary"))?;
        let egress = format!("http://{egress}");
        let (stub_config, stop) = (stub(world, &key).await?, answering.clone());
        let stub = format!("http://{}", stub_config.stub.http);
        tasks.spawn(async move { ("stub", shadow_stub::run(stub_config, stop).await) });

        let mut shop = |name: &'static str, pod, build, way_out: &str, listener| {
            let outbound = Outbound::through(way_out).map_err(Failure::internal)?;
            let serving = Shop::new(build).volatile(pod).calling(outbound).serve(listener, answering.clone());
            tasks.spawn(async move { (name, serving.await.map_err(anyhow::Error::from)) });
            Ok::<_, Failure>(())
        };
        shop("primary shop", "shop-7f9c", Build::Primary, &egress, listener)?;
        let (listener, candidate_url) = listen().await?;
        shop("candidate shop", "shop-c04d", candidate, &stub, listener)?;
        let (listener, control) = listen().await?;
        shop("control shop", "shop-b21e", Build::Primary, &stub, listener)?;

        let (replayer, stop) = (replayer(world, &key)?, pipeline.clone());
        tasks.spawn(async move { ("replayer", replayer::run(replayer, stop).await) });
        let (comparator, stop) = (comparator(world)?, pipeline.clone());
        tasks.spawn(async move { ("comparator", comparator::run(comparator, stop).await) });

        let (address, agent_ledger) = (format!("http://{}", agent.address()), agent.clone());
        let candidate = candidate_url;
        let view = View { primary, agent: address, candidate, control, egress, stub, partners, agent_ledger };
        Ok(Self { tasks, stages: [pipeline, answering], agent: Some(agent), view })
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

    /// Stops everything, what answers others last; what does not drain in time is cut off.
    pub(super) async fn stop(mut self) {
        let [pipeline, answering] = &self.stages;
        pipeline.cancel();
        drop(self.view);
        let drained = async {
            if let Some(agent) = self.agent.take().and_then(Arc::into_inner) {
                agent.finish().await;
            }
            while self.tasks.len() > ANSWERING && self.tasks.join_next().await.is_some() {}
            answering.cancel();
            while self.tasks.join_next().await.is_some() {}
        };
        if tokio::time::timeout(GRACE, drained).await.is_err() {
            tracing::warn!("services did not drain in time and were cut off");
        }
    }
}

/// A free port of loopback, and its URL.
async fn listen() -> Result<(TcpListener, String), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Failure::internal)?;
    let url = format!("http://{}", listener.local_addr().map_err(Failure::internal)?);
    Ok((listener, url))
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

/// The same for agent, replayer and stub.
fn masking(world: &World, key: &str) -> MaskingConfig {
    let routes = ROUTES.iter().map(|route| (*route).to_owned()).collect();
    MaskingConfig {
        key: Some(Secret::new(key)),
        rules_file: Some(world.masking_rules()),
        routes,
        ..MaskingConfig::default()
    }
}

fn agent(world: &World, primary: &str, partners: SocketAddr, key: &str) -> Result<capture_agent::Config, Failure> {
    use capture_agent::{
        CaptureSection, Config, EgressSection, ListenSection, PrimarySection, ServiceSection, Threshold,
    };
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
        egress: EgressSection {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            // The stub's, so that both name a call alike.
            routes: routes_called()?,
            resolve: [PAYMENTS, MAIL].map(|host| (host.to_owned(), partners)).into(),
            partitions: PARTITIONS,
            ..EgressSection::default()
        },
        masking: masking(world, key),
        kafka: world.kafka.config.clone(),
        ..Config::default()
    })
}

/// What `shadowctl stub routes` would print.
fn routes_called() -> Result<Vec<String>, Failure> {
    let mut rules = shadow_stub::Rules::none();
    rules.read(shadow_shop::STUB_RULES).map_err(Failure::internal)?;
    Ok(rules.routes())
}

async fn stub(world: &World, key: &str) -> Result<shadow_stub::config::Config, Failure> {
    use shadow_stub::config::{Config, ServiceSection, StubConfig};
    let (listener, _) = listen().await?;
    let http = listener.local_addr().map_err(Failure::internal)?;
    Ok(Config {
        service: ServiceSection { name: Some(world.service.clone()), instance: instance(world, "stub")? },
        stub: StubConfig { http, rules: vec![world.stub_rules()], partitions: PARTITIONS, ..StubConfig::default() },
        // Its routes are those of its rules.
        masking: MaskingConfig { routes: Vec::new(), ..masking(world, key) },
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
    use comparator::config::{ClickHouseConfig, ComparatorSection, Config, ServiceSection};
    let defaults = ClickHouseConfig::default();
    Ok(Config {
        service: ServiceSection { instance: instance(world, "comparator")? },
        comparator: ComparatorSection { effects_settle: SETTLE.into(), ..ComparatorSection::default() },
        clickhouse: ClickHouseConfig {
            url: world.clickhouse.clickhouse_url.clone(),
            database: world.clickhouse.clickhouse_database.clone(),
            user: world.sql.user.clone().unwrap_or(defaults.user),
            password: world.sql.password.clone(),
            ca: None,
        },
        kafka: world.kafka.config.clone(),
        ..Config::default()
    })
}
