//! Hashes of meaning: equal values have equal hashes, and unequal ones practically never.
//!
//! SipHash with 128 bits, under a key that each process draws anew: whoever writes a body cannot aim at a collision. What is found
//! never depends on the key, since hashes are only asked for equality. The sum of such hashes stands for a multiset.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::LazyLock;

use siphasher::sip128::{Hasher128, SipHasher13};

static KEY: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let draw = || RandomState::new().hash_one("shadow-diff");
    (draw(), draw())
});

/// The key for one sort of thing: `tag` keeps hashes of different sorts apart.
fn keyed(tag: u8) -> SipHasher13 {
    let (a, b) = *KEY;
    SipHasher13::new_with_keys(a ^ u64::from(tag), b)
}

/// A hash of one text.
pub(crate) fn text(tag: u8, bytes: &[u8]) -> u128 {
    keyed(tag).hash(bytes).as_u128()
}

/// A hash of two texts, of which the first has a fixed length. Short ones are joined, which is faster than to hash them in turn.
pub(crate) fn joined(tag: u8, fixed: &[u8], bytes: &[u8]) -> u128 {
    let mut buffer = [0; 96];
    let length = fixed.len() + bytes.len();
    if length <= buffer.len() {
        buffer[..fixed.len()].copy_from_slice(fixed);
        buffer[fixed.len()..length].copy_from_slice(bytes);
        return text(tag, &buffer[..length]);
    }
    Hashing::of(tag).bytes(fixed).bytes(bytes).finish()
}

/// One member's share of its object's hash.
pub(crate) fn member(name: &str, value: u128) -> u128 {
    joined(b'm', &value.to_le_bytes(), name.as_bytes())
}

/// One element's share of the hash of an array without order.
pub(crate) fn element(value: u128) -> u128 {
    text(b'e', &value.to_le_bytes())
}

/// The hash of what adds up to `sum`.
pub(crate) fn total(tag: u8, sum: u128) -> u128 {
    text(tag, &sum.to_le_bytes())
}

/// A hash in the making.
pub(crate) struct Hashing(SipHasher13);

impl Hashing {
    pub(crate) fn of(tag: u8) -> Self {
        Self(keyed(tag))
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.write(bytes);
        self
    }

    pub(crate) fn hash(self, hash: u128) -> Self {
        self.bytes(&hash.to_le_bytes())
    }

    pub(crate) fn finish(self) -> u128 {
        self.0.finish128().as_u128()
    }
}

/// A map by hashes, which need no hashing again.
pub(crate) type HashKeyed<V> = HashMap<u128, V, BuildHasherDefault<Hashed>>;

/// Takes a hash for what it is.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        let hash = bytes.first_chunk().copied().map(u64::from_le_bytes);
        self.0 = hash.expect("only hashes are keys");
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
