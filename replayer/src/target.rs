//! Whether a launch may send to its candidate, and to its control, at all.
//!
//! Guarantee: nothing is sent to an address that an agent named as production, or that the launch's allow-list does not name.
//! This is proved before anything is consumed, again whenever control changes, and at every connect for what DNS then says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use shadow_control::{ControlState, Launch, Upstream};
use tokio::sync::watch;
use url::{Host, Url};

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
    },
    /// The launch's allow-list does not name it.
    #[error("{target} is not on the launch's allow-list ({allowed})")]
    NotAllowed {
        /// Its host and port.
        target: String,
        /// The list.
        allowed: String,
    },
}

/// Resolves the candidate and the control and judges both: a launch with a refused control does not run either. A control that
/// does not resolve is none of that: its requests fail one by one, as those to a candidate that is down do.
///
/// # Errors
/// [`Refusal`].
pub async fn prove(launch: &Launch, control: &ControlState) -> Result<(), Refusal> {
    prove_one(&launch.candidate, &launch.allow, control).await?;
    let Some(second) = &launch.control else { return Ok(()) };
    match prove_one(&second.url, &launch.allow, control).await {
        Err(Refusal::Unresolved { .. }) => Ok(()),
        judged => judged,
    }
}

async fn prove_one(target: &Url, allow: &[String], control: &ControlState) -> Result<(), Refusal> {
    let (host, port) = place(target)?;
    let resolved = match target.host() {
        Some(Host::Ipv4(ip)) => vec![IpAddr::V4(ip)],
        Some(Host::Ipv6(ip)) => vec![IpAddr::V6(ip)],
        _ => resolve(&host, port).await?,
    };
    judge(target, allow, &resolved, control.upstreams.values())
}

/// Resolves when the target of the launch is refused after all.
pub async fn refused(launch: &Launch, mut control: watch::Receiver<Arc<ControlState>>) -> Refusal {
    loop {
        let state = control.borrow_and_update().clone();
        match prove(launch, &state).await {
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

/// Compares a target by name and by address. `allow` is the launch's list. Pure.
///
/// # Errors
/// [`Refusal`].
pub fn judge<'a>(
    target: &Url,
    allow: &[String],
    resolved: &[IpAddr],
    upstreams: impl Iterator<Item = &'a Upstream>,
) -> Result<(), Refusal> {
    let (host, port) = place(target)?;
    let target = format!("{host}:{port}");
    for upstream in upstreams {
        for address in &upstream.addresses {
            if address.eq_ignore_ascii_case(&target) || resolved.iter().any(|ip| is_at(address, *ip, port)) {
                let service = upstream.service.to_string();
                return Err(Refusal::Upstream { target, address: address.clone(), service });
            }
        }
    }
    let allowed = |entry: &String| entry.eq_ignore_ascii_case(&target) || entry.eq_ignore_ascii_case(&host);
    if !allow.is_empty() && !allow.iter().any(allowed) {
        return Err(Refusal::NotAllowed { target, allowed: allow.join(", ") });
    }
    Ok(())
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
    let (published_ip, ip) = (published.ip().to_canonical(), ip.to_canonical());
    let same =
        published_ip == ip || (published_ip.is_unspecified() && ip.is_loopback()) || both_loopback(published_ip, ip);
    published.port() == port && same
}

fn both_loopback(a: IpAddr, b: IpAddr) -> bool {
    a.is_loopback() && b.is_loopback()
}

/// Resolves names at connect time and refuses what has become production in the meantime.
pub(crate) struct ProvingResolver {
    /// The one target that is sent to through this.
    pub(crate) target: Url,
    /// The launch's allow-list.
    pub(crate) allow: Vec<String>,
    pub(crate) control: watch::Receiver<Arc<ControlState>>,
}

impl reqwest::dns::Resolve for ProvingResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let (target, allow, control) = (self.target.clone(), self.allow.clone(), self.control.borrow().clone());
        Box::pin(async move {
            let found = resolve(name.as_str(), 0).await?;
            judge(&target, &allow, &found, control.upstreams.values())?;
            let addresses: reqwest::dns::Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use shadow_control::{Change, Control, ControlRecord};

    fn upstream(addresses: &[&str]) -> Upstream {
        Upstream {
            service: "shop".parse().unwrap(),
            instance: "a1".to_owned(),
            addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
            change: Change::by("a1", ""),
        }
    }

    #[test]
    fn a_known_upstream_is_refused_by_name_and_by_address() {
        let table = [
            ("http://shop.internal:8080/", "10.0.0.9", "shop.internal:8080", true),
            ("http://SHOP.internal:8080/", "10.0.0.9", "Shop.Internal:8080", true),
            ("http://shop.internal./", "10.0.0.9", "shop.internal:80", true),
            ("http://alias:8080/", "10.0.0.1", "10.0.0.1:8080", true),
            ("http://alias:8080/", "::ffff:10.0.0.1", "10.0.0.1:8080", true),
            ("http://[::1]:8080/", "::1", "127.0.0.1:8080", true),
            ("http://127.0.0.1:8080/", "127.0.0.1", "0.0.0.0:8080", true),
            ("https://alias/", "10.0.0.1", "10.0.0.1:443", true),
            ("http://alias:8081/", "10.0.0.1", "10.0.0.1:8080", false),
            ("http://alias:8080/", "10.0.0.2", "10.0.0.1:8080", false),
            ("http://alias:8080/", "10.0.0.2", "0.0.0.0:8080", false),
        ];
        for (candidate, ip, address, refused) in table {
            let result = judge(
                &candidate.parse().unwrap(),
                &[],
                &[ip.parse().unwrap()],
                [upstream(&["other:1", address])].iter(),
            );
            assert_eq!(matches!(result, Err(Refusal::Upstream { .. })), refused, "{candidate} {ip} {address}");
        }
    }

    #[test]
    fn an_allow_list_is_exhaustive() {
        for (allow, allowed) in [("shadow", true), ("shadow:80", true), ("shadow:81", false), ("other", false)] {
            let target = "http://shadow/".parse().unwrap();
            assert_eq!(judge(&target, &[allow.to_owned()], &[], [].iter()).is_ok(), allowed, "{allow}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_shown_to_be_the_shadow_is_refused() {
        let state = ControlState::empty();
        let unresolved = prove(&samples::launch("http://nowhere.invalid/"), &state).await;
        assert!(matches!(unresolved, Err(Refusal::Unresolved { .. })), "{unresolved:?}");
        assert!(matches!(prove(&samples::launch("ftp://shadow/"), &state).await, Err(Refusal::NotHttp(_))));
        assert_eq!(prove(&samples::launch("http://127.0.0.1:1/"), &state).await, Ok(()));
    }

    #[tokio::test]
    async fn a_control_is_held_to_the_same_rules_but_may_be_down() {
        let with_control = |url: &str| {
            let control = Some(Control { url: url.parse().unwrap(), sample: 0.1 });
            Launch { control, ..samples::launch("http://127.0.0.1:1/") }
        };
        let mut state = ControlState::empty();
        assert_eq!(prove(&with_control("http://127.0.0.1:8080/"), &state).await, Ok(()));
        assert_eq!(prove(&with_control("http://nowhere.invalid/"), &state).await, Ok(()));
        let upstream = ControlRecord::Upstream(upstream(&["127.0.0.1:8080"]));
        state.apply(0, &upstream.key(), &upstream.encode()).unwrap();
        let production = prove(&with_control("http://127.0.0.1:8080/"), &state).await;
        assert!(matches!(production, Err(Refusal::Upstream { .. })), "{production:?}");
        let mut listed = with_control("http://127.0.0.1:2/");
        listed.allow = vec!["127.0.0.1:1".to_owned()];
        assert!(matches!(prove(&listed, &state).await, Err(Refusal::NotAllowed { .. })));
    }
}
