//! Which elements of two arrays belong together: by hash, in time linear in their number but for a sort.

use crate::document::Id;
use crate::hash::HashKeyed;

/// An element that is to be matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) index: u32,
    pub(crate) id: Id,
    /// Of its meaning.
    pub(crate) strict: u128,
    /// Of what the rules leave of it, once that is asked for; until then the same.
    pub(crate) loose: u128,
    /// Its place among those of its loose hash; not a number where there is none.
    pub(crate) rank: f64,
}

/// Elements that belong together, and those left over on each side, in the order of the arrays.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    pub(crate) pairs: Vec<(Item, Item)>,
    pub(crate) ours: Vec<Item>,
    pub(crate) theirs: Vec<Item>,
}

impl Matching {
    /// Matches elements of equal keys, which are hashes; of several, the first with the first.
    pub(crate) fn by(ours: Vec<Item>, theirs: Vec<Item>, key: impl Fn(&Item) -> u128) -> Self {
        // For each key, the first of their elements not yet taken; each element knows the next of its key.
        let mut first: HashKeyed<usize> = HashKeyed::with_capacity_and_hasher(theirs.len(), Default::default());
        let mut next = vec![usize::MAX; theirs.len()];
        for (at, item) in theirs.iter().enumerate().rev() {
            if let Some(later) = first.insert(key(item), at) {
                next[at] = later;
            }
        }
        let mut taken = vec![false; theirs.len()];
        let mut matching = Self::default();
        for item in ours {
            match first.get_mut(&key(&item)).filter(|at| **at != usize::MAX) {
                Some(at) => {
                    matching.pairs.push((item, theirs[*at]));
                    taken[*at] = true;
                    *at = next[*at];
                }
                None => matching.ours.push(item),
            }
        }
        matching.theirs.extend(theirs.into_iter().zip(taken).filter(|(_, taken)| !taken).map(|(item, _)| item));
        matching
    }

    /// Matches equal elements, then those that the rules may count as equal, nearest first: `loosen` says which those are.
    pub(crate) fn by_meaning(
        ours: Vec<Item>,
        theirs: Vec<Item>,
        loosen: impl FnOnce(&mut [Item], &mut [Item]) -> bool,
    ) -> Self {
        let Self { mut pairs, mut ours, mut theirs } = Self::by(ours, theirs, |item| item.strict);
        if ours.is_empty() || theirs.is_empty() || !loosen(&mut ours, &mut theirs) {
            return Self { pairs, ours, theirs };
        }
        for side in [&mut ours, &mut theirs] {
            side.sort_by(|a, b| a.rank.total_cmp(&b.rank));
        }
        let mut loose = Self::by(ours, theirs, |item| item.loose);
        pairs.append(&mut loose.pairs);
        for side in [&mut loose.ours, &mut loose.theirs] {
            side.sort_by_key(|item| item.index);
        }
        Self { pairs, ..loose }
    }

    /// Whether what belongs together stands in the same order on both sides.
    pub(crate) fn rises(&self) -> bool {
        let mut pairs: Vec<_> = self.pairs.iter().map(|(a, b)| (a.index, b.index)).collect();
        pairs.sort_unstable();
        pairs.windows(2).all(|two| two[0].1 < two[1].1)
    }

    /// The same of all elements of two arrays, when it may be any of several equal ones that belongs to one.
    pub(crate) fn may_rise(&self, ours: &[Item], theirs: &[Item]) -> bool {
        let reversed = |items: &[Item]| items.iter().rev().copied().collect::<Vec<_>>();
        self.rises() || Self::by(reversed(ours), reversed(theirs), |item| item.loose).rises()
    }
}
