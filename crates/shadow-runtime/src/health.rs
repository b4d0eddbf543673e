//! `--health`: asks a running instance whether it is ready, so that an image needs no HTTP client for its health check.
//!
//! The instance is found as it listens: under the address that the same configuration gives its admin endpoint.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;

use crate::admin::AdminConfig;

/// For connecting, and for the answer: less than health checkers wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why an instance is not ready, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unhealthy {
    /// Nobody knows where it listens.
    #[error("the admin endpoint takes a port of its own each time; set admin.listen to one with a port to ask for")]
    NoPort,
    /// The configuration gives no address.
    #[error("{0}")]
    NoAddress(String),
    /// It does not answer.
    #[error("nothing answers at {address}: {source}")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// What happened.
        source: std::io::Error,
    },
    /// It answers that it is not.
    #[error("the instance at {address} is not ready: {answer}")]
    NotReady {
        /// Where it was asked.
        address: SocketAddr,
        /// The status line.
        answer: String,
    },
}

/// Asks the instance that runs with `config`.
///
/// # Errors
/// When it is not ready.
pub(crate) fn ask<C: Serialize>(config: &C) -> Result<(), Unhealthy> {
    let address = address(config)?;
    let silent = |source| Unhealthy::Silent { address, source };
    let answer = status_line(address).map_err(silent)?;
    if answer.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(Unhealthy::NotReady { address, answer }) }
}

/// Where the admin endpoint of `config` is reached from this host.
fn address<C: Serialize>(config: &C) -> Result<SocketAddr, Unhealthy> {
    let no_address = |cause: String| Unhealthy::NoAddress(cause);
    let mut section = serde_json::to_value(config).map_err(|error| no_address(error.to_string()))?["admin"].take();
    // Not needed, and blanked.
    section.as_object_mut().map(|section| section.remove("token"));
    let admin: AdminConfig = serde_json::from_value(section).map_err(|error| no_address(error.to_string()))?;
    let mut address = admin.address().map_err(|error| no_address(error.to_string()))?;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    if address.port() == 0 { Err(Unhealthy::NoPort) } else { Ok(address) }
}

fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::Secret;
    use crate::admin::Admin;

    #[derive(Serialize)]
    struct Config {
        admin: AdminConfig,
    }

    fn at(listen: impl Into<SocketAddr>) -> Config {
        let token = Some(Secret::new("0123456789abcdef-token"));
        Config { admin: AdminConfig { listen: listen.into(), network: None, token } }
    }

    async fn asked(config: Config) -> Result<(), Unhealthy> {
        tokio::task::spawn_blocking(move || ask(&config)).await.unwrap()
    }

    #[tokio::test]
    async fn it_tells_a_ready_instance_from_one_that_is_not_and_from_none() {
        let (ready, is_ready) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let admin = Admin::new(at(([0, 0, 0, 0], 0)).admin).ready(is_ready);
        let handle = admin.serve(shutdown.clone()).await.unwrap();
        let config = || at(([0, 0, 0, 0], handle.local_addr().port()));

        assert!(matches!(asked(config()).await, Err(Unhealthy::NotReady { .. })));
        ready.send_replace(true);
        asked(config()).await.unwrap();
        shutdown.cancel();
        handle.ended().cancelled().await;
        assert!(matches!(asked(config()).await, Err(Unhealthy::Silent { .. })));
    }

    #[test]
    fn an_instance_whose_port_nobody_knows_cannot_be_asked() {
        assert!(matches!(ask(&at(([127, 0, 0, 1], 0))), Err(Unhealthy::NoPort)));
        assert!(matches!(ask(&json!({ "admin": { "listen": 7 } })), Err(Unhealthy::NoAddress(_))));
    }
}
