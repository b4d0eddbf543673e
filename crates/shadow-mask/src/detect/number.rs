//! Groups of digits as people write numbers, for the detectors of cards, social security and telephone numbers.

use std::ops::Range;

/// Digits without anything between them, and what joins them to the group before.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) at: Range<usize>,
    /// The single byte between this group and the one before; 0 where something else stands between.
    pub(crate) joined_by: u8,
}

impl Group {
    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }
}

/// Every group of digits. A group that touches a letter is none.
pub(crate) fn groups(text: &[u8]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < text.len() && text[at].is_ascii_digit() {
            at += 1;
        }
        let touches = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
        if touches(start.checked_sub(1).map(|before| &text[before])) || touches(text.get(at)) {
            continue;
        }
        let joined_by = match groups.last() {
            Some(last) if last.at.end + 1 == start => text[start - 1],
            _ => 0,
        };
        groups.push(Group { at: start..at, joined_by });
    }
    groups
}
