//! The known words, in a table of open addressing.

use std::sync::LazyLock;

/// The table; empty slots hold no word.
pub(super) struct Words(Vec<&'static [u8]>);

pub(super) static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut table = vec![&b""[..]; 1 << 13];
    for word in include_str!("words.txt").lines() {
        let mut slot = Words::slot(word.as_bytes());
        while !table[slot].is_empty() {
            slot = (slot + 1) & 0x1FFF;
        }
        table[slot] = word.as_bytes();
    }
    Words(table)
});

impl Words {
    pub(super) fn contains(&self, word: &[u8]) -> bool {
        let mut slot = Self::slot(word);
        while !self.0[slot].is_empty() {
            if self.0[slot] == word {
                return true;
            }
            slot = (slot + 1) & 0x1FFF;
        }
        false
    }

    fn slot(word: &[u8]) -> usize {
        hash(word) as usize & 0x1FFF
    }
}

/// FNV-1a, folded.
fn hash(text: &[u8]) -> u32 {
    let hash = text.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash ^ hash >> 16
}
