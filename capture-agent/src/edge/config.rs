//! `[listen]` and `[primary]`: how connections come in and go out.
//!
//! Guarantee: what passes [`ListenSection::problems`] and [`PrimarySection::problems`] can be started; every refusal names the
//! key, the cause and a remedy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use shadow_runtime::Problem;
use shadow_runtime::units::HumanDuration;
use url::Url;

use super::accept::Door;
use super::dial::Dial;
use super::limits::{connections_for, raise_open_files};
use super::own;
use super::proxy_protocol::Version;
use super::tls::{Alpn, ClientFiles, ClientTls, ServerFiles, ServerTls, TlsError};
use crate::config::{Forwarded, Protocol};

#[cfg(test)]
mod tests;

/// The longest path of a Unix socket, without its end.
const MAX_SOCKET_PATH: usize = 107;

/// `[listen]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenSection {
    /// Where clients connect.
    pub address: SocketAddr,
    /// How long a client may take for a request's head, the TLS handshake included.
    pub header: HumanDuration,
    /// How long a connection may wait for its next request.
    pub idle: HumanDuration,
    /// How long open connections may take to finish when the agent stops.
    pub drain: HumanDuration,
    /// Most connections at once; by default what the limit of open files allows.
    pub connections: Option<usize>,
    /// Threads that carry traffic; by default one for two cores.
    pub threads: Option<usize>,
    /// PEM file with the certificate that clients are shown, and its intermediates. With it clients must use TLS.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities of which clients must show a certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether a PROXY protocol header comes first.
    pub proxy_protocol: Announced,
    /// The Unix socket through which the next agent takes over the listening socket.
    pub takeover: Option<PathBuf>,
    /// How long open connections may take to finish once it has.
    pub takeover_drain: HumanDuration,
}

impl Default for ListenSection {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            header: HumanDuration::from_secs(15),
            idle: HumanDuration::from_secs(600),
            drain: HumanDuration::from_secs(3),
            connections: None,
            threads: None,
            certificate: None,
            key: None,
            client_ca: None,
            proxy_protocol: Announced::Off,
            takeover: None,
            takeover_drain: HumanDuration::from_secs(300),
        }
    }
}

/// Whether clients' connections begin with a PROXY protocol header (version 1 or 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Announced {
    /// They do not: clients connect directly.
    #[default]
    Off,
    /// They do, each of them; one without it is closed. Only the load balancer must be able to connect.
    Required,
}

/// `[primary]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrimarySection {
    /// `http://host:port` or `https://host:port`. Required.
    pub url: Option<Url>,
    /// How the primary is spoken to.
    pub protocol: Protocol,
    /// Longest wait for a connection, the TLS handshake included.
    pub connect: HumanDuration,
    /// How long an unused connection is kept, where clients share them (HTTP/2 clients of an HTTP/1 primary). Less than the
    /// primary's own limit, or it closes them under our hands.
    pub idle: HumanDuration,
    /// Longest wait for the response's head; none by default, as without the agent.
    pub answer: Option<HumanDuration>,
    /// What the primary is told about the client.
    pub forwarded: Forwarded,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: Announce,
    /// PEM file with the authorities that may vouch for an `https` primary; the public ones by default.
    pub ca: Option<PathBuf>,
    /// The name that its certificate must have; by default the URL's host.
    pub name: Option<String>,
    /// PEM file with the certificate that the primary is shown, and its intermediates.
    pub certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub key: Option<PathBuf>,
}

impl Default for PrimarySection {
    fn default() -> Self {
        Self {
            url: None,
            protocol: Protocol::Http1,
            connect: HumanDuration::from_secs(2),
            idle: HumanDuration::from_secs(4),
            answer: None,
            forwarded: Forwarded::Keep,
            proxy_protocol: Announce::Off,
            ca: None,
            name: None,
            certificate: None,
            key: None,
        }
    }
}

/// The PROXY protocol header that the primary's connections begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Announce {
    /// None.
    #[default]
    Off,
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
}

impl ListenSection {
    /// Everything that is wrong with it. Reads the certificates.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut require = |fits: bool, key: &str, cause: &str, remedy: &str| {
            if !fits {
                problems.push(Problem::key(key, cause, remedy));
            }
        };
        require(!self.header.get().is_zero(), "listen.header", "is zero", "allow some seconds");
        require(!self.idle.get().is_zero(), "listen.idle", "is zero", "allow some minutes");
        require(self.connections != Some(0), "listen.connections", "is zero", "use at least 1, or leave it out");
        let threads = self.threads.is_none_or(|threads| (1..=64).contains(&threads));
        require(threads, "listen.threads", "is out of range", "use 1 to 64, or leave it out");
        let alone = self.client_ca.is_none() || self.certificate.is_some();
        require(alone, "listen.client_ca", "is set without a certificate", "set listen.certificate and listen.key too");
        problems.extend(self.takeover.as_deref().and_then(takeover_problem));
        match paired("listen", self.certificate.as_ref(), self.key.as_ref()) {
            Err(problem) => problems.push(problem),
            Ok(None) => {}
            Ok(Some(_)) => problems.extend(self.tls(&[]).err().map(|error| {
                let keys = [("listen.key", &self.key), ("listen.client_ca", &self.client_ca)];
                tls_problem(&error, &keys, "listen.certificate")
            })),
        }
        problems
    }

    fn tls(&self, alpn: &[Alpn]) -> Result<Option<ServerTls>, TlsError> {
        let (Some(certificate), Some(key)) = (self.certificate.clone(), self.key.clone()) else { return Ok(None) };
        ServerTls::load(&ServerFiles { certificate, key, client_ca: self.client_ca.clone() }, alpn).map(Some)
    }

    /// What connections must bring. Clients are offered HTTP/2 in the handshake only when the primary speaks it.
    ///
    /// # Errors
    /// [`TlsError`] when the files have changed since they were checked.
    pub(crate) fn door(&self, primary: Protocol) -> Result<Door, TlsError> {
        let alpn: &[Alpn] = match primary {
            Protocol::Http1 => &[Alpn::Http1],
            Protocol::Http2 => &[Alpn::Http2, Alpn::Http1],
        };
        Ok(Door::new(self.tls(alpn)?, self.proxy_protocol, self.header.get()))
    }

    /// Most connections at once, besides so many of the primary's calls. Raises the process's limit of open files.
    pub(crate) fn most_connections(&self, others: usize) -> usize {
        let fit = connections_for(raise_open_files(), others);
        match self.connections {
            None => fit,
            Some(wanted) => {
                if wanted > fit {
                    tracing::warn!(wanted, fit, "the limit of open files is too low for listen.connections; raise it");
                }
                wanted
            }
        }
    }

    /// Threads that carry traffic.
    pub(crate) fn proxy_threads(&self) -> usize {
        self.threads.unwrap_or_else(|| available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)))
    }
}

impl PrimarySection {
    /// Everything that is wrong with it. Reads the certificates.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let secure = match self.location() {
            Err(problem) => return vec![problem],
            Ok(location) => location.secure,
        };
        let mut problems = Vec::new();
        if self.connect.get().is_zero() {
            problems.push(Problem::key("primary.connect", "is zero", "allow some seconds"));
        }
        let needs_tls = [
            ("primary.ca", self.ca.is_some()),
            ("primary.name", self.name.is_some()),
            ("primary.certificate", self.certificate.is_some()),
            ("primary.key", self.key.is_some()),
        ];
        for (key, _) in needs_tls.iter().filter(|(_, set)| *set && !secure) {
            problems.push(Problem::key(
                *key,
                "is set, but the primary is not spoken to over TLS",
                "write primary.url as https://host:port",
            ));
        }
        match paired("primary", self.certificate.as_ref(), self.key.as_ref()) {
            Err(problem) => problems.push(problem),
            Ok(_) => problems.extend(self.dial(Alpn::Http1).err()),
        }
        problems
    }

    fn location(&self) -> Result<Location<'_>, Problem> {
        let wrong =
            |cause: String| Problem::key("primary.url", cause, "write it as http://host:port or https://host:port");
        let url = self.url.as_ref().ok_or_else(|| wrong("is missing".to_owned()))?;
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(wrong(format!("has the scheme `{other}`"))),
        };
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("has more than a host and a port".to_owned()));
        }
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => {
                let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                Ok(Location { host, port, secure })
            }
            _ => Err(wrong("has no host".to_owned())),
        }
    }

    /// Its `host:port` as configured, for those who must not send there. Empty without a usable URL.
    pub(crate) fn authority(&self) -> String {
        let host = self.url.as_ref().and_then(Url::host_str);
        let port = self.url.as_ref().and_then(Url::port_or_known_default);
        host.zip(port).map_or_else(String::new, |(host, port)| format!("{host}:{port}"))
    }

    /// Whether connections to it would come out at `listener`, as far as can be told without a resolver.
    pub(crate) fn leads_to(&self, listener: SocketAddr) -> bool {
        let Ok(Location { host, port, .. }) = self.location() else { return false };
        own::known_addresses(host).into_iter().any(|ip| own::leads_to(listener, SocketAddr::new(ip, port)))
    }

    /// The way to the primary, for connections of one protocol.
    ///
    /// # Errors
    /// What is wrong with the URL, the name or the files.
    pub(crate) fn dial(&self, protocol: Alpn) -> Result<Dial, Problem> {
        let location = self.location()?;
        let tls = if location.secure { Some(self.tls(location.host, protocol)?) } else { None };
        let announce = match self.proxy_protocol {
            Announce::Off => None,
            Announce::V1 => Some(Version::V1),
            Announce::V2 => Some(Version::V2),
        };
        Ok(Dial::new(location.host, location.port, tls, announce, protocol, self.connect.get()))
    }

    fn tls(&self, host: &str, protocol: Alpn) -> Result<ClientTls, Problem> {
        let (key, name) = self.name.as_deref().map_or(("primary.url", host), |name| ("primary.name", name));
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Problem::key(key, format!("`{name}` is neither a host name nor an address"), "write the certificate's name")
        })?;
        let files = ClientFiles { ca: self.ca.clone(), pair: self.certificate.clone().zip(self.key.clone()) };
        ClientTls::load(&files, name, &[protocol]).map_err(|error| {
            tls_problem(&error, &[("primary.ca", &self.ca), ("primary.key", &self.key)], "primary.certificate")
        })
    }
}

/// A primary's URL, taken apart.
struct Location<'a> {
    host: &'a str,
    port: u16,
    secure: bool,
}

/// A certificate needs its key, and the other way round.
fn paired<'a>(
    section: &str,
    certificate: Option<&'a PathBuf>,
    key: Option<&'a PathBuf>,
) -> Result<Option<(&'a PathBuf, &'a PathBuf)>, Problem> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(Problem::key(format!("{section}.key"), "is missing", format!("set it beside {section}.certificate")))
        }
        (None, Some(_)) => {
            Err(Problem::key(format!("{section}.certificate"), "is missing", format!("set it beside {section}.key")))
        }
    }
}

/// The key whose file the error is about.
fn tls_problem(error: &TlsError, keys: &[(&str, &Option<PathBuf>)], otherwise: &str) -> Problem {
    let about = keys.iter().find(|(_, file)| file.as_deref() == Some(error.file()));
    Problem::key(about.map_or(otherwise, |(key, _)| key), error.to_string(), error.remedy())
}

fn takeover_problem(path: &Path) -> Option<Problem> {
    let wrong = |cause: String| {
        Some(Problem::key("listen.takeover", cause, "name a file in an existing directory of this user"))
    };
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return wrong(format!("is longer than {MAX_SOCKET_PATH} bytes"));
    }
    match path.parent() {
        Some(directory) if path.is_absolute() && directory.is_dir() => None,
        Some(directory) if path.is_absolute() => wrong(format!("`{}` is not a directory", directory.display())),
        _ => wrong(format!("`{}` is not an absolute path of a file", path.display())),
    }
}
