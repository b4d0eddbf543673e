//! The agent's line of the flow: listen, relay and look on; everything behind the tee is `shadow_capture`'s.
//!
//! Start order: bind and serve first; Kafka is looked for in the background, beside the traffic. Stop order: the hot path
//! drains, then the line behind it, and the last heartbeat is the last word.

use std::net::SocketAddr;

use anyhow::Context as _;
use shadow_capture::{Account, Capture, Settings};
use shadow_record::Source;
use shadow_runtime::admin::{Admin, AdminHandle};
use shadow_runtime::config::redacted;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, PrimarySection};
use crate::proxy::{self, Proxy, Target, Upstream};

/// A running agent.
pub struct Agent {
    address: SocketAddr,
    serving: JoinHandle<()>,
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
        let target = target_of(&config.primary)?;
        let listener = TcpListener::bind(config.listen.address)
            .await
            .with_context(|| format!("cannot listen on {}; set listen.address", config.listen.address))?;
        let address = listener.local_addr()?;
        let (capture, observer) = Capture::start(settings(&config, &target, address)?)?;

        let upstream = Upstream::new(&config.primary, &target);
        tracing::info!(%address, primary = %target.authority, "serving");
        let proxy = Proxy { target, upstream, observer };
        let listen = config.listen.clone();
        let serving = tokio::spawn(async move { proxy::serve(listener, proxy, &listen, shutdown).await });

        let beside = CancellationToken::new();
        let mut registry = shadow_runtime::metrics::registry("capture-agent", env!("CARGO_PKG_VERSION"));
        capture.register(&mut registry);
        let admin = Admin::new(config.admin.clone())
            .metrics(registry)
            .config(redacted(&config))
            .pausable(capture.switch())
            .serve(beside.clone())
            .await?;
        Ok(Self { address, serving, capture, admin, beside })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin endpoint listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// The account now.
    pub fn account(&self) -> Account {
        self.capture.account()
    }

    /// Runs until the shutdown token is cancelled and everything has drained; gives the final account.
    pub async fn finish(self) -> Account {
        // The hot path only ends by the token: a panic in a handler ends one connection.
        let _ = self.serving.await;
        let account = self.capture.finish().await;
        self.beside.cancel();
        self.admin.join().await;
        account
    }
}

fn settings(config: &Config, target: &Target, listen: SocketAddr) -> anyhow::Result<Settings> {
    Ok(Settings {
        service: config.service.name.clone().context("service.name is missing")?,
        instance: config.service.instance.to_string(),
        source: Source::Proxy,
        scheme: "http",
        primary: Some(target.authority.to_string()),
        listen,
        capture: config.capture.clone(),
        sampling: config.sampling.clone(),
        masking: config.masking.clone(),
        kafka: config.kafka.clone(),
    })
}

fn target_of(config: &PrimarySection) -> anyhow::Result<Target> {
    let url = config.url.as_ref().context("primary.url is missing")?;
    let host = url.host_str().context("primary.url has no host")?;
    let port = url.port_or_known_default().context("primary.url has no port")?;
    let authority = format!("{host}:{port}").parse().context("primary.url has no usable host")?;
    Ok(Target { authority, protocol: config.protocol, forwarded: config.forwarded })
}
