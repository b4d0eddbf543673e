//! Hashes of meaning: equal values have equal hashes, and unequal ones practically never.
//!
//! SipHash with 128 bits, under a key that each process draws anew: whoever writes a body cannot aim at a collision. What is found
//! never depends on the key, since hashes are only asked for equality. The sum of such hashes stands for a multiset.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use siphasher::sip128::{Hasher128, SipHasher13};

static KEY: LazyLock<(u64, u64)> = LazyLock::new(|| {
    let draw = || RandomState::new().hash_one("shadow-diff");
    (draw(), draw())
});

/// A hash in the making; `tag` keeps hashes of different things apart.
pub(crate) struct Hashing(SipHasher13);

impl Hashing {
    pub(crate) fn of(tag: u8) -> Self {
        let (a, b) = *KEY;
        let mut hasher = SipHasher13::new_with_keys(a, b);
        hasher.write(&[tag]);
        Self(hasher)
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.write(bytes);
        self
    }

    pub(crate) fn hash(mut self, hash: u128) -> Self {
        self.0.write(&hash.to_le_bytes());
        self
    }

    pub(crate) fn finish(self) -> u128 {
        self.0.finish128().as_u128()
    }
}

/// One member's share of its object's hash.
pub(crate) fn member(name: &str, value: u128) -> u128 {
    // The value's hash has a fixed length, so nothing needs to tell where the name begins.
    Hashing::of(b'm').hash(value).bytes(name.as_bytes()).finish()
}

/// One element's share of the hash of an array without order.
pub(crate) fn element(value: u128) -> u128 {
    Hashing::of(b'e').hash(value).finish()
}
