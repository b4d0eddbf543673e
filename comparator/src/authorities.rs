//! Authorities of the operator's own, under which ClickHouse's certificate is believed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clickhouse::Client;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};

/// The library's own values for its default client. ClickHouse closes idle connections after 3 s.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
const POOL_IDLE: Duration = Duration::from_secs(2);

/// The certificates of a PEM file, read when it was named.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "PathBuf", into = "PathBuf")]
pub struct Authorities {
    path: PathBuf,
    roots: RootCertStore,
}

/// A file that holds no authorities.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}; name a PEM file with certificates", path.display())]
pub struct InvalidAuthorities {
    path: PathBuf,
    cause: String,
}

impl TryFrom<PathBuf> for Authorities {
    type Error = InvalidAuthorities;

    fn try_from(path: PathBuf) -> Result<Self, InvalidAuthorities> {
        match read(&path) {
            Ok(roots) if roots.is_empty() => Err(InvalidAuthorities { path, cause: "no certificate in it".to_owned() }),
            Ok(roots) => Ok(Self { path, roots }),
            Err(cause) => Err(InvalidAuthorities { path, cause }),
        }
    }
}

impl From<Authorities> for PathBuf {
    fn from(authorities: Authorities) -> Self {
        authorities.path
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

fn read(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// A client of ClickHouse. It believes certificates under `authorities` and no others; without, those that browsers believe.
pub fn client(authorities: Option<&Authorities>) -> Client {
    let Some(Authorities { roots, .. }) = authorities else { return Client::default() };
    let tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.enforce_http(false);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Client::with_http_client(
        legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE).build(connector),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_with_its_name() {
        let file = std::env::temp_dir().join(format!("shadowline-authorities-{}", std::process::id()));
        std::fs::write(&file, "no certificate").unwrap();
        let error = Authorities::try_from(file.clone()).unwrap_err().to_string();
        std::fs::remove_file(&file).unwrap();
        assert!(error.contains(&file.display().to_string()) && error.contains("no certificate in it"), "{error}");
        assert!(Authorities::try_from(file).is_err(), "it is gone");
    }
}
