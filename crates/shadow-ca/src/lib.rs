//! A certificate authority of the operator's own, and certificates for whatever name a call asks for.
//!
//! There are two: the stub's, which the shadow trusts, and the agent's for the calls of the primary, which the primary trusts. Whoever has
//! an authority's key can pretend to be any host to whoever trusts it, so neither must trust the other's; they differ in name, and a key
//! taken for the wrong one issues certificates that nobody believes.
//!
//! Guarantees: the key is never shown; certificates are kept for a bounded number of names.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use uuid::Uuid;

/// Most names for which certificates are kept; beyond it all are forgotten and issued again.
const NAMES: usize = 1_000;
/// The authorities' names. They must not change: certificates are issued from the key alone.
const STUB: &str = "Shadowline stub, trusted by the shadow only";
const EGRESS: &str = "Shadowline egress, trusted by the primary only";

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
    /// For the list of authorities that the shadow or the primary trusts.
    pub certificate: String,
    /// For the stub or the agent alone.
    pub key: String,
}

impl NewCa {
    /// Makes one for the stub.
    ///
    /// # Errors
    /// [`CaError::Key`] when the system gives no randomness.
    pub fn generate() -> Result<Self, CaError> {
        Self::named(STUB)
    }

    /// Makes one for the calls of the primary.
    ///
    /// # Errors
    /// [`CaError::Key`] when the system gives no randomness.
    pub fn for_egress() -> Result<Self, CaError> {
        Self::named(EGRESS)
    }

    fn named(name: &str) -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(CaError::Key)?;
        let certificate = authority(name).self_signed(&key).map_err(CaError::Key)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl fmt::Debug for NewCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewCa")
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
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
    /// The stub's authority, of its private key in PEM as [`NewCa::generate`] made it.
    ///
    /// # Errors
    /// [`CaError::Key`].
    pub fn of_key(pem: &str) -> Result<Self, CaError> {
        Self::named(pem, STUB)
    }

    /// The authority for the calls of the primary, of its private key in PEM as [`NewCa::for_egress`] made it.
    ///
    /// # Errors
    /// [`CaError::Key`].
    pub fn for_egress(pem: &str) -> Result<Self, CaError> {
        Self::named(pem, EGRESS)
    }

    fn named(pem: &str, name: &str) -> Result<Self, CaError> {
        let issuer = Issuer::new(authority(name), KeyPair::from_pem(pem).map_err(CaError::Key)?);
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
        params.distinguished_name = named("shadowline");
        // All have one key, which a serial number would be made of: some clients refuse two certificates with one number.
        params.serial_number = Some(SerialNumber::from_slice(Uuid::now_v7().as_bytes()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_issued_for_names_and_addresses_and_kept() {
        let ca = Ca::of_key(&NewCa::generate().unwrap().key).unwrap();
        for name in ["api.stripe.com", "192.0.2.1", "2001:db8::1"] {
            assert!(Arc::ptr_eq(&ca.server(name).unwrap(), &ca.server(name).unwrap()), "{name}");
        }
        assert!(matches!(ca.server("no name\u{e4}"), Err(CaError::Name { name, .. }) if name.starts_with("no")));
        assert!(matches!(Ca::of_key("no key"), Err(CaError::Key(_))));
    }

    #[test]
    fn names_beyond_the_bound_cost_no_memory() {
        let ca = Ca::for_egress(&NewCa::for_egress().unwrap().key).unwrap();
        for number in 0..=NAMES {
            ca.server(&format!("host-{number}.example")).unwrap();
        }
        assert_eq!(ca.issued.lock().unwrap().len(), 1);
    }

    #[test]
    fn neither_the_authority_nor_its_making_shows_the_key() {
        let made = NewCa::for_egress().unwrap();
        let shown = format!("{made:?} {:?}", Ca::for_egress(&made.key).unwrap());
        assert_eq!(shown, "NewCa Ca");
        assert!(made.key.contains("PRIVATE KEY") && made.certificate.contains("CERTIFICATE"));
    }
}
