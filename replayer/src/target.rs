//! Whether a launch may send to its candidate, and to its control, at all.
//!
//! Guarantee: nothing is sent to an address that an agent named as production, that the launch's deny-list names, that its allow-list
//! does not, or that the operator's limit (`replay.allow`) does not, which no control record widens. This is proved by name and on every resolved address before anything is consumed, again whenever control
//! changes, and at every connect for what DNS then says. (An address that stands in the URL itself cannot change between the two.)

mod lists;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use shadow_control::{ControlState, Launch, Upstream};
use tokio::sync::watch;
use url::{Host, Url};

use lists::reached;
pub use lists::{Entry, InvalidEntry, Lists};

/// Why a target is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an HTTP URL with a host.
    #[error("{0} is not an http or https URL with a host")]
    NotHttp(String),
    /// The name does not resolve, so it cannot be shown that it is not production.
    #[error("{host} does not resolve ({cause}), so it cannot be shown that it is not production")]
    Unresolved {
        /// The target's host.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// It is production.
    #[error(
        "{target} is {address}, where an agent of service {service} has production; point the launch at the shadow"
    )]
    Upstream {
        /// Its host and port.
        target: String,
        /// The address an agent published.
        address: String,
        /// The service captured there.
        service: String,
        /// The agent that said so.
        instance: String,
    },
    /// The launch's allow-list does not name it.
    #[error("{target} is not on the launch's allow-list ({allowed})")]
    NotAllowed {
        /// Its host and port.
        target: String,
        /// The list.
        allowed: String,
    },
    /// The operator's limit does not name it.
    #[error("{target} is outside of what replay.allow of this replayer's configuration names ({allowed})")]
    Outside {
        /// Its host and port.
        target: String,
        /// The limit.
        allowed: String,
    },
    /// The launch's deny-list names it.
    #[error("{target} is on the launch's deny-list ({entry})")]
    Denied {
        /// Its host and port.
        target: String,
        /// The entry.
        entry: String,
    },
    /// A list of the launch has an entry that cannot be read, so it cannot be shown what it allows.
    #[error("a list of the launch has an entry that cannot be read: {0}")]
    Entry(#[from] InvalidEntry),
}

/// Resolves the candidate and the control and judges both: a launch with a refused control does not run either. A control that
/// does not resolve is none of that: its requests fail one by one, as those to a candidate that is down do.
///
/// # Errors
/// [`Refusal`].
pub async fn prove(launch: &Launch, limit: &[Entry], control: &ControlState) -> Result<(), Refusal> {
    let lists = Lists::of(launch, limit)?;
    prove_one(&launch.candidate, &lists, control).await?;
    let Some(second) = &launch.control else { return Ok(()) };
    match prove_one(&second.url, &lists, control).await {
        Err(Refusal::Unresolved { .. }) => Ok(()),
        judged => judged,
    }
}

/// Resolves one target and judges it.
///
/// # Errors
/// [`Refusal`].
pub async fn prove_one(target: &Url, lists: &Lists, control: &ControlState) -> Result<(), Refusal> {
    let (host, port) = place(target)?;
    let resolved = match target.host() {
        Some(Host::Ipv4(ip)) => vec![IpAddr::V4(ip)],
        Some(Host::Ipv6(ip)) => vec![IpAddr::V6(ip)],
        _ => resolve(&host, port).await?,
    };
    judge(target, lists, &resolved, control.upstreams.values())
}

/// Resolves when the target of the launch is refused after all.
pub async fn refused(launch: &Launch, limit: &[Entry], mut control: watch::Receiver<Arc<ControlState>>) -> Refusal {
    loop {
        let state = control.borrow_and_update().clone();
        match prove(launch, limit, &state).await {
            // The candidate may be down for a moment; connecting asks the resolver again.
            Ok(()) | Err(Refusal::Unresolved { .. }) => {}
            Err(refusal) => return refusal,
        }
        if control.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<IpAddr>, Refusal> {
    let unresolved = |cause: String| Refusal::Unresolved { host: host.to_owned(), cause };
    let found = tokio::net::lookup_host((host, port)).await.map_err(|e| unresolved(e.to_string()))?;
    let addresses: Vec<_> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() { Err(unresolved("no address".to_owned())) } else { Ok(addresses) }
}

/// Compares a target by name and by address. What is denied is refused whatever is allowed. Pure.
///
/// # Errors
/// [`Refusal`].
pub fn judge<'a>(
    target: &Url,
    lists: &Lists,
    resolved: &[IpAddr],
    upstreams: impl Iterator<Item = &'a Upstream>,
) -> Result<(), Refusal> {
    let (host, port) = place(target)?;
    let target = format!("{host}:{port}");
    for upstream in upstreams {
        for address in &upstream.addresses {
            if address.eq_ignore_ascii_case(&target) || resolved.iter().any(|ip| is_at(address, *ip, port)) {
                let (service, instance) = (upstream.service.to_string(), upstream.instance.clone());
                return Err(Refusal::Upstream { target, address: address.clone(), service, instance });
            }
        }
    }
    if let Some(entry) = lists.denies(&host, port, resolved) {
        return Err(Refusal::Denied { target, entry: entry.to_string() });
    }
    if !lists.limits_to(&host, port, resolved) {
        return Err(Refusal::Outside { target, allowed: shown(&lists.limit) });
    }
    if !lists.allows(&host, port, resolved) {
        return Err(Refusal::NotAllowed { target, allowed: shown(&lists.allow) });
    }
    Ok(())
}

fn shown(list: &[Entry]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn place(target: &Url) -> Result<(String, u16), Refusal> {
    let refused = || Refusal::NotHttp(target.to_string());
    if !matches!(target.scheme(), "http" | "https") {
        return Err(refused());
    }
    let host = target.host_str().ok_or_else(refused)?;
    let port = target.port_or_known_default().ok_or_else(refused)?;
    Ok((host.trim_end_matches('.').to_owned(), port))
}

/// Whether a published address is this one. An unspecified address means this host, so it covers loopback.
fn is_at(address: &str, ip: IpAddr, port: u16) -> bool {
    let Ok(published) = address.parse::<SocketAddr>() else { return false };
    let (there, here) = (reached(published.ip()), reached(ip));
    published.port() == port && (there == here || (there.is_loopback() && here.is_loopback()))
}

/// Resolves names at connect time and refuses what has become production in the meantime.
pub(crate) struct ProvingResolver {
    /// The one target that is sent to through this.
    pub(crate) target: Url,
    /// What the launch allows and denies, within the operator's limit.
    pub(crate) lists: Lists,
    pub(crate) control: watch::Receiver<Arc<ControlState>>,
}

impl reqwest::dns::Resolve for ProvingResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (target, lists, control) = (self.target.clone(), self.lists.clone(), self.control.borrow().clone());
        Box::pin(async move {
            let found = resolve(name.as_str(), 0).await?;
            judge(&target, &lists, &found, control.upstreams.values())?;
            let addresses: reqwest::dns::Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests;
