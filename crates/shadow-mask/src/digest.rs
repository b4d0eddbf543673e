//! Keyed digests of whole bodies, computed as the bytes pass by.

use bytes::Bytes;
use hmac::Mac as _;

use crate::key::HmacSha256;

/// A running HMAC-SHA256 under the masking key's digest derivation. Tells equal bodies from different ones to whoever compares
/// two digests, and nothing to whoever does not hold the key.
#[derive(Clone)]
pub struct Digester(HmacSha256);

impl Digester {
    pub(crate) fn new(keyed: &HmacSha256) -> Self {
        Self(keyed.clone())
    }

    /// Takes in the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest, 32 bytes.
    pub fn finish(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.finalize().into_bytes())
    }
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digester(..)")
    }
}
