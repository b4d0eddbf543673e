//! `[egress]`: where the primary's outbound calls come in, and what they may do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use shadow_ca::Ca;
use shadow_record::RouteTable;
use shadow_runtime::units::HumanDuration;
use shadow_runtime::{Alias, Problem, Secret};

use crate::edge::limits::{calls_for, raise_open_files};
use crate::edge::tls::{Alpn, ClientFiles, ClientTls};

/// Connections where nothing else is configured.
const CONNECTIONS: usize = 1024;

/// Who may call unless somebody is named.
const LOOPBACK: [(IpAddr, u8); 2] =
    [(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)];

/// `[egress]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EgressSection {
    /// Where the primary's calls come in; without it they are not seen.
    pub listen: Option<SocketAddr>,
    /// Networks whose hosts may call; this host, over loopback, by default.
    pub allow: Vec<IpNet>,
    /// What base URLs that lead here stand for.
    pub aliases: Vec<Alias>,
    /// Addresses of destinations that are not to be looked up, by host: where names mean something else here, and for trials.
    pub resolve: BTreeMap<String, SocketAddr>,
    /// Path templates of destinations, such as `POST /v1/charges/{id}/capture`; the stub's, so that both name routes alike.
    pub routes: Vec<String>,
    /// Hosts whose TLS ends here, so that what is in it can be recorded: `api.stripe.com`, `*.example.com`.
    pub intercept: Vec<String>,
    /// Private key of the authority that the primary trusts for that.
    pub ca_key: Option<Secret>,
    /// PEM file with the authorities that may vouch for `https` destinations; the public ones by default.
    pub trust: Option<PathBuf>,
    /// Longest wait for a connection to a destination, its handshake included.
    pub connect: HumanDuration,
    /// Longest wait for the answer's head; none by default, as without the agent.
    pub answer: Option<HumanDuration>,
    /// How long a connection may wait for its next call.
    pub idle: HumanDuration,
    /// Most connections at once, tunnels included; more wait in the kernel.
    pub connections: usize,
    /// Partitions of the effects topic when it is created.
    pub partitions: i32,
}

impl Default for EgressSection {
    fn default() -> Self {
        Self {
            listen: None,
            allow: LOOPBACK.map(|(ip, length)| IpNet::new_assert(ip, length)).to_vec(),
            aliases: Vec::new(),
            resolve: BTreeMap::new(),
            routes: Vec::new(),
            intercept: Vec::new(),
            ca_key: None,
            trust: None,
            connect: HumanDuration::from_secs(10),
            answer: None,
            idle: HumanDuration::from_secs(600),
            connections: CONNECTIONS,
            partitions: 12,
        }
    }
}

/// Hosts by name: one, or all below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// This one.
    Exactly(String),
    /// `.example.com`: everything below it.
    Below(String),
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        let (name, below) = text.strip_prefix("*.").map_or((text.as_str(), false), |name| (name, true));
        if name.is_empty() || name.contains(['/', '*', ':', ' ']) {
            return Err(format!("`{text}` is not a host such as api.example.com or *.example.com"));
        }
        Ok(if below { Self::Below(format!(".{name}")) } else { Self::Exactly(name.to_owned()) })
    }

    /// Whether `host`, in lower case, is one of them.
    pub(crate) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exactly(name) => name == host,
            Self::Below(suffix) => host.ends_with(suffix.as_str()),
        }
    }
}

/// TLS with destinations: one that offers HTTP/1.1 only, and one that offers HTTP/2 first.
#[derive(Clone)]
pub(crate) struct Trust {
    /// For calls in HTTP/1.
    pub(crate) http1: ClientTls,
    /// For calls in HTTP/2.
    pub(crate) http2: ClientTls,
}

impl EgressSection {
    /// Connections that it may have: fewer than configured where the limit of open files is too low.
    pub(crate) fn most_connections(&self) -> usize {
        if self.listen.is_none() {
            return 0;
        }
        let (wanted, fit) = (self.connections, calls_for(raise_open_files(), self.connections));
        if fit < wanted && wanted == CONNECTIONS {
            tracing::info!(fit, "egress.connections is what the limit of open files leaves");
        } else if fit < wanted {
            tracing::warn!(wanted, fit, "the limit of open files is too low for egress.connections; raise it");
        }
        fit
    }

    /// Whether a host may call.
    pub(crate) fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.allow.iter().any(|network| network.contains(&client))
    }

    /// Hosts as calls name them, and where they are.
    pub(crate) fn resolved(&self) -> BTreeMap<String, SocketAddr> {
        self.resolve.iter().map(|(host, address)| (host.to_ascii_lowercase(), *address)).collect()
    }

    /// Hosts whose TLS ends here.
    pub(crate) fn intercepted(&self) -> Result<Vec<HostPattern>, Problem> {
        let parsed = self.intercept.iter().map(|text| HostPattern::parse(text)).collect::<Result<_, _>>();
        parsed.map_err(|cause| Problem::key("egress.intercept", cause, "write api.example.com or *.example.com"))
    }

    /// The authority, if there is one.
    pub(crate) fn ca(&self) -> Result<Option<Ca>, Problem> {
        let key = self.ca_key.as_ref().map(|key| Ca::for_egress(key.expose()));
        let remedy = "make one with `shadowctl stub ca --egress`";
        key.transpose().map_err(|error| Problem::key("egress.ca_key", error.to_string(), remedy))
    }

    /// TLS with destinations.
    pub(crate) fn trusted(&self) -> Result<Trust, Problem> {
        // Replaced by the destination's for each connection.
        let name = || ServerName::try_from("localhost").expect("it is a host name");
        let files = ClientFiles { ca: self.trust.clone(), pair: None };
        let load = |alpn: &[Alpn]| {
            ClientTls::load(&files, name(), alpn)
                .map_err(|error| Problem::key("egress.trust", error.to_string(), error.remedy()))
        };
        Ok(Trust { http1: load(&[Alpn::Http1])?, http2: load(&[Alpn::Http2, Alpn::Http1])? })
    }

    /// Everything that is wrong with it. Reads the files.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let Some(listen) = self.listen else { return problems };
        let mut require = |fits: bool, key: &str, cause: &str, remedy: &str| {
            if !fits {
                problems.push(Problem::key(key, cause, remedy));
            }
        };
        let reachable = listen.ip().is_loopback() || self.allow.iter().any(|network| !network.addr().is_loopback());
        let remedy = "name the networks of the primary's hosts, such as [\"10.1.2.0/24\"]";
        require(reachable, "egress.allow", "names this host only, but egress.listen is open to others", remedy);
        require(!self.allow.is_empty(), "egress.allow", "lets nobody call", remedy);
        let narrowest = |network: &IpNet| if network.addr().is_ipv4() { 8 } else { 32 };
        let open = self.allow.iter().any(|network| network.prefix_len() < narrowest(network));
        let cause = "lets networks wider than /8 (IPv6: /32) use this agent as a proxy";
        require(!open, "egress.allow", cause, remedy);
        require(!self.connect.get().is_zero(), "egress.connect", "is zero", "allow some seconds");
        require(!self.idle.get().is_zero(), "egress.idle", "is zero", "allow some minutes");
        require(self.connections >= 1, "egress.connections", "is zero", "use at least 1");
        require((1..=10_000).contains(&self.partitions), "egress.partitions", "is out of range", "use at least 1");
        let trusted = self.intercept.is_empty() || self.ca_key.is_some();
        let remedy = "make one with `shadowctl stub ca --egress`, and have the primary trust its certificate";
        require(trusted, "egress.intercept", "needs egress.ca_key", remedy);
        for cause in self.aliases.iter().filter_map(Alias::problem) {
            let remedy = "write { path = \"/stripe\", to = \"https://api.stripe.com\" }";
            problems.push(Problem::key("egress.aliases", cause, remedy));
        }
        if let Err(error) = RouteTable::parse(&self.routes) {
            problems.push(Problem::key("egress.routes", error.to_string(), "write it as `POST /v1/charges/{id}`"));
        }
        problems.extend(self.intercepted().err());
        problems.extend(self.ca().err());
        problems.extend(self.trusted().err());
        problems
    }
}

#[cfg(test)]
mod tests;
