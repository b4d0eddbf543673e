//! Tokens: what stands in the place of a masked value.
//!
//! The plain token is `msk_` and 24 characters of lower-case base32: 80 bits of HMAC-SHA256 of the value, then 40 bits
//! of a second keyed hash over the first 80 as a tag. Values that services validate get tokens of their own form (`form`), in ranges that
//! hold no real value, with a tag inside. The tag makes masking idempotent: a token of this key is recognised and left alone, anything
//! that only looks like one is masked. `docs/masking.md` does the arithmetic of collisions and forgeries.

pub(crate) mod cipher;
mod form;
mod mac;

use siphasher::sip::SipHasher24;

pub use form::Form;

use crate::key::{MaskKey, Purpose};

/// What the strategy `redact` writes; recognised as masked everywhere.
pub const REDACTED: &str = "msk_redacted";

const PREFIX: &[u8; 4] = b"msk_";
const VALUE_BYTES: usize = 10;
const TAG_BYTES: usize = 5;
pub(crate) const LENGTH: usize = PREFIX.len() + (VALUE_BYTES + TAG_BYTES) * 8 / 5;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The longest form: 64 hex digits.
const MAX_LENGTH: usize = 64;

/// The token of one value: ASCII that needs no escape in JSON, XML, paths, cookies and headers.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    bytes: [u8; MAX_LENGTH],
    length: u8,
}

impl Token {
    fn of(text: &[u8]) -> Self {
        let mut bytes = [0; MAX_LENGTH];
        bytes[..text.len()].copy_from_slice(text);
        Self { bytes, length: text.len() as u8 }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("tokens are ASCII")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// What one key makes of values, and how its tags are checked.
#[derive(Clone)]
struct Keyed {
    value: mac::Mac,
    /// SipHash-2-4, made for short messages under a key.
    tag: SipHasher24,
    form_tag: SipHasher24,
    cipher: cipher::Cipher,
}

impl Keyed {
    fn new(key: &MaskKey) -> Self {
        Self {
            value: mac::Mac::new(&key.derive_bytes(Purpose::Token)),
            tag: key.derive_short(Purpose::Tag),
            form_tag: key.derive_short(Purpose::FormTag),
            cipher: cipher::Cipher::new(key),
        }
    }

    fn hash(&self, value: &[u8]) -> [u8; 32] {
        self.value.hash(value)
    }

    fn plain(&self, hash: &[u8; 32]) -> [u8; LENGTH] {
        let mut bits = [0; VALUE_BYTES + TAG_BYTES];
        bits[..VALUE_BYTES].copy_from_slice(&hash[..VALUE_BYTES]);
        let tag = self.tag(&bits[..VALUE_BYTES]);
        bits[VALUE_BYTES..].copy_from_slice(&tag);
        encode(&bits)
    }

    fn verifies(&self, value: &[u8]) -> bool {
        decode(value).is_some_and(|bits| bits[VALUE_BYTES..] == self.tag(&bits[..VALUE_BYTES]))
    }

    fn tag(&self, bits: &[u8]) -> [u8; TAG_BYTES] {
        let tag = self.tag.hash(bits).to_be_bytes();
        tag[..TAG_BYTES].try_into().expect("a slice of that length")
    }

    /// The tag of what a form shows of a value, at most 64 bytes.
    fn form_tag(&self, form: Form, shown: &[u8]) -> u64 {
        let mut message = [0; MAX_LENGTH + 1];
        message[0] = form as u8;
        message[1..=shown.len()].copy_from_slice(shown);
        self.form_tag.hash(&message[..=shown.len()])
    }
}

/// Makes the tokens of one key, and recognises those of it and of the keys before it.
#[derive(Clone)]
pub(crate) struct Tokenizer {
    current: Keyed,
    previous: Vec<Keyed>,
}

impl Tokenizer {
    pub(crate) fn new(key: &MaskKey) -> Self {
        Self { current: Keyed::new(key), previous: Vec::new() }
    }

    /// Recognises tokens of `key`, too.
    pub(crate) fn also_recognise(&mut self, key: &MaskKey) {
        self.previous.push(Keyed::new(key));
    }

    /// The token of `value`, in the form of such values. The same in every position, so that a value which only passes
    /// through a service can be followed.
    pub(crate) fn token(&self, value: &[u8]) -> Token {
        self.token_as(Form::of(value), value)
    }

    /// The token of `value` in a given form.
    pub(crate) fn token_as(&self, form: Form, value: &[u8]) -> Token {
        form::write(&self.current, form, value)
    }

    /// Whether `value` is what masking under this key, or one before it, wrote.
    pub(crate) fn is_masked(&self, value: &[u8]) -> bool {
        if value == REDACTED.as_bytes() {
            return true;
        }
        if value.starts_with(cipher::PREFIX) {
            return self.open(value).is_some();
        }
        let Some(form) = form::claimed(value) else { return false };
        std::iter::once(&self.current).chain(&self.previous).any(|keyed| form::verifies(keyed, form, value))
    }

    /// Where tokens of the plain form and addresses made of them stand in a text.
    pub(crate) fn places(&self, text: &[u8]) -> Vec<std::ops::Range<usize>> {
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(at) = text[from..].windows(PREFIX.len()).position(|window| window == PREFIX).map(|at| from + at)
        {
            let end = at + LENGTH;
            from = at + PREFIX.len();
            if text.get(at..end).is_some_and(|token| self.is_masked(token)) {
                let domain = if text[end..].starts_with(form::MAIL_DOMAIN) { form::MAIL_DOMAIN.len() } else { 0 };
                places.push(at..end + domain);
                from = end + domain;
            }
        }
        places
    }

    /// `value`, encrypted.
    pub(crate) fn seal(&self, value: &[u8]) -> Vec<u8> {
        self.current.cipher.seal(value)
    }

    /// The value of an encrypted text of this key, or of one before it.
    pub(crate) fn open(&self, text: &[u8]) -> Option<Vec<u8>> {
        std::iter::once(&self.current).chain(&self.previous).find_map(|keyed| keyed.cipher.open(text))
    }

    /// Whether `value` is dressed as a token: what is and does not verify was forged or comes from another key.
    pub(crate) fn looks_masked(value: &[u8]) -> bool {
        value.starts_with(PREFIX) || value.starts_with(cipher::PREFIX)
    }
}

fn encode(bits: &[u8; VALUE_BYTES + TAG_BYTES]) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    text[..PREFIX.len()].copy_from_slice(PREFIX);
    for (five, eight) in bits.chunks_exact(5).zip(text[PREFIX.len()..].chunks_exact_mut(8)) {
        let word = five.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        for (i, character) in eight.iter_mut().enumerate() {
            *character = ALPHABET[(word >> (35 - 5 * i)) as usize & 31];
        }
    }
    text
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
mod tests;
