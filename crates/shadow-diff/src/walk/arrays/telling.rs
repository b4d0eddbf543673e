//! What is left of two arrays after all that is equal: objects that still belong together.

use std::collections::HashMap;

use super::Walk;
use crate::align::{Item, Matching};
use crate::document::{Document, Kind};
use crate::hash::{self, HashKeyed};

impl Walk<'_, '_, '_> {
    /// Matches objects by the member whose values tell most of them apart, an ID for instance.
    pub(super) fn by_telling_member(&mut self, ours: Vec<Item>, theirs: Vec<Item>) -> Matching {
        if ours.is_empty() || theirs.is_empty() || ours.len() + theirs.len() == 2 {
            return Matching { pairs: Vec::new(), ours, theirs };
        }
        // How often each value of each member occurs on either side.
        let mut counts: HashKeyed<(&str, [u32; 2])> = HashKeyed::default();
        for (side, (document, items)) in
            [(self.ours.document, &ours), (self.theirs.document, &theirs)].into_iter().enumerate()
        {
            for item in items.iter().filter(|item| document.kind(item.id) == Kind::Object) {
                self.work.add(document.count(item.id));
                for member in document.children(item.id) {
                    let name = document.name(member);
                    counts.entry(hash::member(name, document.hash(member))).or_insert((name, [0; 2])).1[side] += 1;
                }
            }
        }
        let mut telling: HashMap<&str, usize> = HashMap::new();
        for (name, _) in counts.values().filter(|(_, counts)| *counts == [1, 1]) {
            *telling.entry(name).or_default() += 1;
        }
        let best = telling.into_iter().max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.cmp(a)));
        let Some((name, _)) = best else { return Matching { pairs: Vec::new(), ours, theirs } };
        let value = |document: &Document, item: &Item| {
            let object = document.kind(item.id) == Kind::Object;
            let member = object.then(|| document.children(item.id).find(|&member| document.name(member) == name));
            let share = member.flatten().map(|member| hash::member(name, document.hash(member)));
            share.filter(|share| counts[share].1 == [1, 1])
        };
        let keyed = |document: &Document, items: Vec<Item>| -> (Vec<Item>, Vec<Item>) {
            let (with, without): (Vec<_>, Vec<_>) =
                items.into_iter().map(|item| (value(document, &item), item)).partition(|(value, _)| value.is_some());
            let with =
                with.into_iter().map(|(value, item)| Item { loose: value.unwrap_or_default(), ..item }).collect();
            (with, without.into_iter().map(|(_, item)| item).collect())
        };
        let ((left, ours), (right, theirs)) = (keyed(self.ours.document, ours), keyed(self.theirs.document, theirs));
        let matching = Matching::by(left, right, |item| item.loose);
        Matching { pairs: matching.pairs, ours, theirs }
    }
}
