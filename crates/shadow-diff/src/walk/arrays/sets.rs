//! Two arrays that are sets.

use std::collections::HashSet;

use super::Walk;
use crate::align::{Item, Matching};
use crate::loose::Width;
use crate::rules::Rule;

impl Walk<'_, '_, '_> {
    /// Repeated elements count once, and so do those that the rules count as equal to one of the other side: each is compared with
    /// the nearest one there.
    pub(super) fn sets(&mut self, ours: Vec<Item>, theirs: Vec<Item>, rule: &Rule) {
        let once = |items: &[Item]| {
            let mut seen = HashSet::with_capacity(items.len());
            items.iter().filter(|item| seen.insert(item.strict)).copied().collect::<Vec<_>>()
        };
        let (mut left, mut right) = (once(&ours), once(&theirs));
        let repeated = left.len() < ours.len() || right.len() < theirs.len();
        let mut matching = Matching::by(left.clone(), right.clone(), |item| item.strict);
        let mut compared = HashSet::new();
        for width in [Width::Narrow, Width::Wide] {
            let none_left = matching.ours.is_empty() && matching.theirs.is_empty();
            if none_left || !self.loosen(width, &mut left, &mut right) {
                break;
            }
            self.loosen(width, &mut matching.ours, &mut matching.theirs);
            left.sort_by(Item::by_rank);
            right.sort_by(Item::by_rank);
            let mut again = Vec::new();
            let mut pair = |a: Item, b: Item| {
                // Of a value that says all, one that is too far away is none.
                let near = width == Width::Wide || !(a.sorted && b.sorted) || self.near(&a, &b);
                if near && compared.insert((a.index, b.index)) {
                    again.push((a, b));
                }
                near
            };
            matching.ours.retain(|item| !nearest(&right, item).is_some_and(|other| pair(*item, other)));
            matching.theirs.retain(|item| !nearest(&left, item).is_some_and(|other| pair(other, *item)));
            matching.pairs.append(&mut again);
        }
        if self.work.exhausted() {
            return;
        }
        if repeated || !matching.rises() {
            self.decided(rule);
        }
        self.matched(matching);
    }
}

/// Of items sorted by hash and rank, the nearest one of the same loose hash.
fn nearest(sorted: &[Item], item: &Item) -> Option<Item> {
    let at = sorted.partition_point(|other| Item::by_rank(other, item).is_lt());
    let candidates = [sorted.get(at), at.checked_sub(1).and_then(|before| sorted.get(before))];
    let alike = candidates.into_iter().flatten().filter(|other| other.loose == item.loose);
    let away = |other: &Item| (other.rank - item.rank).abs();
    alike.min_by(|a, b| away(a).total_cmp(&away(b))).copied()
}
