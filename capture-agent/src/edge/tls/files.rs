//! PEM files: reading, taking apart, checking.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};
use zeroize::Zeroizing;

use super::TlsError;

/// A bundle of all public authorities is about 200 KiB.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// A file as it was read. Wiped when dropped: it may be a key.
pub(super) struct Pem {
    file: PathBuf,
    text: Zeroizing<Vec<u8>>,
}

impl Pem {
    pub(super) fn read(file: &Path) -> Result<Self, TlsError> {
        let unreadable = |source| TlsError::Unreadable { file: file.to_owned(), source };
        let opened = File::open(file).map_err(unreadable)?;
        // Its whole length at once: a vector that grows leaves copies behind.
        let len = opened.metadata().map_err(unreadable)?.len().min(MAX_BYTES) + 1;
        let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(len).unwrap_or(0)));
        let read = opened.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
        if read as u64 > MAX_BYTES {
            return Err(TlsError::TooLong { file: file.to_owned() });
        }
        Ok(Self { file: file.to_owned(), text })
    }

    fn lacks(&self, what: &'static str) -> TlsError {
        TlsError::Lacks { file: self.file.clone(), what }
    }

    fn unusable(&self, cause: Error) -> TlsError {
        TlsError::Unusable { file: self.file.clone(), cause }
    }

    fn not_pem(&self, cause: PemError) -> TlsError {
        TlsError::NotPem { file: self.file.clone(), cause }
    }

    /// Its certificates, in order, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        match chain.map_err(|cause| self.not_pem(cause))? {
            chain if chain.is_empty() => Err(self.lacks("certificate")),
            chain => Ok(chain),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|cause| match cause {
            PemError::NoItemsFound => self.lacks("unencrypted private key"),
            cause => self.not_pem(cause),
        })
    }

    /// Its certificates as authorities.
    pub(super) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|cause| self.unusable(cause))?;
        }
        Ok(roots)
    }
}

/// A certificate with its chain, and the key that belongs to it.
pub(super) fn pair(certificate: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificate.certificates()?;
    let signing = provider.key_provider.load_private_key(key.key()?).map_err(|cause| key.unusable(cause))?;
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: certificate.file.clone(), key: key.file.clone() })
        }
        Err(cause) => Err(certificate.unusable(cause)),
    }
}

/// Whether today is within the certificate's validity.
///
/// It is verified against no authority at all, which fails in any case; but dates are looked at first.
pub(super) fn current(certificate: &Pem, pair: &CertifiedKey, provider: &CryptoProvider) -> Result<(), TlsError> {
    let parsed = pair.end_entity_cert().and_then(ParsedCertificate::try_from);
    let parsed = parsed.map_err(|cause| certificate.unusable(cause))?;
    let verdict = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        UnixTime::now(),
        provider.signature_verification_algorithms.all,
    );
    match verdict {
        Err(cause @ Error::InvalidCertificate(CertificateError::Expired | CertificateError::NotValidYet))
        | Err(
            cause @ Error::InvalidCertificate(
                CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. },
            ),
        ) => Err(TlsError::Outdated { file: certificate.file.clone(), cause }),
        _ => Ok(()),
    }
}

/// What tells whether any of the files has changed. Contents, not times: tools replace files within one tick of the clock, and
/// some keep the old time.
pub(super) fn digest(files: &[Pem]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write_usize(file.text.len());
        hasher.write(&file.text);
    }
    hasher.finish()
}
