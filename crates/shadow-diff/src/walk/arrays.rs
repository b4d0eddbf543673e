//! Two arrays that differ: which elements are compared with which.
//!
//! Equal elements are taken out first, by hash. Of what is left, elements that agree in the member that tells most of them apart
//! belong together, then whatever stands next; a surplus is missing or added.

use std::collections::{HashMap, HashSet};

use super::{Reached, Task, Walk};
use crate::align::{Item, Matching};
use crate::difference::DifferenceKind;
use crate::document::{Document, Id, Kind};
use crate::excerpt::{self, EXCERPT};
use crate::hash::{self, HashKeyed};
use crate::path::{Child, JsonPath};
use crate::rules::{ArrayOrder, Rule, Treatment};

impl<'a> Walk<'a, '_, '_> {
    pub(super) fn arrays(&mut self, a: Id, b: Id) {
        self.work.add(4 * (self.ours.document.count(a) + self.theirs.document.count(b)));
        let (ours, theirs) = self.counting(a, b);
        if self.work.exhausted() {
            return;
        }
        let order = self.scope.here().find_map(|rule| match &rule.treatment {
            Treatment::Order(order) => Some((rule, order)),
            _ => None,
        });
        match (self.scope.shape(), order) {
            (Some(rule), _) => self.shapes(ours, theirs, rule),
            (None, None) => self.in_order(ours, theirs),
            (None, Some((rule, ArrayOrder::Multiset))) => {
                let matching = Matching::by_meaning(ours.clone(), theirs.clone(), |a, b| self.loosen(a, b));
                if !matching.rises() {
                    self.decided(rule);
                }
                self.matched(matching);
            }
            (None, Some((rule, ArrayOrder::Set))) => self.sets(ours, theirs, rule),
            (None, Some((rule, ArrayOrder::Keyed(key)))) => self.keyed(ours, theirs, rule, key),
        }
    }

    /// Gives the elements their loose hashes. Whether those may differ from the strict ones.
    fn loosen(&self, ours: &mut [Item], theirs: &mut [Item]) -> bool {
        if self.scope.is_quiet() {
            return false;
        }
        for (side, items) in [(&self.ours, ours), (&self.theirs, theirs)] {
            let loose = side.loose(&self.root, self.work);
            for item in items {
                (item.loose, item.rank) = (loose.hash(item.id), loose.rank(item.id));
            }
        }
        true
    }

    /// The elements that are not ignored.
    fn counting(&mut self, a: Id, b: Id) -> (Vec<Item>, Vec<Item>) {
        let items = |document: &Document, array: Id| -> Vec<Item> {
            let item = |(index, id)| {
                let strict = document.hash(id);
                Item { index, id, strict, loose: strict, rank: f64::NAN }
            };
            (0..).zip(document.children(array)).map(item).collect()
        };
        let (ours, theirs) = (items(self.ours.document, a), items(self.theirs.document, b));
        if !self.scope.may_ignore() {
            return (ours, theirs);
        }
        let mut left_out: [Vec<u128>; 2] = Default::default();
        let mut by = None;
        let mut sides = [ours, theirs];
        for (side, left_out) in sides.iter_mut().zip(&mut left_out) {
            side.retain(|item| {
                if self.work.exhausted() {
                    return true;
                }
                let rule = self.scope.ignores(Child::Index(item.index));
                if let Some(rule) = rule {
                    left_out.push(item.strict);
                    by = Some(rule);
                }
                rule.is_none()
            });
        }
        if let (Some(rule), true) = (by, left_out[0] != left_out[1]) {
            self.decided(rule);
        }
        sides.into()
    }

    /// Position by position, unless most elements only moved because one was inserted or left out.
    fn in_order(&mut self, ours: Vec<Item>, theirs: Vec<Item>) {
        let alike = |(a, b): &(&Item, &Item)| a.strict == b.strict;
        let start = ours.iter().zip(&theirs).take_while(alike).count();
        let end = ours[start..].iter().rev().zip(theirs[start..].iter().rev()).take_while(alike).count();
        let (mut left, mut right) =
            (ours[start..ours.len() - end].to_vec(), theirs[start..theirs.len() - end].to_vec());
        self.loosen(&mut left, &mut right);
        if self.work.exhausted() {
            return;
        }
        let in_place = left.iter().zip(&right).filter(|(a, b)| a.loose != b.loose).count();
        let matching = Matching::by(left.clone(), right.clone(), |item| item.loose);
        if left.len() == right.len() && in_place == matching.ours.len() {
            return self.pairs(left.iter().zip(&right));
        }
        if !matching.may_rise(&left, &right) {
            self.reordered(&left, &right);
        }
        self.matched(matching);
    }

    fn reordered(&mut self, left: &[Item], right: &[Item]) {
        let (ours, theirs) = (self.ours.document, self.theirs.document);
        self.found(DifferenceKind::Order, "reordered".to_owned(), || (listing(ours, left), listing(theirs, right)));
    }

    /// Repeated elements count once, and so do those that the rules count as equal to one of the other side.
    fn sets(&mut self, ours: Vec<Item>, theirs: Vec<Item>, rule: &Rule) {
        let once = |items: &[Item]| {
            let mut seen = HashSet::with_capacity(items.len());
            items.iter().filter(|item| seen.insert(item.strict)).copied().collect::<Vec<_>>()
        };
        let (mut left, mut right) = (once(&ours), once(&theirs));
        let mut matching = Matching::by_meaning(left.clone(), right.clone(), |a, b| self.loosen(a, b));
        let repeated = left.len() < ours.len() || right.len() < theirs.len();
        if repeated || !matching.rises() {
            self.decided(rule);
        }
        let none_left = matching.ours.is_empty() && matching.theirs.is_empty();
        if none_left || !self.loosen(&mut left, &mut right) {
            return self.matched(matching);
        }
        self.loosen(&mut matching.ours, &mut matching.theirs);
        let first = |items: &[Item]| items.iter().rev().map(|item| (item.loose, *item)).collect::<HashKeyed<_>>();
        let (of_ours, of_theirs) = (first(&left), first(&right));
        let mut again = Vec::new();
        matching.ours.retain(|item| match of_theirs.get(&item.loose) {
            Some(other) => {
                again.push((*item, *other));
                false
            }
            None => true,
        });
        matching.theirs.retain(|item| match of_ours.get(&item.loose) {
            Some(other) => {
                again.push((*other, *item));
                false
            }
            None => true,
        });
        if !again.is_empty() {
            self.decided(rule);
        }
        matching.pairs.append(&mut again);
        self.matched(matching);
    }

    /// By the value of a member. Elements of one key belong together in their order; those without one are a multiset.
    fn keyed(&mut self, ours: Vec<Item>, theirs: Vec<Item>, rule: &Rule, key: &JsonPath) {
        // An element that has a key is known by it from here on.
        let split = |document: &Document, items: &[Item]| {
            let (mut with, mut without) = (Vec::with_capacity(items.len()), Vec::new());
            for &item in items {
                match key.find(document, item.id).to() {
                    Some(at) => with.push(Item { strict: document.hash(at), loose: document.hash(at), ..item }),
                    None => without.push(item),
                }
            }
            (with, without)
        };
        let (with, without) = split(self.ours.document, &ours);
        let (their_with, their_without) = split(self.theirs.document, &theirs);
        let loosen = |ours: &mut [Item], theirs: &mut [Item]| {
            for (side, items) in
                [(&self.ours, ours), (&self.theirs, theirs)].into_iter().filter(|_| !self.scope.is_quiet())
            {
                let loose = side.loose(&self.root, self.work);
                for item in items {
                    item.loose = key.find(side.document, item.id).to().map_or(item.strict, |at| loose.hash(at));
                }
            }
            true
        };
        let matching = Matching::by_meaning(with.clone(), their_with.clone(), loosen);
        let rest = Matching::by_meaning(without.clone(), their_without.clone(), |a, b| self.loosen(a, b));
        let moved = !matching.rises() || !rest.rises();
        if moved || !matching.ours.is_empty() || !matching.theirs.is_empty() {
            self.decided(rule);
        }
        self.pairs(matching.pairs.iter().map(|(a, b)| (a, b)));
        self.surplus(&matching.ours, &matching.theirs);
        self.matched(rest);
    }

    /// An empty array has elements of every shape. Others have the same shapes of elements, in any number and order.
    fn shapes(&mut self, mut ours: Vec<Item>, mut theirs: Vec<Item>, rule: &Rule) {
        self.decided(rule);
        self.loosen(&mut ours, &mut theirs);
        let (Some(&first), Some(&their_first)) = (ours.first(), theirs.first()) else { return };
        let once = |items: Vec<Item>| {
            let mut seen = HashSet::with_capacity(items.len());
            items.into_iter().filter(|item| seen.insert(item.loose)).collect::<Vec<_>>()
        };
        let matching = Matching::by(once(ours), once(theirs), |item| item.loose);
        let paired = matching.ours.len().min(matching.theirs.len());
        let pairs: Vec<_> = matching.ours.iter().copied().zip(matching.theirs.iter().copied()).collect();
        let more = matching.ours[paired..].iter().map(|&item| (item, their_first));
        let their_more = matching.theirs[paired..].iter().map(|&item| (first, item));
        let all: Vec<_> = pairs.into_iter().chain(more).chain(their_more).collect();
        // A representative may be compared often, which the work's budget ends.
        self.pairs(all.iter().map(|(a, b)| (a, b)));
    }

    /// Compares what belongs together, and what is left as well as it can be told.
    fn matched(&mut self, matching: Matching) {
        self.pairs(matching.pairs.iter().map(|(a, b)| (a, b)));
        let rest = self.by_telling_member(matching.ours, matching.theirs);
        self.pairs(rest.pairs.iter().map(|(a, b)| (a, b)));
        let paired = rest.ours.len().min(rest.theirs.len());
        self.pairs(rest.ours.iter().zip(&rest.theirs));
        self.surplus(&rest.ours[paired..], &rest.theirs[paired..]);
    }

    /// Matches objects by the member whose values tell most of them apart, an ID for instance.
    fn by_telling_member(&mut self, ours: Vec<Item>, theirs: Vec<Item>) -> Matching {
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

    fn pairs<'i>(&mut self, pairs: impl Iterator<Item = (&'i Item, &'i Item)>) {
        let (ours, theirs) = (self.ours.document, self.theirs.document);
        let differing = pairs.filter(|(a, b)| ours.hash(a.id) != theirs.hash(b.id));
        self.inside.extend(differing.map(|(a, b)| Task::Compare {
            ours: Some(a.id),
            theirs: Some(b.id),
            step: Reached::Element(a.index),
        }));
    }

    fn surplus(&mut self, ours: &[Item], theirs: &[Item]) {
        let missing =
            |item: &Item| Task::Compare { ours: Some(item.id), theirs: None, step: Reached::Element(item.index) };
        let added =
            |item: &Item| Task::Compare { ours: None, theirs: Some(item.id), step: Reached::Element(item.index) };
        self.inside.extend(ours.iter().map(missing));
        self.inside.extend(theirs.iter().map(added));
    }
}

fn listing(document: &Document, items: &[Item]) -> String {
    let mut out = String::from("[");
    for (at, item) in items.iter().enumerate() {
        if out.len() > EXCERPT {
            break;
        }
        out.push_str(if at > 0 { "," } else { "" });
        out.push_str(&excerpt::json(document, item.id));
    }
    out.push(']');
    excerpt::head(&out)
}
