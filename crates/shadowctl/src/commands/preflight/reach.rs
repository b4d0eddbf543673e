//! What the network says: whether targets are production, whether what the rehearsal needs is there.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use replayer::target::{self, Lists, Refusal};
use shadow_control::{Change, ControlState, Upstream};
use shadow_record::topics;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::finding::{Findings, Level};
use super::isolation;
use super::meeting::places;
use super::topology::{Side, Topology};
use crate::commands::launch::host_port;
use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::sql::Sql;
use crate::words;

/// Longest wait for a resolver or a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// Share of a capacity above which a rate leaves no room for a burst of slow answers.
const COMFORTABLE: f64 = 0.8;

/// What the hosts of the topology resolve to.
#[derive(Debug, Default)]
pub(crate) struct Hosts(BTreeMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Of every store and side. Offline only addresses and `localhost` are known.
    pub(crate) async fn of(topology: &Topology, offline: bool) -> Self {
        let mut found = BTreeMap::new();
        let sides = topology.shadows().map(|(_, side)| side).chain([&topology.primary]);
        for side in sides {
            let stores = side.stores.iter().flatten().flat_map(places).map(|(host, _)| host);
            for host in stores.chain([bare(&side.url)]) {
                if found.contains_key(&host) {
                    continue;
                }
                let addresses = if host == "localhost" {
                    vec![IpAddr::from([127, 0, 0, 1])]
                } else if let Ok(ip) = host.parse::<IpAddr>() {
                    vec![ip.to_canonical()]
                } else if offline {
                    Vec::new()
                } else {
                    match timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), 0))).await {
                        Ok(Ok(resolved)) => resolved.map(|address| address.ip().to_canonical()).collect(),
                        _ => Vec::new(),
                    }
                };
                found.insert(host, addresses);
            }
        }
        Self(found)
    }

    /// Whether two names lead to one host; `None` when one of them does not resolve.
    pub(crate) fn same(&self, a: &str, b: &str) -> Option<bool> {
        let (a, b) = (self.addresses(a), self.addresses(b));
        let local = |ips: &[IpAddr]| ips.iter().any(|ip| ip.is_loopback() || ip.is_unspecified());
        let known = !a.is_empty() && !b.is_empty();
        known.then(|| a.iter().any(|ip| b.contains(ip)) || (local(a) && local(b)))
    }

    fn addresses(&self, host: &str) -> &[IpAddr] {
        self.0.get(host).map_or(&[], Vec::as_slice)
    }
}

fn bare(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Judges the targets against the declared primary, against what agents announced and against the lists.
pub(crate) fn targets(topology: &Topology, hosts: &Hosts, state: Option<&ControlState>, findings: &mut Findings<'_>) {
    let lists = match Lists::parse(&topology.allow, &topology.deny) {
        Ok(lists) => lists,
        Err(error) => {
            return findings.problem(error.to_string(), "write a host, host:port, or a network such as 10.1.0.0/16");
        }
    };
    let declared = declared(topology, hosts);
    let before = findings.list.len();
    for (name, side) in topology.shadows() {
        let resolved = hosts.addresses(&bare(&side.url));
        let announced = state.iter().flat_map(|state| state.upstreams.values());
        match target::judge(&side.url, &lists, resolved, announced.chain([&declared])) {
            Err(Refusal::Upstream { address, service, .. }) => {
                findings.unsafe_(
                    format!("the {name} {} is production: service {service} is at {address}", side.url),
                    format!("name the {name}'s own address under [{name}]"),
                );
                continue;
            }
            Ok(()) => {}
            // What cannot be resolved from here cannot be compared with networks either.
            Err(Refusal::NotAllowed { .. }) if resolved.is_empty() => {}
            Err(refusal) => findings.problem(
                format!("the {name} would be refused: {refusal}"),
                "mend the url, or allow and deny; replayers hold to them",
            ),
        }
        let primary = &topology.primary.url;
        let same_port = side.url.port_or_known_default() == primary.port_or_known_default();
        let unresolved = match (resolved, hosts.addresses(&bare(primary))) {
            ([], _) => &side.url,
            (_, []) if same_port => primary,
            _ => continue,
        };
        findings.add(
            isolation::unshown(topology),
            format!(
                "nothing shows that the {name} {} is not production: {} does not resolve here",
                side.url,
                bare(unresolved)
            ),
            "run preflight where the names resolve, without --offline, or name addresses",
        );
    }
    if findings.list[before..].is_empty() {
        findings.ok("no target is production, and the lists let each through");
    }
}

/// The declared primary as an agent would announce it.
fn declared(topology: &Topology, hosts: &Hosts) -> Upstream {
    let url = &topology.primary.url;
    let port = url.port_or_known_default().unwrap_or(80);
    let resolved = hosts.addresses(&bare(url)).iter().map(|ip| SocketAddr::new(*ip, port).to_string());
    Upstream {
        service: topology.service.clone(),
        instance: "the topology".to_owned(),
        addresses: [host_port(url)].into_iter().chain(resolved).collect(),
        change: Change::by("the topology", ""),
    }
}

/// Compares the wanted rate with what each side of the shadow was measured to take.
pub(crate) fn rates(topology: &Topology, findings: &mut Findings<'_>) {
    let Some(wanted) = topology.rate else {
        return findings.warn("no rate is declared", "write rate = \"200/s\" and the capacity of each side");
    };
    for (name, side) in topology.shadows() {
        let share = if name == "control" { side.sample } else { 1.0 };
        let wanted = wanted.0 * share;
        let shown = words::rate(Some(wanted));
        match side.capacity {
            None => findings.warn(
                format!("the capacity of the {name} is not declared"),
                format!("measure it with a load generator and write capacity = \"500/s\" under [{name}]"),
            ),
            Some(capacity) if wanted > capacity.0 => findings.problem(
                format!("{shown} is more than the {name} takes ({})", words::rate(Some(capacity.0))),
                "lower the rate, or give it more instances; what is measured beyond its capacity is queueing",
            ),
            Some(capacity) if wanted > capacity.0 * COMFORTABLE => findings.warn(
                format!("{shown} leaves the {name} little room ({})", words::rate(Some(capacity.0))),
                "stay below 80 % of the capacity, or latencies will be those of a full queue",
            ),
            Some(_) => findings.ok(format!("{shown} is within the capacity of the {name}")),
        }
    }
}

/// What the control topic says, and whether the topics are there.
pub(crate) async fn kafka(topology: &Topology, kafka: &Kafka, findings: &mut Findings<'_>) -> Option<ControlState> {
    match ask_kafka(topology, kafka, findings).await {
        Ok(state) => Some(state),
        Err(failure) => {
            findings.add(Level::Unreachable, failure.cause, failure.remedy);
            None
        }
    }
}

async fn ask_kafka(topology: &Topology, kafka: &Kafka, findings: &mut Findings<'_>) -> Result<ControlState, Failure> {
    let captured = topics::captured(&topology.service);
    let control = kafka.in_time(async { Ok(kafka.admin.partitions(topics::CONTROL).await?) }).await?;
    let state = kafka.control().await?;
    if control.is_none() {
        findings.problem(
            format!("topic {} does not exist", topics::CONTROL),
            "start an agent or a replayer; they create it",
        );
    }
    match kafka.in_time(async { Ok(kafka.admin.partitions(&captured).await?) }).await? {
        Some(partitions) => findings.ok(format!("{captured} has {partitions} partitions")),
        None => {
            findings.problem(format!("topic {captured} does not exist"), "start the service's agent; it creates it")
        }
    }
    let mut announced = state.upstreams.values().filter(|upstream| upstream.service == topology.service).peekable();
    let primary = host_port(&topology.primary.url);
    if announced.peek().is_none() {
        findings.problem(
            format!("no agent of service {} has announced where production is", topology.service),
            "start the agent; until then nothing but allow and deny keeps a launch from production",
        );
    } else if !announced.any(|upstream| upstream.addresses.iter().any(|address| address.eq_ignore_ascii_case(&primary)))
    {
        findings.warn(
            format!("{primary} is not among what the agents of service {} announced", topology.service),
            "make sure that [primary] is the production that is captured",
        );
    }
    if state.pauses.get(&None).is_some_and(|pause| pause.paused) {
        findings.warn("the kill switch of every launch is on", "`shadowctl status` tells by whom; `shadowctl resume`");
    }
    if let Some(wanted) = topology.rate {
        match state.rate_of(&captured, None) {
            Some(set) if set <= wanted.0 => {}
            set => findings.warn(
                format!(
                    "the rate of {captured} is {}, more than the declared {}",
                    words::rate(set),
                    words::rate(Some(wanted.0))
                ),
                format!("shadowctl rate set {} {}", topology.service, words::rate(Some(wanted.0))),
            ),
        }
    }
    Ok(state)
}

/// Whether ClickHouse answers and has the tables.
pub(crate) async fn clickhouse(sql: &Sql, findings: &mut Findings<'_>) {
    let asked = timeout(PATIENCE * 2, sql.execute("SELECT 1 FROM exchanges LIMIT 0", &[])).await;
    match asked
        .unwrap_or_else(|_| Err(Failure::unreachable("ClickHouse did not answer", crate::failure::CLICKHOUSE_REMEDY)))
    {
        Ok(()) => findings.ok("ClickHouse answers and has the tables"),
        Err(failure) if failure.kind == crate::failure::Kind::Unreachable => {
            findings.add(Level::Unreachable, failure.cause, failure.remedy);
        }
        Err(failure) => findings.problem(failure.cause, failure.remedy),
    }
}

/// Whether the shadow accepts connections. Production is not touched.
pub(crate) async fn shadow(topology: &Topology, findings: &mut Findings<'_>) {
    for (name, side) in topology.shadows() {
        match connect(side).await {
            Ok(()) => findings.ok(format!("the {name} accepts connections")),
            Err(cause) => findings.add(
                Level::Unreachable,
                format!("the {name} at {} does not accept connections: {cause}", side.url),
                "start it, or mend its url; --offline leaves such checks out",
            ),
        }
    }
}

async fn connect(side: &Side) -> Result<(), String> {
    match timeout(PATIENCE, TcpStream::connect(host_port(&side.url))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {}", words::duration(PATIENCE))),
    }
}
