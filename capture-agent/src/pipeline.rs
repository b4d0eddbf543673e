//! The agent's line of the flow: listen, relay and look on; everything behind the tee is `shadow_capture`'s.
//!
//! Start order: bind and serve first; Kafka is looked for in the background, beside the traffic. Stop order: the hot path
//! drains, then the line behind it, and the last heartbeat is the last word. A new agent that takes over the listening socket
//! stops the old one in the same order.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shadow_capture::{Account, Calls, Capture, EffectsSettings, Production, Settings};
use shadow_record::Source;
use shadow_runtime::admin::{Admin, AdminHandle};
use shadow_runtime::config::redacted;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::edge::config::ListenSection;
use crate::edge::limits::Connections;
use crate::edge::own::Own;
use crate::edge::takeover::{Claim, Offer};
use crate::egress::{Egress, Sharing};
use crate::metrics::EdgeMetrics;
use crate::proxy::{HotPath, Listening, Patience, Proxy};

/// A running agent.
pub struct Agent {
    address: SocketAddr,
    calls: Option<SocketAddr>,
    hot_path: HotPath,
    capture: Capture,
    admin: AdminHandle,
    beside: CancellationToken,
}

impl Agent {
    /// Starts an agent. It serves when this returns, whether or not Kafka is there.
    ///
    /// # Errors
    /// A configuration that cannot be used, or an address that cannot be had.
    pub async fn start(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let (socket, claim) = listen(&config.listen).await?;
        let address = socket.local_addr()?;
        let (capture, observer) = Capture::start(settings(&config, address)?)?;

        // On the hot path: relay, and look on.
        let calls = config.egress.most_connections();
        let sharing = if config.listen.takeover.is_some() { Sharing::WithTheNext } else { Sharing::Alone };
        let egress = Egress::bind(&config.egress, sharing, calls, observer.effects.as_ref())?;
        let calls_here = observer.effects.as_ref().map(|effects| effects.calls().clone());
        if let (Some(_), Some(calls)) = (&claim, &calls_here) {
            // The old agent may go on taking calls of this one's requests until its time is over.
            calls.share();
            tokio::spawn(alone_again(calls.clone(), config.listen.takeover_drain.get(), shutdown.clone()));
        }
        let drain = shutdown.child_token();
        let own = Own::new([address].into_iter().chain(egress.as_ref().map(Egress::address)));
        let proxy = Proxy::new(&config, &own, observer, drain.clone())?;
        let connections = Connections::new(config.listen.most_connections(calls), "listen.connections");
        let offered = socket.try_clone()?;
        let threads = config.listen.proxy_threads();
        let patience =
            Patience { shutdown, stop: config.listen.drain.get(), takeover: config.listen.takeover_drain.get() };
        let listening =
            Listening { socket, connections: connections.clone(), threads, patience, egress: egress.clone() };
        let hot_path = HotPath::start(&listening, &proxy).context("cannot start the proxy threads")?;
        tracing::info!(%address, primary = config.primary.authority(), threads, "serving");
        let calls = egress.as_ref().map(Egress::address);
        if let Some(calls) = calls {
            tracing::info!(address = %calls, "taking the primary's calls");
        }

        // Beside it: be seen.
        let beside = CancellationToken::new();
        let admin_stop = beside.child_token();
        let mut registry = shadow_runtime::metrics::registry("capture-agent", env!("CARGO_PKG_VERSION"));
        capture.register(&mut registry);
        EdgeMetrics { connections, edge: proxy.edge(), egress: egress.as_ref().map(Egress::counted) }
            .register(&mut registry);
        let admin = Admin::new(config.admin.clone())
            .metrics(registry)
            .config(redacted(&config))
            .pausable(capture.switch())
            .serve(admin_stop.clone())
            .await?;
        own.keep_from(admin.local_addr());
        if let Some(egress) = &egress {
            egress.keep_from(admin.local_addr());
        }

        proxy.watch_certificates(&beside)?;
        if let Some(claim) = claim {
            claim.serving().await;
        }
        if let Some(path) = &config.listen.takeover {
            match Offer::bind(path, &offered).await {
                Ok(offer) => drop(tokio::spawn(give_away(offer, admin_stop, admin.ended(), drain, calls_here))),
                Err(error) => tracing::warn!(%error, "no other agent can take over from this one"),
            }
        }
        Ok(Self { address, calls, hot_path, capture, admin, beside })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the primary's own calls come in, if they do.
    pub fn egress_address(&self) -> Option<SocketAddr> {
        self.calls
    }

    /// Where the admin endpoint listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// The account now.
    pub fn account(&self) -> Account {
        self.capture.account()
    }

    /// The account of the primary's own calls now, if they are seen.
    pub fn calls(&self) -> Option<Account> {
        self.capture.calls()
    }

    /// Runs until the shutdown token is cancelled, or another agent has taken over, and everything has drained; gives the final
    /// account.
    pub async fn finish(self) -> Account {
        self.hot_path.finish().await;
        let account = self.capture.finish().await;
        self.beside.cancel();
        self.admin.join().await;
        account
    }
}

/// The agent that was taken over from has ended by then, and so have the requests that it knew.
async fn alone_again(calls: Arc<Calls>, drain: Duration, shutdown: CancellationToken) {
    tokio::select! { () = tokio::time::sleep(drain) => calls.unshare(), () = shutdown.cancelled() => {} }
}

/// The listening socket: the running agent's, if there is one to take over from, else a new one.
async fn listen(config: &ListenSection) -> anyhow::Result<(TcpListener, Option<Claim>)> {
    if let Some(path) = &config.takeover
        && let Some(claim) = Claim::ask(path, config.address).await
    {
        return Ok((claim.listener()?, Some(claim)));
    }
    let socket = tokio::net::TcpListener::bind(config.address)
        .await
        .with_context(|| format!("cannot listen on {}; set listen.address", config.address))?;
    Ok((socket.into_std()?, None))
}

/// Lets the next agent take over the listening socket; this one drains then. Until this one drains it can be taken over from.
async fn give_away(
    offer: Offer,
    admin: CancellationToken,
    admin_ended: CancellationToken,
    drain: CancellationToken,
    calls: Option<Arc<Calls>>,
) {
    let make_way = || {
        admin.cancel();
        admin_ended.cancelled()
    };
    tokio::select! {
        () = drain.cancelled() => {}
        () = offer.handed_over(make_way) => {
            if let Some(calls) = calls {
                calls.share_for_good();
            }
            drain.cancel();
        }
    }
}

fn settings(config: &Config, listen: SocketAddr) -> anyhow::Result<Settings> {
    Ok(Settings {
        service: config.service.name.clone().context("service.name is missing")?,
        instance: config.service.instance.to_string(),
        source: Source::Proxy,
        scheme: if config.listen.certificate.is_some() { "https" } else { "http" },
        production: Production::Behind { primary: config.primary.authority(), listen },
        capture: config.capture.clone(),
        sampling: config.sampling.clone(),
        masking: config.masking.clone(),
        kafka: config.kafka.clone(),
        effects: config
            .egress
            .listen
            .map(|_| EffectsSettings { routes: config.egress.routes.clone(), partitions: config.egress.partitions }),
    })
}
