//! Tokens: what stands in the place of a masked value.
//!
//! A token is `msk_` and 24 characters of lower-case base32: 80 bits of HMAC-SHA256 of the value, then 40 bits
//! of a second keyed hash over the first 80 as a tag. The tag makes masking idempotent: a token of this key is recognised and left alone, anything
//! that only looks like one is masked. Lower-case letters, digits and `_` pass unescaped through URLs, cookies, headers, JSON and
//! forms. `docs/masking.md` does the arithmetic of collisions and forgeries.

use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use crate::key::{HmacSha256, MaskKey, Purpose};

/// What the strategy `redact` writes; recognised as masked everywhere.
pub const REDACTED: &str = "msk_redacted";

const PREFIX: &[u8; 4] = b"msk_";
const VALUE_BYTES: usize = 10;
const TAG_BYTES: usize = 5;
const LENGTH: usize = PREFIX.len() + (VALUE_BYTES + TAG_BYTES) * 8 / 5;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The token of one value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token([u8; LENGTH]);

impl Token {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("tokens are ASCII")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes and recognises the tokens of one key.
#[derive(Clone)]
pub(crate) struct Tokenizer {
    value: HmacSha256,
    /// Always over [`VALUE_BYTES`] bytes and truncated, so no length extension.
    tag: Sha256,
}

impl Tokenizer {
    pub(crate) fn new(key: &MaskKey) -> Self {
        Self { value: key.derive(Purpose::Token), tag: key.derive_prefixed(Purpose::Tag) }
    }

    /// The token of `value`. The same in every position, so that a value which only passes through a service can be followed.
    pub(crate) fn token(&self, value: &[u8]) -> Token {
        let mut bits = [0; VALUE_BYTES + TAG_BYTES];
        let mut mac = self.value.clone();
        mac.update(value);
        bits[..VALUE_BYTES].copy_from_slice(&mac.finalize().into_bytes()[..VALUE_BYTES]);
        let tag = self.tag(&bits[..VALUE_BYTES]);
        bits[VALUE_BYTES..].copy_from_slice(&tag);
        encode(&bits)
    }

    /// Whether `value` is what masking under this key wrote.
    pub(crate) fn is_masked(&self, value: &[u8]) -> bool {
        value.starts_with(PREFIX) && (value == REDACTED.as_bytes() || self.verifies(value))
    }

    fn verifies(&self, value: &[u8]) -> bool {
        decode(value).is_some_and(|bits| bits[VALUE_BYTES..] == self.tag(&bits[..VALUE_BYTES]))
    }

    fn tag(&self, bits: &[u8]) -> [u8; TAG_BYTES] {
        let tag = self.tag.clone().chain_update(bits).finalize();
        tag[..TAG_BYTES].try_into().expect("a slice of that length")
    }
}

fn encode(bits: &[u8; VALUE_BYTES + TAG_BYTES]) -> Token {
    let mut text = [0; LENGTH];
    text[..PREFIX.len()].copy_from_slice(PREFIX);
    for (five, eight) in bits.chunks_exact(5).zip(text[PREFIX.len()..].chunks_exact_mut(8)) {
        let word = five.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        for (i, character) in eight.iter_mut().enumerate() {
            *character = ALPHABET[(word >> (35 - 5 * i)) as usize & 31];
        }
    }
    Token(text)
}

fn decode(value: &[u8]) -> Option<[u8; VALUE_BYTES + TAG_BYTES]> {
    let text: &[u8; LENGTH] = value.try_into().ok()?;
    let mut bits = [0; VALUE_BYTES + TAG_BYTES];
    for (eight, five) in text[PREFIX.len()..].chunks_exact(8).zip(bits.chunks_exact_mut(5)) {
        let word = eight.iter().try_fold(0_u64, |word, character| {
            let digit = match character {
                b'a'..=b'z' => character - b'a',
                b'2'..=b'7' => character - b'2' + 26,
                _ => return None,
            };
            Some(word << 5 | u64::from(digit))
        })?;
        five.copy_from_slice(&word.to_be_bytes()[3..]);
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(secret: &str) -> Tokenizer {
        Tokenizer::new(&MaskKey::parse(secret).unwrap())
    }

    #[test]
    fn a_token_is_recognised_under_its_key_only() {
        let (ours, theirs) = (tokenizer(&"a".repeat(32)), tokenizer(&"b".repeat(32)));
        let token = ours.token(b"alice@example.com");
        assert!(ours.is_masked(token.as_bytes()));
        assert!(!theirs.is_masked(token.as_bytes()));
        assert_ne!(token.as_str(), theirs.token(b"alice@example.com").as_str());
    }

    #[test]
    fn a_token_changed_in_any_character_is_not_recognised() {
        let ours = tokenizer(&"a".repeat(32));
        let token = ours.token(b"alice@example.com").as_str().to_owned();
        for at in 0..token.len() {
            for other in ["a", "7", "A", "1", "-"] {
                let mut forged = token.clone();
                forged.replace_range(at..=at, other);
                assert_eq!(ours.is_masked(forged.as_bytes()), forged == token, "{forged}");
            }
        }
        assert!(!ours.is_masked(&token.as_bytes()[..token.len() - 1]));
        assert!(!ours.is_masked(format!("{token}a").as_bytes()));
    }
}
