//! Which elements of two arrays belong together: by hash, in time linear in their number but for a sort.

use std::cmp::Ordering;

use crate::document::Id;
use crate::hash::HashKeyed;
use crate::loose::Width;

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
    /// Whether that place says all about which of those are near.
    pub(crate) sorted: bool,
}

impl Item {
    /// By loose hash, then by rank.
    pub(crate) fn by_rank(a: &Self, b: &Self) -> Ordering {
        a.loose.cmp(&b.loose).then(a.rank.total_cmp(&b.rank))
    }
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

    /// Matches equal elements, then those that the rules may count as equal: nearest ones, and of what is sorted by one value alone
    /// only those that are `near`.
    pub(crate) fn by_meaning(
        ours: Vec<Item>,
        theirs: Vec<Item>,
        loosen: impl Fn(Width, &mut [Item], &mut [Item]) -> bool,
        near: impl Fn(&Item, &Item) -> bool,
    ) -> Self {
        let Self { mut pairs, mut ours, mut theirs } = Self::by(ours, theirs, |item| item.strict);
        if ours.is_empty() || theirs.is_empty() || !loosen(Width::Narrow, &mut ours, &mut theirs) {
            return Self { pairs, ours, theirs };
        }
        // Where some are left over on both sides, an equal one may have to make place for a near one.
        let left: HashKeyed<()> = theirs.iter().map(|item| (item.loose, ())).collect();
        let contested: HashKeyed<()> =
            ours.iter().filter(|item| left.contains_key(&item.loose)).map(|item| (item.loose, ())).collect();
        let (mut a, mut b): (Vec<_>, Vec<_>) = pairs.drain(..).unzip();
        loosen(Width::Narrow, &mut a, &mut b);
        for (a, b) in a.into_iter().zip(b) {
            if a.sorted && b.sorted && contested.contains_key(&a.loose) {
                ours.push(a);
                theirs.push(b);
            } else {
                pairs.push((a, b));
            }
        }
        let Self { pairs: mut nearest, mut ours, mut theirs } = Self::by_rank(ours, theirs, near);
        pairs.append(&mut nearest);
        if !ours.is_empty() && !theirs.is_empty() && loosen(Width::Wide, &mut ours, &mut theirs) {
            let mut wide = Self::by_rank(ours, theirs, |_, _| true);
            pairs.append(&mut wide.pairs);
            (ours, theirs) = (wide.ours, wide.theirs);
        }
        for side in [&mut ours, &mut theirs] {
            side.sort_unstable_by_key(|item| item.index);
        }
        Self { pairs, ours, theirs }
    }

    /// Of one loose hash, the lowest with the lowest where they are near, which leaves over as few as can be.
    fn by_rank(mut ours: Vec<Item>, mut theirs: Vec<Item>, near: impl Fn(&Item, &Item) -> bool) -> Self {
        for side in [&mut ours, &mut theirs] {
            side.sort_by(Item::by_rank);
        }
        let mut matching = Self::default();
        let (mut ours, mut theirs) = (ours.into_iter().peekable(), theirs.into_iter().peekable());
        while let (Some(a), Some(b)) = (ours.peek().copied(), theirs.peek().copied()) {
            let pair = a.loose == b.loose && (!a.sorted || !b.sorted || near(&a, &b));
            let order = if pair { Ordering::Equal } else { Item::by_rank(&a, &b) };
            match (pair, order) {
                (true, _) => {
                    matching.pairs.push((a, b));
                    ours.next();
                    theirs.next();
                }
                (false, Ordering::Greater) => matching.theirs.extend(theirs.next()),
                (false, _) => matching.ours.extend(ours.next()),
            }
        }
        matching.ours.extend(ours);
        matching.theirs.extend(theirs);
        matching
    }

    /// Whether what belongs together stands in the same order on both sides.
    pub(crate) fn rises(&self) -> bool {
        let mut pairs: Vec<_> = self.pairs.iter().map(|(a, b)| (a.index, b.index)).collect();
        pairs.sort_unstable();
        pairs.windows(2).all(|two| two[0].1 < two[1].1)
    }

    /// This matching of all elements of two arrays, or another one that rises, since any of several equal ones may belong to one.
    pub(crate) fn or_rising(self, ours: &[Item], theirs: &[Item]) -> Self {
        if self.rises() {
            return self;
        }
        let reversed = |items: &[Item]| items.iter().rev().copied().collect::<Vec<_>>();
        let mut other = Self::by(reversed(ours), reversed(theirs), |item| item.loose);
        other.ours.reverse();
        other.theirs.reverse();
        if other.rises() { other } else { self }
    }

    /// For each of the pairs whether it crosses one of this matching, which rises.
    pub(crate) fn crossed_by(&self, pairs: &[(Item, Item)]) -> Vec<bool> {
        let mut own: Vec<_> = self.pairs.iter().map(|(a, b)| (a.index, b.index)).collect();
        own.sort_unstable();
        let crosses = |(a, b): &(Item, Item)| {
            let before = own.partition_point(|pair| pair.0 < a.index);
            let earlier = before.checked_sub(1).and_then(|at| own.get(at));
            earlier.is_some_and(|pair| pair.1 > b.index) || own.get(before).is_some_and(|pair| pair.1 < b.index)
        };
        pairs.iter().map(crosses).collect()
    }
}
