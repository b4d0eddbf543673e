//! TLS with clients.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpStream;
#[cfg(test)]
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_util::sync::CancellationToken;

use super::files::{self, Pem};
use super::reload::{Occasion, Reloading, Standing};
use super::{Alpn, TlsError, provider};
use crate::edge::stream::Stream;

/// The files of the server side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerFiles {
    /// The certificate, then its intermediates.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of which clients must show a certificate; none need any without it.
    pub client_ca: Option<PathBuf>,
}

/// Shakes hands with clients. Clones share what is in force.
#[derive(Clone)]
pub(crate) struct ServerTls(Arc<Reloading<ServerConfig>>);

impl ServerTls {
    /// Reads the files. `alpn` is what clients are offered, best first.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be used. A certificate that has run out is used, with a warning.
    pub(crate) fn load(files: &ServerFiles, alpn: &[Alpn]) -> Result<Self, TlsError> {
        let ServerFiles { certificate, key, client_ca } = files.clone();
        let paths = [certificate, key].into_iter().chain(client_ca).collect();
        let alpn = Alpn::list(alpn);
        let reloading = Reloading::load(paths, move |read, occasion| config(read, occasion, alpn.clone()))?;
        Ok(Self(Arc::new(reloading)))
    }

    /// Shakes hands. The caller bounds the time.
    ///
    /// # Errors
    /// When the client breaks off, or there is nothing to agree on.
    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<Stream> {
        let tls = TlsAcceptor::from(self.0.current()).accept(socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Server(tls))))
    }

    /// Follows the files, every so often and on SIGHUP, until `shutdown`.
    ///
    /// # Errors
    /// When the operating system refuses the signal handler.
    pub(crate) fn watch(&self, every: Duration, shutdown: CancellationToken) -> io::Result<JoinHandle<()>> {
        self.0.clone().watch(every, shutdown)
    }

    /// How the certificates stand.
    pub(crate) fn standing(&self) -> Standing {
        self.0.standing()
    }

    #[cfg(test)]
    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.0.generation()
    }

    #[cfg(test)]
    pub(super) fn look(&self) -> super::reload::Look {
        self.0.look()
    }

    #[cfg(test)]
    pub(in crate::edge) fn alpn(&self) -> Vec<String> {
        self.0.current().alpn_protocols.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

fn config(read: &[Pem], occasion: Occasion, alpn: Vec<Vec<u8>>) -> Result<ServerConfig, TlsError> {
    let [certificate, key, client_ca @ ..] = read else { unreachable!("it is made of at least two files") };
    let provider = provider();
    let pair = files::pair(certificate, key, &provider)?;
    match (files::current(certificate, &pair, &provider), occasion) {
        (Err(error), Occasion::Change) => return Err(error),
        (Err(error), Occasion::Start) => tracing::warn!(cause = %error, remedy = error.remedy(), "clients will object"),
        (Ok(()), _) => {}
    }
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions");
    let builder = match client_ca.first() {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities.roots()?), provider);
            builder.with_client_cert_verifier(verifier.build().expect("there is at least one authority"))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = alpn;
    // Sessions are kept by the clients. The key is new with each change, so that no session outlives its authority.
    match Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        Err(error) => tracing::warn!(%error, "sessions cannot be resumed from tickets"),
    }
    Ok(config)
}
