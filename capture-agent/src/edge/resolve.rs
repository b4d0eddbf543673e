//! The primary's addresses.
//!
//! A primary's connection is opened for each client's, so a name is looked up once in a while and not each time.
//!
//! Guarantee: a resolver that fails costs nobody a connection as long as the addresses known last still answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::net::lookup_host;

/// How long addresses are used before they are looked up again; as long as resolvers keep them at least.
const FRESH: Duration = Duration::from_secs(5);

/// Where the primary is.
#[derive(Debug)]
pub(super) struct Host {
    host: String,
    port: u16,
    known: RwLock<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    /// `None`: for ever.
    since: Option<Instant>,
}

impl Host {
    /// `host` is a name or an address without brackets.
    pub(super) fn new(host: &str, port: u16) -> Self {
        let literal = host.parse::<IpAddr>().ok();
        let known = literal.map(|ip| Known { addresses: [SocketAddr::new(ip, port)].into(), since: None });
        Self { host: host.to_owned(), port, known: RwLock::new(known) }
    }

    /// Its addresses, at least one.
    ///
    /// # Errors
    /// When the name has never been resolved.
    pub(super) async fn addresses(&self) -> io::Result<Arc<[SocketAddr]>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(known) if known.since.is_none_or(|since| since.elapsed() < FRESH) => Ok(known.addresses),
            known => self.look_up(known).await,
        }
    }

    /// The addresses are of no use: the next connection looks them up again.
    pub(super) fn doubt(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(Known { since: Some(since), .. }) = known.as_mut() {
            *since = since.checked_sub(FRESH).unwrap_or(*since);
        }
    }

    async fn look_up(&self, known: Option<Known>) -> io::Result<Arc<[SocketAddr]>> {
        let found = lookup_host((self.host.as_str(), self.port)).await.map(|found| found.collect::<Arc<[_]>>());
        let (addresses, failure) = match (found, known) {
            (Ok(found), _) if !found.is_empty() => (found, None),
            (failed, Some(known)) => (known.addresses, Some(failed.err())),
            (failed, None) => {
                return Err(failed.err().unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable)));
            }
        };
        if let Some(error) = failure {
            let cause = error.map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
            tracing::warn!(host = self.host, cause, "the primary's name does not resolve; using its last addresses");
        }
        let now = Known { addresses: addresses.clone(), since: Some(Instant::now()) };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_never_looked_up() {
        for (host, address) in [("127.0.0.1", "127.0.0.1:7"), ("::1", "[::1]:7")] {
            let primary = Host::new(host, 7);
            primary.doubt();
            assert_eq!(*primary.addresses().await.unwrap(), [address.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn a_name_that_no_longer_resolves_keeps_its_last_addresses() {
        // An empty label is no host name, so the resolver refuses it without asking anyone.
        let mut primary = Host::new("localhost", 7);
        let known = primary.addresses().await.unwrap();
        primary.host = "..".to_owned();
        primary.doubt();
        assert_eq!(primary.addresses().await.unwrap(), known);
    }

    #[tokio::test]
    async fn a_name_that_never_resolved_is_an_error() {
        assert!(Host::new("..", 7).addresses().await.is_err());
    }
}
