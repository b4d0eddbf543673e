//! A certificate authority of the operator's own, and certificates for whatever name a call asks for.
//!
//! The shadow trusts this authority, nobody else does: whoever has its key can pretend to be any host to the shadow and to nothing
//! else. Guarantees: the key is never shown; certificates are kept for a bounded number of names.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Most names for which certificates are kept; beyond it all are forgotten and issued again.
const NAMES: usize = 1_000;
/// The authority's name. It must not change: certificates are issued from the key alone.
const NAME: &str = "Shadowline stub, trusted by the shadow only";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The key's text.
    #[error("not a private key in PEM: {0}")]
    Key(rcgen::Error),
    /// The name asked for.
    #[error("no certificate can be issued for `{name}`: {cause}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        cause: String,
    },
}

/// An authority that was just made, both in PEM.
pub struct NewCa {
    /// For the shadow's list of trusted authorities.
    pub certificate: String,
    /// For the stub alone.
    pub key: String,
}

impl NewCa {
    /// Makes one.
    ///
    /// # Errors
    /// [`CaError::Key`] when the system gives no randomness.
    pub fn generate() -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(CaError::Key)?;
        let certificate = authority().self_signed(&key).map_err(CaError::Key)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl fmt::Debug for NewCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewCa")
    }
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Issues certificates.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// One key for all certificates: making keys is what takes time.
    key: KeyPair,
    provider: Arc<CryptoProvider>,
    issued: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ca")
    }
}

impl Ca {
    /// The authority of a private key in PEM, as [`NewCa`] made it.
    ///
    /// # Errors
    /// [`CaError::Key`].
    pub fn of_key(pem: &str) -> Result<Self, CaError> {
        let issuer = Issuer::new(authority(), KeyPair::from_pem(pem).map_err(CaError::Key)?);
        let key = KeyPair::generate().map_err(CaError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Self { issuer, key, provider, issued: Mutex::default() })
    }

    /// How to shake hands as `name`: a DNS name or an address.
    ///
    /// # Errors
    /// [`CaError::Name`].
    pub fn server(&self, name: &str) -> Result<Arc<ServerConfig>, CaError> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = issued.get(name) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.issue(name)?);
        if issued.len() >= NAMES {
            issued.clear();
        }
        issued.insert(name.to_owned(), config.clone());
        Ok(config)
    }

    fn issue(&self, name: &str) -> Result<ServerConfig, CaError> {
        let refused = |cause: String| CaError::Name { name: name.to_owned(), cause };
        let mut params = CertificateParams::default();
        // The common name has at most 64 characters; clients look at the alternative names.
        params.distinguished_name = named("shadowline-stub");
        params.subject_alt_names = vec![match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().map_err(|e: rcgen::Error| refused(e.to_string()))?),
        }];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.key, &self.issuer).map_err(|error| refused(error.to_string()))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(|error| refused(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}
