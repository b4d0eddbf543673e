//! TLS with the primary.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsConnector, TlsStream};
use tokio_util::sync::CancellationToken;

use super::files::{self, Pem};
use super::reload::{Occasion, Reloading, Standing};
use super::{Alpn, TlsError, provider};
use crate::edge::stream::Stream;

/// The files of the client side, all optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientFiles {
    /// Authorities that may vouch for the primary; the public ones by default.
    pub ca: Option<PathBuf>,
    /// The certificate shown to the primary, with its chain, and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
}

/// Shakes hands with the primary. Clones share what is in force.
#[derive(Clone)]
pub(crate) struct ClientTls {
    reloading: Arc<Reloading<ClientConfig>>,
    name: ServerName<'static>,
}

impl ClientTls {
    /// Reads the files. The primary must be `name`, and is offered `alpn`.
    ///
    /// # Errors
    /// [`TlsError`] when the files cannot be used.
    pub(crate) fn load(files: &ClientFiles, name: ServerName<'static>, alpn: &[Alpn]) -> Result<Self, TlsError> {
        let ClientFiles { ca, pair } = files.clone();
        let own_roots = ca.is_some();
        let paths = ca.into_iter().chain(pair.into_iter().flat_map(|(certificate, key)| [certificate, key])).collect();
        let alpn = Alpn::list(alpn);
        let reloading = Reloading::load(paths, move |read, occasion| {
            let (ca, pair) = read.split_at(usize::from(own_roots));
            config(ca.first(), pair, occasion, alpn.clone())
        })?;
        Ok(Self { reloading: Arc::new(reloading), name })
    }

    /// The same with another who must be `name`.
    pub(crate) fn named(&self, name: ServerName<'static>) -> Self {
        Self { name, ..self.clone() }
    }

    /// Shakes hands. The caller bounds the time.
    ///
    /// # Errors
    /// When the primary breaks off, is not who it should be, or there is nothing to agree on.
    pub(crate) async fn connect(&self, socket: TcpStream) -> io::Result<Stream> {
        let tls = TlsConnector::from(self.reloading.current()).connect(self.name.clone(), socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(tls))))
    }

    /// How the certificates stand.
    pub(crate) fn standing(&self) -> Standing {
        self.reloading.standing()
    }

    /// Follows the files, every so often and on SIGHUP, until `shutdown`.
    ///
    /// # Errors
    /// When the operating system refuses the signal handler.
    pub(crate) fn watch(&self, every: Duration, shutdown: CancellationToken) -> io::Result<JoinHandle<()>> {
        self.reloading.clone().watch(every, shutdown)
    }
}

fn config(ca: Option<&Pem>, pair: &[Pem], occasion: Occasion, alpn: Vec<Vec<u8>>) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let roots = match ca {
        Some(ca) => ca.roots()?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions")
        .with_root_certificates(roots);
    let mut config = match pair {
        [certificate, key] => {
            let pair = files::pair(certificate, key, &provider)?;
            if occasion == Occasion::Change {
                files::current(certificate, &pair, &provider)?;
            }
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn;
    Ok(config)
}
