//! Identifiers for templates, from the seed of their call alone. Pure.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::Object;
use minijinja::{Error, ErrorKind, State, Value};
use sha2::{Digest as _, Sha256};

/// `id('pi_', 24)`: an identifier of letters and digits behind a prefix, another one at each call.
pub(super) struct Ids {
    seed: u64,
    given: AtomicU64,
}

impl Ids {
    /// Those of one call.
    pub(super) const fn of(seed: u64) -> Self {
        Self { seed, given: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("id(prefix, length)")
    }
}

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Longest identifier.
const LONGEST_ID: usize = 128;

impl Object for Ids {
    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (prefix, length): (String, usize) = minijinja::value::from_args(args)?;
        if length > LONGEST_ID {
            return Err(Error::new(ErrorKind::InvalidOperation, "an id has at most 128 characters"));
        }
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        let mut id = prefix;
        let mut block = 0u32;
        let wanted = id.len() + length;
        while id.len() < wanted {
            let hash = Sha256::new()
                .chain_update(self.seed.to_be_bytes())
                .chain_update(number.to_be_bytes())
                .chain_update(block.to_be_bytes())
                .finalize();
            let letters = hash.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
            id.extend(letters.take(wanted - id.len()));
            block += 1;
        }
        Ok(Value::from(id))
    }
}
