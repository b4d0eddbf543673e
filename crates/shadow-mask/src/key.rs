//! The masking key, and the keys derived from it, one for each use.
//!
//! Whoever holds the key can test guesses against every token, so it is never printed and its bytes are wiped on drop. Uses are
//! separated by derivation: no output of one (say, a record key) tells anything about another (say, a token).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use zeroize::Zeroizing;

/// Fewest bytes of a key: the strength of HMAC-SHA256.
const MIN_BYTES: usize = 32;

pub(crate) type HmacSha256 = Hmac<Sha256>;

/// The text given is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a masking key has at least 32 bytes, as hex, base64 or text; this one has {length} (make one with `openssl rand -hex 32`)"
)]
pub struct KeyError {
    length: usize,
}

/// The secret under which values are masked. Keep it as long as masked records or seeded data are to be compared.
pub struct MaskKey {
    bytes: Zeroizing<Vec<u8>>,
    id: String,
}

impl MaskKey {
    /// Reads a key: hex or base64 (either alphabet) of at least 32 bytes, else at least 32 bytes of text taken as they are.
    /// Surrounding white space is ignored, as files end with a newline.
    ///
    /// # Errors
    /// [`KeyError`] when it is shorter.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = Zeroizing::new(decode(text).unwrap_or_else(|| text.as_bytes().to_vec()));
        if bytes.len() < MIN_BYTES {
            return Err(KeyError { length: bytes.len() });
        }
        let id = hmac(&bytes, b"key id").finalize().into_bytes()[..8].iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { bytes, id })
    }

    /// Names the key without telling it: 16 hex digits derived one way. Records of different key IDs are incomparable.
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// The keyed function for one use.
    pub(crate) fn derive(&self, purpose: Purpose) -> HmacSha256 {
        HmacSha256::new_from_slice(self.derive_bytes(purpose).as_slice()).expect("HMAC takes keys of any length")
    }

    /// The keyed function for short messages of one use, of which 64 bits are enough.
    pub(crate) fn derive_short(&self, purpose: Purpose) -> SipHasher24 {
        let bytes = self.derive_bytes(purpose);
        SipHasher24::new_with_key(bytes[..16].try_into().expect("a slice of that length"))
    }

    pub(crate) fn derive_bytes(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(hmac(&self.bytes, purpose.label()).finalize().into_bytes().into())
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a derived key is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Token,
    Tag,
    FormTag,
    Encrypt,
    Digest,
    RecordKey,
    MarkTag,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Token => b"token",
            Self::Tag => b"tag",
            Self::FormTag => b"form tag",
            Self::Encrypt => b"encrypt",
            Self::Digest => b"digest",
            Self::RecordKey => b"record key",
            Self::MarkTag => b"mark tag",
        }
    }
}

/// HMAC over a label with the scheme's version in front, so that a later scheme cannot repeat these outputs.
fn hmac(key: &[u8], label: &[u8]) -> HmacSha256 {
    let mut mac = HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"shadowline mask 1: ");
    mac.update(label);
    mac
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let hex = || {
        let digits = text.as_bytes().chunks(2).map(|pair| {
            let digit = |b: u8| (b as char).to_digit(16);
            Some((digit(pair[0])? * 16 + digit(*pair.get(1)?)?) as u8)
        });
        digits.collect::<Option<Vec<u8>>>()
    };
    let base64 = || [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|e| e.decode(text).ok());
    hex().filter(|b| b.len() >= MIN_BYTES).or_else(base64).filter(|b| b.len() >= MIN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_base64_and_text_are_read_and_short_keys_refused() {
        let hex = MaskKey::parse(&"0f".repeat(32)).unwrap();
        let base64 = MaskKey::parse(&format!("{}\n", STANDARD.encode([0x0f; 32]))).unwrap();
        assert_eq!(hex.key_id(), base64.key_id());
        assert_eq!(hex.key_id().len(), 16);
        let text = MaskKey::parse("a text of thirty-two characters!").unwrap();
        assert_ne!(text.key_id(), hex.key_id());
        assert_eq!(MaskKey::parse("short").unwrap_err(), KeyError { length: 5 });
        // Thirty-two hex digits are only sixteen bytes of key, but thirty-two of text: they are taken as text.
        assert!(MaskKey::parse(&"0f".repeat(16)).is_ok());
    }

    #[test]
    fn debug_output_never_shows_the_key() {
        let key = MaskKey::parse("a text of thirty-two characters!").unwrap();
        assert_eq!(format!("{key:?}"), format!("MaskKey {{ id: {:?}, .. }}", key.key_id()));
    }
}
