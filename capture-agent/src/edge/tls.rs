//! TLS with clients and with the primary, from PEM files that may change while the agent runs.
//!
//! `files` reads and checks, `reload` keeps what is in force and replaces it, `server` and `client` shake hands.
//!
//! Guarantee: a file that cannot be used never replaces one that could, and a change touches no connection in progress. Keys
//! are shown nowhere: errors name files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

mod client;
mod files;
mod reload;
mod server;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use client::{ClientFiles, ClientTls};
pub(crate) use server::{ServerFiles, ServerTls};

/// The protocol that the handshake agrees on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    /// `http/1.1`
    Http1,
    /// `h2`
    Http2,
}

impl Alpn {
    fn wire(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    pub(super) fn from_wire(name: &[u8]) -> Option<Self> {
        [Self::Http1, Self::Http2].into_iter().find(|alpn| alpn.wire() == name)
    }

    fn list(offered: &[Self]) -> Vec<Vec<u8>> {
        offered.iter().map(|alpn| alpn.wire().to_vec()).collect()
    }
}

/// Why TLS cannot be had. [`remedy`](Self::remedy) says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The operating system does not give the file.
    #[error("`{}` cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// No such file is needed.
    #[error("`{}` is longer than {} KiB", file.display(), files::MAX_BYTES >> 10)]
    TooLong {
        /// The file.
        file: PathBuf,
    },
    /// The text is damaged.
    #[error("`{}` is not PEM: {cause}", file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What the reader stumbled over.
        cause: rustls::pki_types::pem::Error,
    },
    /// PEM, of something else.
    #[error("`{}` holds no {what}", file.display())]
    Lacks {
        /// The file.
        file: PathBuf,
        /// A certificate or a private key.
        what: &'static str,
    },
    /// The certificate or key cannot be used.
    #[error("`{}` cannot be used: {cause}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: rustls::Error,
    },
    /// Key and certificate are from different pairs.
    #[error("the key in `{}` does not belong to the certificate in `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate is not valid now.
    #[error("the certificate in `{}` is not valid today: {cause}", file.display())]
    Outdated {
        /// The file.
        file: PathBuf,
        /// Since or until when.
        cause: rustls::Error,
    },
}

impl TlsError {
    /// The file to mend.
    pub(crate) fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. }
            | Self::TooLong { file }
            | Self::NotPem { file, .. }
            | Self::Lacks { file, .. }
            | Self::Unusable { file, .. }
            | Self::Outdated { file, .. }
            | Self::Mismatch { key: file, .. } => file,
        }
    }

    /// What to do.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check the path and its permissions",
            Self::TooLong { .. } | Self::NotPem { .. } | Self::Lacks { .. } => {
                "name a PEM file: the certificate and its intermediates, or the unencrypted private key"
            }
            Self::Unusable { .. } => "issue it anew: X.509 version 3, RSA of 2048 bits or more, ECDSA or Ed25519",
            Self::Mismatch { .. } => "put the certificate and the key of one pair there",
            Self::Outdated { .. } => "put a current certificate there, and check the clock",
        }
    }
}

/// The workspace's cryptography, independent of what the process has installed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
