//! What the agent tells the rest of the flow, all of it beside the traffic: that it lives, where production is, that the shadow
//! has reached it or slows it down, and how agents ended that cannot tell.
//!
//! Guarantee: Kafka may be absent, come late or go away; this keeps trying and the traffic does not notice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use shadow_control::{
    Change, ControlRecord, ControlWriter, Heart, HeartConfig, Pause, Subject, Upstream, ensure_shared_topics,
};
use shadow_kafka::{Admin, KafkaConfig, KafkaError, TopicSpec};
use shadow_mask::Masker;
use shadow_record::{Role, ServiceName};
use shadow_runtime::masking_counters;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::effects::Calls;
use crate::last_words::LastWords;
use crate::ledger::Ledger;
use crate::pause::Alarm;
use crate::publish::Publisher;

/// Time between attempts while Kafka is away.
const RETRY: Duration = Duration::from_secs(1);
/// How often the primary's name is resolved anew; an address that production moved to must not become a target.
const RESOLVE: Duration = Duration::from_secs(30);
/// Longest wait for the resolver.
const RESOLVER: Duration = Duration::from_secs(5);
/// Least time between two pauses of everything, so that a flood of replayed requests is not one of control records.
const ALARM: Duration = Duration::from_secs(5);

/// Where production is.
#[derive(Clone, Debug)]
pub enum Production {
    /// Behind an agent.
    Behind {
        /// The primary as configured, `host:port`.
        primary: String,
        /// Where the agent listens.
        listen: SocketAddr,
    },
    /// It is this process, which clients and others reach at these, `host:port`.
    Here(Vec<String>),
}

impl Production {
    /// The addresses as configured, `host:port`, which may be names.
    fn named(&self) -> &[String] {
        match self {
            Self::Behind { primary, .. } => std::slice::from_ref(primary),
            Self::Here(addresses) => addresses,
        }
    }

    /// Where an agent listens.
    fn listen(&self) -> Option<SocketAddr> {
        match self {
            Self::Behind { listen, .. } => Some(*listen),
            Self::Here(_) => None,
        }
    }
}

/// Who announces, and what.
pub(crate) struct Announcer {
    /// How to reach Kafka.
    pub(crate) kafka: KafkaConfig,
    /// The captured service.
    pub(crate) service: ServiceName,
    /// This agent.
    pub(crate) instance: String,
    /// Where production is.
    pub(crate) production: Production,
    /// Partitions of the captured topic if it must be created.
    pub(crate) partitions: i32,
    /// Waits for the topic.
    pub(crate) publisher: Publisher,
    /// Where the primary's calls are published, partitions of that topic if it must be created, and their account.
    pub(crate) effects: Option<(Publisher, i32, Arc<Calls>)>,
    /// Rings when production is affected.
    pub(crate) alarm: Alarm,
    /// The account that heartbeats carry.
    pub(crate) ledger: Arc<Ledger>,
    /// What it could not mask is told beside the account.
    pub(crate) masker: Arc<Masker>,
    /// Those of agents that died.
    pub(crate) last_words: LastWords,
}

impl Announcer {
    /// Starts the heartbeats; the last one is the caller's, when all has drained.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub(crate) fn beat(&self, stop: CancellationToken) -> Result<Heart, KafkaError> {
        let epoch = self.ledger.epoch();
        let role = Role::CaptureAgent;
        let config = HeartConfig { epoch, ..HeartConfig::of(&self.kafka, &self.instance, role, self.service.as_str()) };
        let heart = Heart::spawn(config, stop)?;
        let (ledger, masker) = (self.ledger.clone(), self.masker.clone());
        let calls = self.effects.as_ref().map(|(_, _, calls)| calls.clone());
        let counters = Arc::new(move || -> BTreeMap<String, i64> {
            let calls = calls.iter().flat_map(|calls| calls.counters());
            ledger.account().counters().into_iter().chain(masking_counters(&masker)).chain(calls).collect()
        });
        heart.register(Subject { launch: None, gate: None, counters });
        Ok(heart)
    }

    /// Announces until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let told = async {
            let writer = self.until_ready().await;
            tokio::join!(self.tell_upstreams(&writer), self.answer_alarms(&writer), self.last_words.say());
        };
        tokio::select! { () = stop.cancelled() => {}, () = told => {} }
    }

    /// Waits for Kafka, makes sure of the topics and opens the publisher.
    async fn until_ready(&self) -> ControlWriter {
        let mut complained = false;
        loop {
            match self.prepare().await {
                Ok(writer) => return writer,
                Err(error) if !std::mem::replace(&mut complained, true) => {
                    tracing::warn!(%error, "Kafka is not ready; traffic flows, exchanges queue and then drop");
                }
                Err(error) => tracing::debug!(%error, "Kafka is still not ready"),
            }
            sleep(RETRY).await;
        }
    }

    async fn prepare(&self) -> Result<ControlWriter, KafkaError> {
        let admin = Admin::new(&self.kafka)?;
        open(&admin, &self.publisher, self.partitions).await?;
        if let Some((publisher, partitions, _)) = &self.effects {
            open(&admin, publisher, *partitions).await?;
        }
        ensure_shared_topics(&admin).await?;
        ControlWriter::new(&self.kafka)
    }

    /// Publishes where production is, and again whenever that changes.
    async fn tell_upstreams(&self, writer: &ControlWriter) {
        let mut told = BTreeSet::new();
        loop {
            let addresses = self.addresses(&told).await;
            if addresses != told {
                let record = ControlRecord::Upstream(Upstream {
                    service: self.service.clone(),
                    instance: self.instance.clone(),
                    addresses: addresses.iter().cloned().collect(),
                    change: Change::by(&self.instance, "addresses of production, as the agent sees them"),
                });
                match writer.put(&record).await {
                    Ok(_) => told = addresses,
                    Err(error) => tracing::warn!(%error, "the addresses of production are not announced yet"),
                }
            }
            sleep(if told.is_empty() { RETRY } else { RESOLVE }).await;
        }
    }

    /// Production as configured and as resolved, and this agent; a port that is open on every interface, or that production on this
    /// host has, under every name of this host that is known here. An address once known stays known: a resolver that fails or
    /// rotates must not make production a possible target.
    async fn addresses(&self, known: &BTreeSet<String>) -> BTreeSet<String> {
        let mut addresses = known.clone();
        let (mut own, mut shared) = (interfaces(), BTreeSet::new());
        for name in self.production.named() {
            addresses.insert(name.clone());
            for found in resolve(name).await {
                addresses.insert(found.to_string());
                own.extend(self.seen_from(found));
                shared.extend(on_this_host(found.ip(), &own).then_some(found.port()));
            }
        }
        if let Some(listen) = self.production.listen() {
            addresses.insert(listen.to_string());
            shared.extend(listen.ip().is_unspecified().then_some(listen.port()));
        }
        addresses.extend(shared.into_iter().flat_map(|port| everywhere(port, &own, &host_name())));
        addresses
    }

    /// The address from which this host reaches the primary, should the interfaces not be readable.
    fn seen_from(&self, primary: SocketAddr) -> Option<IpAddr> {
        // Connecting a datagram socket sends nothing; it only asks the routing table.
        let any: IpAddr = if primary.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(primary).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }

    /// Pauses every launch when production is affected; a person resumes.
    async fn answer_alarms(&self, writer: &ControlWriter) {
        let mut answered = 0;
        loop {
            self.alarm.rung().await;
            let replayed = self.alarm.count();
            let reached = (replayed > answered).then(|| "a replayed request reached production".to_owned());
            answered = replayed;
            let why: Vec<_> = reached.into_iter().chain(self.alarm.take_felt()).collect();
            if why.is_empty() {
                continue;
            }
            let why = why.join("; ");
            tracing::error!(why, "production is affected; pausing every launch");
            let change = Change::by(&self.instance, why);
            let pause = ControlRecord::Pause(Pause { instance: None, launch: None, paused: true, change });
            while let Err(error) = writer.put(&pause).await {
                tracing::error!(%error, "the pause could not be published; trying again");
                sleep(RETRY).await;
            }
            sleep(ALARM).await;
        }
    }
}

/// Makes sure of the publisher's topic, and lets it publish.
async fn open(admin: &Admin, publisher: &Publisher, partitions: i32) -> Result<(), KafkaError> {
    let topic = TopicSpec::deleting(publisher.topic(), partitions);
    let partitions = match admin.ensure_topic(&topic).await {
        Ok(()) => partitions,
        Err(KafkaError::PartitionCount { topic, found, wanted }) => {
            tracing::warn!(topic, found, wanted, "the topic keeps the partition count it was created with");
            found
        }
        Err(error) => return Err(error),
    };
    publisher.open(partitions);
    tracing::info!(topic = publisher.topic(), partitions, "publishing");
    Ok(())
}

async fn resolve(primary: &str) -> Vec<SocketAddr> {
    match timeout(RESOLVER, tokio::net::lookup_host(primary)).await {
        Ok(Ok(found)) => return found.collect(),
        Ok(Err(error)) => tracing::warn!(%error, primary, "cannot resolve the primary"),
        Err(_) => tracing::warn!(primary, "resolving the primary takes too long"),
    }
    Vec::new()
}

/// A primary at such an address is on this host, so it may also be reached at the host's other addresses.
fn on_this_host(primary: IpAddr, own: &BTreeSet<IpAddr>) -> bool {
    let primary = primary.to_canonical();
    primary.is_loopback() || primary.is_unspecified() || own.contains(&primary)
}

/// A port of this host, at each of its addresses and by its name.
fn everywhere(port: u16, own: &BTreeSet<IpAddr>, host: &str) -> BTreeSet<String> {
    let named = (!host.is_empty()).then(|| format!("{host}:{port}"));
    own.iter().map(|ip| SocketAddr::new(*ip, port).to_string()).chain(named).collect()
}

/// The addresses of this host's interfaces.
fn interfaces() -> BTreeSet<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(found) => found.iter().map(if_addrs::Interface::ip).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot read this host's addresses; production is announced at fewer of them");
            BTreeSet::new()
        }
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use shadow_kafka::ProducerLimits;

    use super::*;

    async fn announced(production: Production) -> BTreeSet<String> {
        let kafka = KafkaConfig::at("127.0.0.1:1");
        let publisher = Publisher::new(&kafka, &ProducerLimits::default(), "none".into()).unwrap();
        let last_words = LastWords::new(kafka.clone(), "shop".parse().unwrap(), Vec::new());
        let key = shadow_mask::MaskKey::parse(&"k".repeat(32)).unwrap();
        let announcer = Announcer {
            kafka,
            service: "shop".parse().unwrap(),
            instance: "a1".to_owned(),
            production,
            partitions: 1,
            publisher,
            effects: None,
            alarm: Alarm::default(),
            ledger: Ledger::open(),
            masker: Arc::new(Masker::new(key, Default::default(), Default::default())),
            last_words,
        };
        announcer.addresses(&BTreeSet::new()).await
    }

    #[tokio::test]
    async fn what_is_open_on_every_interface_is_announced_at_every_address_and_name_of_the_host() {
        let here = |port| everywhere(port, &interfaces(), &host_name());
        assert!(here(80).contains("127.0.0.1:80") && here(80).contains(&format!("{}:80", host_name())));
        for (primary, listen, ports, silent) in [
            ("192.0.2.1:9000", "0.0.0.0:8080", &[8080][..], &[9000][..]),
            ("127.0.0.1:9000", "0.0.0.0:8080", &[8080, 9000], &[]),
            ("localhost:9000", "192.0.2.7:8080", &[9000], &[8080]),
            ("[::1]:9000", "[::]:8080", &[8080, 9000], &[]),
            ("192.0.2.1:9000", "192.0.2.7:8080", &[], &[8080, 9000]),
        ] {
            let behind = Production::Behind { primary: primary.to_owned(), listen: listen.parse().unwrap() };
            let told = announced(behind).await;
            assert!(told.contains(primary) && told.contains(listen), "{told:?}");
            assert!(ports.iter().all(|port| here(*port).is_subset(&told)), "{primary} {listen}: {told:?}");
            assert!(silent.iter().all(|port| here(*port).is_disjoint(&told)), "{primary} {listen}: {told:?}");
        }
        let addresses = ["192.0.2.1:9000", "0.0.0.0:8080"].map(str::to_owned).to_vec();
        let told = announced(Production::Here(addresses)).await;
        assert!(told.contains("192.0.2.1:9000") && here(8080).is_subset(&told) && here(9000).is_disjoint(&told));
    }
}
