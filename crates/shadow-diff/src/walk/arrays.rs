//! Two arrays that differ: which elements are compared with which.
//!
//! Equal elements are taken out first, by hash. Of what is left, elements that agree in the member that tells most of them apart
//! belong together, then whatever stands next; a surplus is missing or added.

use std::collections::HashSet;

use super::{REORDERED, Reached, Side, Task, Walk};
use crate::align::{Item, Matching};
use crate::difference::DifferenceKind;
use crate::document::{Document, Id, Kind};
use crate::excerpt::{self, EXCERPT};
use crate::loose::{self, Width};
use crate::path::{Child, JsonPath};
use crate::rules::{ArrayOrder, Rule, Treatment};
use crate::value::Scalar;

mod sets;
mod telling;

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
                let matching = self.by_meaning(ours, theirs);
                if self.work.exhausted() {
                    return;
                }
                if !matching.rises() {
                    self.decided(rule);
                }
                self.matched(matching);
            }
            (None, Some((rule, ArrayOrder::Set))) => self.sets(ours, theirs, rule),
            (None, Some((rule, ArrayOrder::Keyed(key)))) => self.keyed(ours, theirs, rule, key),
        }
    }

    /// Gives the elements their loose hashes. Whether those may differ from the ones they had.
    fn loosen(&self, width: Width, ours: &mut [Item], theirs: &mut [Item]) -> bool {
        if !self.may_loosen(width) {
            return false;
        }
        for (side, items) in [(&self.ours, ours), (&self.theirs, theirs)] {
            let loose = side.loose(width, &self.root, self.work);
            for item in items {
                let rank = loose.rank(item.id);
                item.loose = loose.hash(item.id);
                item.rank = rank.map_or(f64::NAN, |rank| rank.value);
                item.sorted = rank.is_some_and(|rank| rank.only);
            }
        }
        true
    }

    fn may_loosen(&self, width: Width) -> bool {
        let mut sides = [&self.ours, &self.theirs].into_iter();
        let wider = |side: &Side<'a>| side.loose(Width::Narrow, &self.root, self.work).may_be_wider();
        !self.scope.is_quiet() && (width == Width::Narrow || sides.any(wider))
    }

    /// Whether the values by which two elements are sorted count as equal.
    fn near(&self, a: &Item, b: &Item) -> bool {
        let rank = |side: &Side<'a>, item: &Item| side.loose(Width::Narrow, &self.root, self.work).rank(item.id);
        let (Some(x), Some(y)) = (rank(&self.ours, a), rank(&self.theirs, b)) else { return true };
        let scalars = (Scalar::of(self.ours.document, x.scalar), Scalar::of(self.theirs.document, y.scalar));
        match scalars {
            (Some(x_scalar), Some(y_scalar)) => {
                self.work.add(x_scalar.text.len() + y_scalar.text.len());
                let same = self.ours.document.hash(x.scalar) == self.theirs.document.hash(y.scalar);
                same || x.by.holds(x_scalar, y_scalar)
            }
            _ => true,
        }
    }

    fn by_meaning(&self, ours: Vec<Item>, theirs: Vec<Item>) -> Matching {
        Matching::by_meaning(ours, theirs, |width, a, b| self.loosen(width, a, b), |a, b| self.near(a, b))
    }

    /// The elements that are not ignored.
    fn counting(&mut self, a: Id, b: Id) -> (Vec<Item>, Vec<Item>) {
        let items = |document: &Document, array: Id| -> Vec<Item> {
            let item = |(index, id)| {
                let strict = document.hash(id);
                Item { index, id, strict, loose: strict, rank: f64::NAN, sorted: false }
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
        self.loosen(Width::Narrow, &mut left, &mut right);
        if self.work.exhausted() {
            return;
        }
        let in_place = left.iter().zip(&right).filter(|(a, b)| a.loose != b.loose).count();
        let mut matching = Matching::by(left.clone(), right.clone(), |item| item.loose);
        if left.len() == right.len() && in_place == matching.ours.len() {
            return self.pairs(left.iter().zip(&right));
        }
        matching = matching.or_rising(&left, &right);
        let rest = self.by_telling_member(std::mem::take(&mut matching.ours), std::mem::take(&mut matching.theirs));
        matching.pairs.extend(rest.pairs);
        let ordered = matching.rises();
        if !ordered {
            self.reordered(&left, &right);
        }
        self.pairs(matching.pairs.iter().map(|(a, b)| (a, b)));
        let next: Vec<_> = rest.ours.iter().copied().zip(rest.theirs.iter().copied()).collect();
        let moved = if ordered { matching.crossed_by(&next) } else { vec![false; next.len()] };
        for (pair, moved) in next.iter().zip(moved) {
            self.next_to_one_another(pair, moved);
        }
        self.surplus(&rest.ours[next.len()..], &rest.theirs[next.len()..]);
    }

    /// Two that are left over. Should they be equal after all, for a hash tells more apart than some rules do, one of them has moved.
    fn next_to_one_another(&mut self, pair: &(Item, Item), moved: bool) {
        let (a, b) = pair;
        if moved {
            self.inside.push(Task::Moved { ours: a.id, theirs: b.id, index: a.index });
        } else {
            self.pairs(std::iter::once((a, b)));
        }
    }

    fn reordered(&mut self, left: &[Item], right: &[Item]) {
        let (ours, theirs) = (self.ours.document, self.theirs.document);
        self.found(DifferenceKind::Order, REORDERED.to_owned(), || (listing(ours, left), listing(theirs, right)));
    }

    /// By the value of a member. Elements of one key belong together in their order; those without one are a multiset.
    fn keyed(&mut self, ours: Vec<Item>, theirs: Vec<Item>, rule: &Rule, key: &JsonPath) {
        // An element that has a key is known by it from here on. A key that may as well be absent is none.
        let split = |side: &Side<'a>, items: &[Item]| {
            let document = side.document;
            let absent = |at: Id| {
                let null = document.kind(at) == Kind::Null && !self.scope.is_quiet();
                null && side.loose(Width::Narrow, &self.root, self.work).hash(at) == loose::NOTHING
            };
            let (mut with, mut without) = (Vec::with_capacity(items.len()), Vec::new());
            for &item in items {
                match key.find(document, item.id).to().filter(|&at| !absent(at)) {
                    Some(at) => with.push(Item { strict: document.hash(at), loose: document.hash(at), ..item }),
                    None => without.push(item),
                }
            }
            (with, without)
        };
        let (with, without) = split(&self.ours, &ours);
        let (their_with, their_without) = split(&self.theirs, &theirs);
        let loosen = |width, ours: &mut [Item], theirs: &mut [Item]| {
            if !self.may_loosen(width) {
                return false;
            }
            for (side, items) in [(&self.ours, ours), (&self.theirs, theirs)] {
                let loose = side.loose(width, &self.root, self.work);
                for item in items {
                    item.loose = key.find(side.document, item.id).to().map_or(item.strict, |at| loose.hash(at));
                }
            }
            true
        };
        let matching = Matching::by_meaning(with, their_with, loosen, |_, _| true);
        let rest = self.by_meaning(without, their_without);
        if self.work.exhausted() {
            return;
        }
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
        self.loosen(Width::Narrow, &mut ours, &mut theirs);
        if self.work.exhausted() {
            return;
        }
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
