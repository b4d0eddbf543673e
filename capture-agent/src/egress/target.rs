//! Whom a call is for. Pure.
//!
//! A call in absolute form names its destination; one to the agent's own address is for what an alias says, and for nobody else: whoever
//! is asked for by a `Host` header alone would be a way around everything.

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Uri};
use shadow_capture::Destination;
use shadow_runtime::Alias;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// Whether it is spoken to over TLS.
    pub(super) secure: bool,
    /// Its name or address, in lower case, without brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
}

impl Target {
    /// By its authority; the default port is the scheme's.
    pub(super) fn of(secure: bool, authority: &Authority) -> Option<Self> {
        let host = bare(authority.host());
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        (!host.is_empty()).then_some(Self { secure, host, port })
    }

    /// As URLs write it; the scheme's own port is left out.
    pub(super) fn authority(&self) -> Option<Authority> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.has_own_port() { format!("{host}:{}", self.port).parse().ok() } else { host.parse().ok() }
    }

    /// As records write it.
    pub(super) fn destination(&self) -> Destination {
        let host = if self.has_own_port() { format!("{}:{}", self.host, self.port) } else { self.host.clone() };
        Destination { scheme: if self.secure { "https" } else { "http" }, host }
    }

    fn has_own_port(&self) -> bool {
        !matches!((self.secure, self.port), (true, 443) | (false, 80))
    }

    /// The absolute form of a path there.
    pub(super) fn uri(&self, path: Option<PathAndQuery>) -> Option<Uri> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.secure { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(self.authority()?);
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        Uri::from_parts(parts).ok()
    }
}

/// Whom a call to the proxy is for, and the path there.
pub(super) fn asked(uri: &Uri, headers: &HeaderMap, aliases: &[Alias]) -> Option<(Target, Option<PathAndQuery>)> {
    if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        return Some((Target::of(secure, authority)?, uri.path_and_query().cloned()));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    let host = host.map(|host| bare(host.host()));
    aliases.iter().find_map(|alias| meant(alias, host.as_deref(), uri))
}

fn meant(alias: &Alias, host: Option<&str>, uri: &Uri) -> Option<(Target, Option<PathAndQuery>)> {
    let mut path = alias.path_meant(host, uri.path())?;
    let secure = alias.to.scheme() == "https";
    let port = alias.to.port_or_known_default()?;
    let target = Target { secure, host: bare(alias.to.host_str()?), port };
    if let Some(query) = uri.query() {
        path = format!("{path}?{query}");
    }
    Some((target, Some(path.parse().ok()?)))
}

/// In lower case, an IPv6 address without its brackets, a name without a dot at its end.
pub(super) fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
