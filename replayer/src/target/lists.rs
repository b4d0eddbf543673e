//! A launch's allow-list and deny-list, and the operator's limit to every launch: hosts, hosts with a port, and networks.
//!
//! Names are compared with the target's name, networks and addresses with every address that it resolves to. Pure. Guarantee: an
//! entry that cannot be read refuses the launch; it never stands for nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use shadow_control::Launch;
use url::Host;

use super::Refusal;

/// What one launch may send to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// When not empty, nothing else may be a target.
    pub allow: Vec<Entry>,
    /// What may not be one, whatever is allowed.
    pub deny: Vec<Entry>,
    /// The operator's, from this instance's own configuration: when not empty, nothing else may be a target, whatever a launch says.
    pub limit: Vec<Entry>,
}

/// One entry. In configurations it is text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Entry {
    /// A host by its name.
    Name {
        /// In lower case, without a final dot.
        host: String,
        /// `None` for every port.
        port: Option<u16>,
    },
    /// A network, or a single address.
    Net {
        /// The network.
        net: IpNet,
        /// `None` for every port.
        port: Option<u16>,
    },
}

/// A text that is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host, nor host:port, nor a network such as 10.0.0.0/8")]
pub struct InvalidEntry(pub String);

impl Lists {
    /// The launch's, within the operator's `limit`.
    ///
    /// # Errors
    /// [`Refusal::Entry`].
    pub fn of(launch: &Launch, limit: &[Entry]) -> Result<Self, Refusal> {
        let lists = Self::parse(&launch.allow, &launch.replay.deny).map_err(Refusal::Entry)?;
        Ok(Self { limit: limit.to_vec(), ..lists })
    }

    /// From their texts.
    ///
    /// # Errors
    /// The first entry that cannot be read.
    pub fn parse(allow: &[String], deny: &[String]) -> Result<Self, InvalidEntry> {
        let entries = |texts: &[String]| texts.iter().map(|text| text.parse()).collect::<Result<Vec<Entry>, _>>();
        Ok(Self { allow: entries(allow)?, deny: entries(deny)?, limit: Vec::new() })
    }

    /// The entry that denies the target, if one does.
    pub(super) fn denies(&self, host: &str, port: u16, resolved: &[IpAddr]) -> Option<&Entry> {
        let hit = |entry: &&Entry| entry.names(host, port) || resolved.iter().any(|ip| entry.holds(*ip, port));
        self.deny.iter().find(hit)
    }

    /// Whether the launch's own list allows the target.
    pub(super) fn allows(&self, host: &str, port: u16, resolved: &[IpAddr]) -> bool {
        lets_through(&self.allow, host, port, resolved)
    }

    /// Whether the operator's does.
    pub(super) fn limits_to(&self, host: &str, port: u16, resolved: &[IpAddr]) -> bool {
        lets_through(&self.limit, host, port, resolved)
    }
}

/// Whether a list has the target: by its name, or because it has every address of the target's. An empty one is no list.
fn lets_through(list: &[Entry], host: &str, port: u16, resolved: &[IpAddr]) -> bool {
    let held = |ip: &IpAddr| list.iter().any(|entry| entry.holds(*ip, port));
    list.is_empty()
        || list.iter().any(|entry| entry.names(host, port))
        || (!resolved.is_empty() && resolved.iter().all(held))
}

impl Entry {
    fn names(&self, target: &str, at: u16) -> bool {
        match self {
            Self::Name { host, port } => host.eq_ignore_ascii_case(target) && port.is_none_or(|port| port == at),
            Self::Net { .. } => false,
        }
    }

    fn holds(&self, ip: IpAddr, at: u16) -> bool {
        match self {
            Self::Name { .. } => false,
            Self::Net { net, port } => net.contains(&reached(ip)) && port.is_none_or(|port| port == at),
        }
    }
}

/// The address that a connection to `ip` reaches: IPv4 in its IPv6 dress is IPv4, and the unspecified address is this host.
pub(super) fn reached(ip: IpAddr) -> IpAddr {
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    let ip = match ip {
        IpAddr::V6(v6) if v6.segments()[..6] == NAT64 => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        other => other.to_canonical(),
    };
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

impl TryFrom<String> for Entry {
    type Error = InvalidEntry;
    fn try_from(text: String) -> Result<Self, InvalidEntry> {
        text.parse()
    }
}

impl From<Entry> for String {
    fn from(entry: Entry) -> Self {
        entry.to_string()
    }
}

impl FromStr for Entry {
    type Err = InvalidEntry;
    fn from_str(text: &str) -> Result<Self, InvalidEntry> {
        let invalid = || InvalidEntry(text.to_owned());
        let text = text.trim();
        if text.contains('/') {
            let net = text.parse().map_err(|_| invalid())?;
            return Ok(Self::Net { net: canonical(net), port: None });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Net { net: reached(ip).into(), port: None });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Net { net: reached(address.ip()).into(), port: Some(address.port()) });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        // As URLs read hosts, so that 127.1 is the address that it means.
        match Host::parse(host.trim_end_matches('.')).map_err(|_| invalid())? {
            Host::Domain(name) if name.is_empty() => Err(invalid()),
            Host::Domain(host) => Ok(Self::Name { host, port }),
            Host::Ipv4(ip) => Ok(Self::Net { net: reached(ip.into()).into(), port }),
            Host::Ipv6(ip) => Ok(Self::Net { net: reached(ip.into()).into(), port }),
        }
    }
}

/// A network of IPv4 addresses in IPv6 dress as the one that it is.
fn canonical(net: IpNet) -> IpNet {
    const DRESS: u8 = 96;
    match (net, net.network().to_canonical()) {
        (IpNet::V6(v6), IpAddr::V4(v4)) if v6.prefix_len() >= DRESS => {
            IpNet::new(v4.into(), v6.prefix_len() - DRESS).unwrap_or(net)
        }
        _ => net.trunc(),
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { host, port: None } => f.write_str(host),
            Self::Name { host, port: Some(port) } => write!(f, "{host}:{port}"),
            Self::Net { net, port } if net.prefix_len() == net.max_prefix_len() => match port {
                Some(port) => SocketAddr::new(net.addr(), *port).fmt(f),
                None => net.addr().fmt(f),
            },
            Self::Net { net, .. } => net.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        text.parse().unwrap()
    }

    #[test]
    fn entries_say_what_they_were_written_as() {
        for (text, shown) in [
            ("Shadow.Internal.", "shadow.internal"),
            ("shadow:8080", "shadow:8080"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("[::1]", "::1"),
            ("[fd00::1]:80", "[fd00::1]:80"),
            ("fd00::/8", "fd00::/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("127.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
        ] {
            assert_eq!(entry(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for text in ["", "http://shadow", "10.0.0.0/33", "shadow:http", "a b", "10.0.0.0/8:80", "[::1"] {
            assert!(text.parse::<Entry>().is_err(), "{text}");
        }
        let lists = Lists::parse(&[], &["10.0.0.0/99".to_owned()]);
        assert!(lists.unwrap_err().to_string().contains("`10.0.0.0/99` is neither a host"));
    }

    #[test]
    fn an_address_is_the_one_that_a_connection_reaches() {
        for (ip, held) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("64:ff9b::10.1.2.3", true),
            ("11.1.2.3", false),
            ("fd00::1", false),
        ] {
            assert_eq!(entry("10.0.0.0/8").holds(ip.parse().unwrap(), 80), held, "{ip}");
        }
        assert!(entry("127.0.0.0/8").holds("0.0.0.0".parse().unwrap(), 80));
        assert!(!entry("10.1.2.3:81").holds("10.1.2.3".parse().unwrap(), 80));
    }
}
