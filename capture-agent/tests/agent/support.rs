//! An agent under test.

use std::net::SocketAddr;

use capture_agent::{Account, Agent, Config};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Runs a test in a runtime that does not wait for the Kafka client's threads when it ends: without a broker they sit out
/// their time-outs.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
    runtime.shutdown_background();
}

/// An address where nothing listens, and nothing will: the port stays taken as long as the tests run, because a Kafka client
/// that knocks on it would otherwise knock on whoever gets it next.
pub(crate) fn nobody() -> SocketAddr {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// A configuration in front of `primary`, without Kafka. Each of `settings` is a line such as `listen.drain = "1s"`.
pub(crate) fn config(primary: SocketAddr, settings: &[&str]) -> Config {
    config_with(primary, &nobody().to_string(), settings)
}

/// [`config`], with Kafka at `brokers`.
pub(crate) fn config_with(primary: SocketAddr, brokers: &str, settings: &[&str]) -> Config {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "5".repeat(64)).unwrap();
    let text = format!(
        r#"
        service.name = "shop"
        service.instance = "agent-under-test"
        listen.address = "127.0.0.1:0"
        listen.drain = "2s"
        primary.url = "http://{primary}"
        capture.flush = "100ms"
        # Whatever else this machine does, what is captured is exact.
        capture.latency_budget = "off"
        capture.lag_budget = "off"
        masking.key.file = "{}"
        masking.routes = ["GET /items/{{id}}"]
        kafka.brokers = "{brokers}"
        {}
        "#,
        key.path().display(),
        settings.join("\n")
    );
    toml::from_str(&text).unwrap()
}

/// A running agent and the means to stop it.
pub(crate) struct Running {
    /// The agent.
    pub agent: Agent,
    shutdown: CancellationToken,
    /// Without Kafka an account stays behind for the next agent; here there is none.
    _accounts: TempDir,
}

impl Running {
    /// Starts an agent.
    pub(crate) async fn with(mut config: Config) -> Self {
        let (shutdown, accounts) = (CancellationToken::new(), tempfile::tempdir().unwrap());
        config.capture.account = Some(accounts.path().to_owned());
        Self { agent: Agent::start(config, shutdown.clone()).await.unwrap(), shutdown, _accounts: accounts }
    }

    /// Starts an agent in front of `primary`.
    pub(crate) async fn before(primary: SocketAddr) -> Self {
        Self::with(config(primary, &[])).await
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.agent.address()
    }

    /// Stops it and gives the final account, which must balance with nothing left open.
    pub(crate) async fn stop(self) -> Account {
        self.shutdown.cancel();
        let account = self.agent.finish().await;
        assert!(account.balances(), "{account:?}");
        assert_eq!(account.in_flight, 0, "{account:?}");
        account
    }
}
