//! The admin endpoint of a service: health, readiness, metrics, pause and resume, the configuration as it is in force.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process serves |
//! | `GET /readyz` | 200 when ready, else 503 |
//! | `GET /metrics` | OpenMetrics text |
//! | `GET /config` | JSON, secrets blanked |
//! | `POST /pause`, `POST /resume` | `{"paused":true}`; 404 where nothing can be paused |
//! | a service's own | what [`Admin::routes`] was given |
//!
//! Guarantees: without a token it listens on loopback only; the token is compared in constant time; a web page cannot reach it
//! through a visitor's browser; headers, time and connections are bounded, bodies are never read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use ipnet::IpNet;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Secret;

mod access;
mod connection;
mod routes;
#[cfg(test)]
mod tests;

/// Shorter tokens can be guessed.
const MIN_TOKEN_CHARS: usize = 16;

/// The section `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where to listen; port 0 takes a free one, which is logged. Anything but loopback needs a token.
    pub listen: SocketAddr,
    /// A network that this host has an address in: listen there, and on no other of its addresses, whatever `listen` has before
    /// the port. For hosts whose addresses are given at start, such as containers that stand in several networks.
    pub network: Option<IpNet>,
    /// What callers must send as `Authorization: Bearer ...`; `/healthz` and `/readyz` need none.
    pub token: Option<Secret>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), network: None, token: None }
    }
}

impl AdminConfig {
    /// Whether the address may be listened on.
    ///
    /// # Errors
    /// [`RefusedListen`] for an open address without a token, or a token that can be guessed.
    pub fn check(&self) -> Result<(), RefusedListen> {
        let loopback = self.network.map_or(self.listen.ip(), |network| network.network()).is_loopback();
        match &self.token {
            None if !loopback => Err(RefusedListen::Open(self.place())),
            Some(token) if token.expose().chars().count() < MIN_TOKEN_CHARS => Err(RefusedListen::WeakToken),
            _ => Ok(()),
        }
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// [`AdminError::Network`] when this host has none in the network asked for.
    pub fn address(&self) -> Result<SocketAddr, AdminError> {
        let Some(network) = self.network else { return Ok(self.listen) };
        let none = |cause| AdminError::Network { network, cause };
        let mut own = if_addrs::get_if_addrs().map_err(|error| none(error.to_string()))?;
        own.retain(|interface| network.contains(&interface.ip()));
        let address: Option<IpAddr> = own.first().map(if_addrs::Interface::ip);
        let address = address.ok_or_else(|| none("this host has no address in it".to_owned()))?;
        Ok(SocketAddr::new(address, self.listen.port()))
    }

    /// Where it listens, for people.
    fn place(&self) -> String {
        match self.network {
            Some(network) => format!("port {} in {network}", self.listen.port()),
            None => self.listen.to_string(),
        }
    }

    /// [`check`](Self::check) as a [`Problem`](crate::Problem), for [`ServiceConfig::check`](crate::ServiceConfig::check).
    pub fn problem(&self) -> Option<crate::Problem> {
        let error = self.check().err()?;
        let key = match error {
            RefusedListen::Open(_) => "admin.listen",
            RefusedListen::WeakToken => "admin.token",
        };
        Some(crate::Problem::key(key, error.to_string(), String::new()))
    }
}

/// An admin address that would be unsafe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedListen {
    /// Reachable from other hosts, and open to all of them.
    #[error("the admin endpoint would be open to other hosts on {0}; set admin.token, or listen on 127.0.0.1")]
    Open(String),
    /// Too short.
    #[error("the admin token has fewer than {MIN_TOKEN_CHARS} characters; make one with `openssl rand -hex 32`")]
    WeakToken,
}

/// Why the admin endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The configuration is unsafe.
    #[error(transparent)]
    Refused(#[from] RefusedListen),
    /// There is no such address.
    #[error("cannot tell the admin endpoint's address in {network}: {cause}; correct admin.network or leave it out")]
    Network {
        /// The network asked for.
        network: IpNet,
        /// Why there is none.
        cause: String,
    },
    /// The address cannot be had.
    #[error(
        "cannot listen on {address} for the admin endpoint: {source}; choose another admin.listen or free the port"
    )]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The operating system's word.
        source: std::io::Error,
    },
}

/// What `POST /pause` and `POST /resume` act on.
pub trait Pausable: Send + Sync {
    /// Holds back every further send. Idempotent.
    fn pause(&self);
    /// Takes this hold away; holds from elsewhere stay. Idempotent.
    fn resume(&self);
    /// Whether anything holds sends back now.
    fn paused(&self) -> bool;
}

/// The admin endpoint before it listens.
pub struct Admin {
    config: AdminConfig,
    served: routes::Served,
}

impl Admin {
    /// An endpoint that is ready at once, with no metrics and nothing to pause.
    pub fn new(config: AdminConfig) -> Self {
        Self { config, served: routes::Served::default() }
    }

    /// What `/metrics` shows.
    #[must_use]
    pub fn metrics(mut self, registry: Registry) -> Self {
        self.served.registry = registry;
        self
    }

    /// Whether `/readyz` says so. A sender that is gone leaves the last word standing.
    #[must_use]
    pub fn ready(mut self, ready: watch::Receiver<bool>) -> Self {
        self.served.ready = Some(ready);
        self
    }

    /// What `/config` shows: pass it through [`redacted`](crate::config::redacted).
    #[must_use]
    pub fn config(mut self, config: serde_json::Value) -> Self {
        self.served.config = config;
        self
    }

    /// What `/pause` and `/resume` act on.
    #[must_use]
    pub fn pausable(mut self, pausable: Arc<dyn Pausable>) -> Self {
        self.served.pausable = Some(pausable);
        self
    }

    /// Routes of the service's own, which want the token as the others do. None may be one of the endpoint's.
    #[must_use]
    pub fn routes(mut self, routes: Router) -> Self {
        self.served.more = routes;
        self
    }

    /// Listens, and serves until `shutdown`.
    ///
    /// # Errors
    /// [`AdminError`] when the address is unsafe or cannot be had.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<AdminHandle, AdminError> {
        self.config.check()?;
        let address = self.config.address()?;
        let bind = |source| AdminError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let local_addr = listener.local_addr().map_err(bind)?;
        tracing::info!(address = %local_addr, "admin endpoint listens");
        let router = routes::router(self.served, self.config.token);
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _guard = guard;
            connection::serve(listener, router, shutdown).await;
        });
        Ok(AdminHandle { local_addr, task, ended })
    }
}

/// A running admin endpoint.
#[derive(Debug)]
pub struct AdminHandle {
    local_addr: SocketAddr,
    task: JoinHandle<()>,
    ended: CancellationToken,
}

impl AdminHandle {
    /// Where it listens, with the port that was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Cancelled when it has ended and its address is free.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Waits until it has ended, which it does after the shutdown token.
    pub async fn join(self) {
        // It only ends by returning: a panic in a handler ends one connection.
        let _ = self.task.await;
    }
}
