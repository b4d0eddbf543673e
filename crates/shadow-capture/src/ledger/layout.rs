//! How an account is written down. Pure: bytes in, bytes out.
//!
//! ```text
//! header, 1024 bytes   magic, version, epoch, who counts, checksum of all that does not change
//! 48 slots of 64       what the counter is called, what kind it is, the counter itself
//! ```
//!
//! Slots carry their names and kinds, so an agent of another version balances an account whose reasons it has never heard of.
//!
//! Guarantee: bytes that are not an account, whole and of this layout, are told from one; nothing is guessed.

use super::page::{HEADER, LEN, SLOT, SLOTS, VALUE};

const MAGIC: &[u8; 8] = b"SHDWACCT";
/// Layout of the file; another one gets another number.
const VERSION: u32 = 1;
/// Where the header's checksum stands.
const CHECKSUM: usize = HEADER - size_of::<u64>();
/// Most bytes of each text of the header; names are shorter, a list of brokers may be cut.
const TEXT: usize = 300;
/// Where in its slot a counter's kind stands.
const KIND: usize = VALUE - 1;

/// Whose account it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Logical service.
    pub(crate) service: String,
    /// The agent.
    pub(crate) instance: String,
    /// Where its records and heartbeats go: the configured brokers.
    pub(crate) brokers: String,
    /// Start of the process, microseconds since 1970.
    pub(crate) epoch: i64,
}

impl Label {
    /// The label as a file holds it.
    pub(crate) fn cut(mut self) -> Self {
        for text in [&mut self.service, &mut self.instance, &mut self.brokers] {
            text.truncate(text.floor_char_boundary(TEXT));
        }
        self
    }
}

/// What a counter says of requests. Everything a reader must know to balance an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Entered.
    Seen,
    /// Given to the Kafka client.
    Handed,
    /// Settled without having been handed to Kafka.
    Early,
    /// Settled by Kafka's word.
    Late,
    /// Not of requests: 1 once the account is closed.
    Closed,
}

impl Kind {
    const ALL: [(Self, u8); 5] =
        [(Self::Seen, b's'), (Self::Handed, b'h'), (Self::Early, b'e'), (Self::Late, b'l'), (Self::Closed, b'c')];

    fn byte(self) -> u8 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, byte)| *byte)
    }

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == byte).map(|(kind, _)| *kind)
    }
}

/// One counter as read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) value: u64,
}

/// Why bytes are no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Cut, or something else.
    #[error("it is {0} bytes long and an account {LEN}")]
    Length(usize),
    /// Something else.
    #[error("it does not begin as an account does")]
    Foreign,
    /// Written by another version of the agent.
    #[error("its layout is version {0} and this agent knows version {VERSION}")]
    Version(u32),
    /// Damaged.
    #[error("its checksum does not fit")]
    Damaged,
    /// Whole, and yet no sum of requests.
    #[error("its counters contradict each other")]
    Impossible,
}

/// A fresh account: every counter at 0.
///
/// # Panics
/// With more counters than slots, or a longer name than a slot holds; both are constants of the ledger.
pub(super) fn encode(label: &Label, counters: &[(Kind, String)]) -> [u8; LEN] {
    assert!(counters.len() <= SLOTS, "an account has {SLOTS} slots");
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&label.epoch.to_le_bytes());
    let mut at = 24;
    for text in [&label.service, &label.instance, &label.brokers] {
        let length = text.floor_char_boundary(TEXT);
        bytes[at..at + 2].copy_from_slice(&(length as u16).to_le_bytes());
        bytes[at + 2..at + 2 + length].copy_from_slice(&text.as_bytes()[..length]);
        at += 2 + length;
    }
    for ((kind, name), slot) in counters.iter().zip(bytes[HEADER..].chunks_exact_mut(SLOT)) {
        slot[..name.len()].copy_from_slice(name.as_bytes());
        slot[KIND] = kind.byte();
    }
    let checksum = checksum(&bytes);
    bytes[CHECKSUM..HEADER].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The account that `bytes` hold.
///
/// # Errors
/// Why they hold none.
pub(super) fn decode(bytes: &[u8]) -> Result<(Label, Vec<Entry>), Unreadable> {
    if bytes.len() >= 12 && bytes[..8] != *MAGIC {
        return Err(Unreadable::Foreign);
    }
    if bytes.len() >= 12 && word(bytes, 8) as u32 != VERSION {
        return Err(Unreadable::Version(word(bytes, 8) as u32));
    }
    let bytes: &[u8; LEN] = bytes.try_into().map_err(|_| Unreadable::Length(bytes.len()))?;
    if word(bytes, CHECKSUM) != checksum(bytes) {
        return Err(Unreadable::Damaged);
    }
    let mut at = 24;
    let mut text = || {
        let length = usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let text = bytes[..CHECKSUM].get(at + 2..at + 2 + length).ok_or(Unreadable::Damaged)?;
        at += 2 + length;
        Ok(String::from_utf8_lossy(text).into_owned())
    };
    let (service, instance, brokers) = (text()?, text()?, text()?);
    let label = Label { service, instance, brokers, epoch: word(bytes, 16) as i64 };
    let entries = bytes[HEADER..].chunks_exact(SLOT).filter(|slot| slot[KIND] != 0).map(entry);
    Ok((label, entries.collect::<Result<_, _>>()?))
}

fn entry(slot: &[u8]) -> Result<Entry, Unreadable> {
    let kind = Kind::of(slot[KIND]).ok_or(Unreadable::Damaged)?;
    let name = slot[..KIND].split(|byte| *byte == 0).next().unwrap_or_default();
    // As the processor that counted wrote it; a file does not leave its host.
    let value = u64::from_ne_bytes(slot[VALUE..].try_into().map_err(|_| Unreadable::Damaged)?);
    Ok(Entry { kind, name: String::from_utf8_lossy(name).into_owned(), value })
}

/// Eight bytes at a place, those that are there.
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    let there = &bytes[at..bytes.len().min(at + 8)];
    word[..there.len()].copy_from_slice(there);
    u64::from_le_bytes(word)
}

/// FNV-1a of everything but itself and the counters: it tells damage, not malice.
fn checksum(bytes: &[u8; LEN]) -> u64 {
    let names = bytes[HEADER..].chunks_exact(SLOT).flat_map(|slot| &slot[..VALUE]);
    let fixed = bytes[..CHECKSUM].iter().chain(names);
    fixed.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label { service: "shop".into(), instance: "a-1".into(), brokers: "k1:9092,k2:9092".into(), epoch: 17 }
    }

    fn account() -> [u8; LEN] {
        encode(&label(), &[(Kind::Seen, "seen".into()), (Kind::Late, "a-reason-of-tomorrow".into())])
    }

    #[test]
    fn an_account_is_read_as_it_was_written_with_what_was_counted_since() {
        let mut bytes = account();
        bytes[HEADER + SLOT + VALUE..HEADER + 2 * SLOT].copy_from_slice(&7_u64.to_ne_bytes());
        let (read, entries) = decode(&bytes).unwrap();
        assert_eq!(read, label());
        let entry = |kind, name: &str, value| Entry { kind, name: name.into(), value };
        assert_eq!(entries, [entry(Kind::Seen, "seen", 0), entry(Kind::Late, "a-reason-of-tomorrow", 7)]);
    }

    #[test]
    fn a_list_of_brokers_that_is_too_long_is_cut_and_still_recognised() {
        let long = Label { brokers: "ä".repeat(999), ..label() };
        let (read, _) = decode(&encode(&long, &[])).unwrap();
        assert_eq!(read, long.cut());
    }

    #[test]
    fn what_is_no_account_is_told_from_one_and_why() {
        let bytes = account();
        assert_eq!(decode(&[]), Err(Unreadable::Length(0)));
        assert_eq!(decode(&bytes[..LEN - 1]), Err(Unreadable::Length(LEN - 1)));
        assert_eq!(decode(&[b'x'; LEN]), Err(Unreadable::Foreign));
        assert_eq!(decode(&[0; LEN]), Err(Unreadable::Foreign));
        let mut other = bytes;
        other[8] = 2;
        assert_eq!(decode(&other), Err(Unreadable::Version(2)));
        assert_eq!(decode(&other[..64]), Err(Unreadable::Version(2)), "of whatever length");
    }

    #[test]
    fn a_changed_byte_anywhere_but_in_a_counter_is_noticed() {
        let whole = account();
        for at in (0..LEN).filter(|at| *at < HEADER || (at - HEADER) % SLOT < VALUE) {
            let mut bytes = whole;
            bytes[at] ^= 1;
            assert!(decode(&bytes).is_err(), "byte {at}");
        }
    }
}
