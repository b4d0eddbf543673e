//! Encrypted values: `mske_` and base64url of AES-256-GCM-SIV under a key of its own.
//!
//! The nonce is fixed, so equal values have equal texts, which is what makes answers comparable; GCM-SIV (RFC 8452) is made to stay safe
//! under it and gives away only that equality. Its tag is the token's tag: what does not decrypt is no token.

use aes_gcm_siv::aead::{Aead as _, KeyInit as _};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::key::{MaskKey, Purpose};

/// What every encrypted value begins with.
pub(crate) const PREFIX: &[u8] = b"mske_";

#[derive(Clone)]
pub(crate) struct Cipher(Aes256GcmSiv);

impl Cipher {
    pub(crate) fn new(key: &MaskKey) -> Self {
        let derived = key.derive_bytes(Purpose::Encrypt);
        Self(Aes256GcmSiv::new_from_slice(derived.as_slice()).expect("derived keys have 256 bits"))
    }

    pub(crate) fn seal(&self, value: &[u8]) -> Vec<u8> {
        let sealed = self.0.encrypt(&Nonce::default(), value).expect("values are far shorter than 64 GiB");
        [PREFIX, URL_SAFE_NO_PAD.encode(sealed).as_bytes()].concat()
    }

    /// The value that [`Self::seal`] was given; `None` for anything else.
    pub(crate) fn open(&self, text: &[u8]) -> Option<Vec<u8>> {
        let sealed = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        self.0.decrypt(&Nonce::default(), sealed.as_slice()).ok()
    }
}
