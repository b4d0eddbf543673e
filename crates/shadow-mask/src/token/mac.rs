//! HMAC-SHA256 of many short values under one key.
//!
//! The same function as `hmac::Hmac<Sha256>` (a test compares them), without its buffers: both halves of the key are compressed once,
//! and a value of up to 55 bytes costs two compressions and nothing else. Masking spends most of its time here.

use sha2::block_api::compress256;
use zeroize::{Zeroize as _, ZeroizeOnDrop};

const BLOCK: usize = 64;
/// FIPS 180-4, 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A keyed function.
#[derive(Clone, ZeroizeOnDrop)]
pub(super) struct Mac {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Mac {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let half = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(padded, byte)| *padded ^= byte);
            let mut state = INITIAL;
            compress256(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self { inner: half(0x36), outer: half(0x5c) }
    }

    pub(super) fn hash(&self, value: &[u8]) -> [u8; 32] {
        let inner = finish(self.inner, value);
        finish(self.outer, &inner)
    }
}

/// SHA-256 of what `state` took in, one block, and `rest`.
fn finish(mut state: [u32; 8], rest: &[u8]) -> [u8; 32] {
    let mut chunks = rest.chunks_exact(BLOCK);
    for chunk in &mut chunks {
        compress256(&mut state, &[chunk.try_into().expect("a block")]);
    }
    let last = chunks.remainder();
    let mut blocks = [[0; BLOCK]; 2];
    blocks[0][..last.len()].copy_from_slice(last);
    blocks[0][last.len()] = 0x80;
    // The length needs eight bytes behind the mark.
    let count = if last.len() < BLOCK - 8 { 1 } else { 2 };
    let bits = (BLOCK + rest.len()) as u64 * 8;
    blocks[count - 1][BLOCK - 8..].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &blocks[..count]);
    let mut hash = [0; 32];
    hash.chunks_exact_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    hash
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::Sha256;

    #[test]
    fn it_is_hmac_for_values_of_every_length() {
        let key: [u8; 32] = std::array::from_fn(|at| at as u8 * 7);
        let ours = super::Mac::new(&key);
        let value: Vec<u8> = (0..300).map(|at| at as u8).collect();
        for length in 0..value.len() {
            let mut theirs = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            theirs.update(&value[..length]);
            let theirs: [u8; 32] = theirs.finalize().into_bytes().into();
            assert_eq!(ours.hash(&value[..length]), theirs, "{length} bytes");
        }
    }
}
