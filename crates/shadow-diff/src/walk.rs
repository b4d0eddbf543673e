//! Descends two trees together wherever their hashes differ.
//!
//! Objects are matched by name. Arrays: elements with equal hashes are taken out first (from both ends where the order
//! counts, as a multiset otherwise), what is left is compared in pairs, and a surplus is missing or added. Linear in the
//! number of values.

use std::collections::HashMap;

use crate::difference::{DifferenceKind, Findings, Found};
use crate::excerpt::{self, EXCERPT};
use crate::path::{Child, Place};
use crate::rules::ArrayOrder;
use crate::tree::{Node, Shape};

/// Adds every place where `candidate` differs from `primary`.
pub(crate) fn walk(primary: &Node, candidate: &Node, place: &mut Place, findings: &mut Findings<'_>) {
    if primary.hash == candidate.hash {
        return;
    }
    match (&primary.shape, &candidate.shape) {
        (Shape::Object(ours), Shape::Object(theirs)) => objects(ours, theirs, place, findings),
        (Shape::Array(ours, order), Shape::Array(theirs, _)) => arrays(ours, theirs, *order, place, findings),
        _ => {
            let (kind, transition) = if primary.kind() == candidate.kind() {
                (DifferenceKind::Value, "changed".to_owned())
            } else {
                (DifferenceKind::Type, format!("{}->{}", primary.kind(), candidate.kind()))
            };
            let found = Found { place: place.general(), example: place.exact(), kind, transition };
            findings.add(found, || match (&primary.shape, &candidate.shape) {
                (Shape::String(ours), Shape::String(theirs)) => excerpt::around(ours, theirs),
                _ => (text(primary), text(candidate)),
            });
        }
    }
}

fn text(node: &Node) -> String {
    excerpt::head(&node.text(EXCERPT))
}

fn missing(primary: &Node, place: &Place, findings: &mut Findings<'_>) {
    let transition = format!("{}->absent", primary.kind());
    let found = Found { place: place.general(), example: place.exact(), kind: DifferenceKind::Missing, transition };
    findings.add(found, || (text(primary), String::new()));
}

fn added(candidate: &Node, place: &Place, findings: &mut Findings<'_>) {
    let transition = format!("absent->{}", candidate.kind());
    let found = Found { place: place.general(), example: place.exact(), kind: DifferenceKind::Added, transition };
    findings.add(found, || (String::new(), text(candidate)));
}

/// Both sides are sorted by name, so this is a merge.
fn objects(ours: &[(String, Node)], theirs: &[(String, Node)], place: &mut Place, findings: &mut Findings<'_>) {
    let (mut ours, mut theirs) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let our = if order.is_le() { ours.next() } else { None };
        let their = if order.is_ge() { theirs.next() } else { None };
        match (our, their) {
            (Some((name, a)), Some((_, b))) => place.within(Child::Member(name), |place| walk(a, b, place, findings)),
            (Some((name, a)), None) => place.within(Child::Member(name), |place| missing(a, place, findings)),
            (None, Some((name, b))) => place.within(Child::Member(name), |place| added(b, place, findings)),
            (None, None) => unreachable!("one side is not above the other"),
        }
    }
}

type Numbered<'a> = Vec<(usize, &'a Node)>;

fn arrays(ours: &[Node], theirs: &[Node], order: ArrayOrder, place: &mut Place, findings: &mut Findings<'_>) {
    let (left, right) = match order {
        ArrayOrder::Ignored => without_equals(number(ours), number(theirs)),
        ArrayOrder::Counts => {
            let (left, right) = without_ends(ours, theirs);
            let (rest_left, rest_right) = without_equals(left.clone(), right.clone());
            if left.len() == right.len() && rest_left.is_empty() {
                let (kind, transition) = (DifferenceKind::Order, "reordered".to_owned());
                let found = Found { place: place.general(), example: place.exact(), kind, transition };
                return findings.add(found, || (listing(&left), listing(&right)));
            }
            // Position by position, unless most elements only moved because one was inserted or left out.
            let in_place = left.iter().zip(&right).filter(|(a, b)| a.1.hash != b.1.hash).count();
            let moved = left.len() != right.len() || in_place > rest_left.len();
            if moved { (rest_left, rest_right) } else { (left, right) }
        }
    };
    let paired = left.len().min(right.len());
    for (&(index, a), &(_, b)) in left.iter().zip(&right) {
        place.within(Child::Index(index), |place| walk(a, b, place, findings));
    }
    for &(index, a) in &left[paired..] {
        place.within(Child::Index(index), |place| missing(a, place, findings));
    }
    for &(index, b) in &right[paired..] {
        place.within(Child::Index(index), |place| added(b, place, findings));
    }
}

fn listing(items: &Numbered<'_>) -> String {
    let mut out = String::from("[");
    for (index, (_, item)) in items.iter().enumerate() {
        if out.len() > EXCERPT {
            break;
        }
        out.push_str(if index > 0 { "," } else { "" });
        out.push_str(&item.text(EXCERPT));
    }
    out.push(']');
    excerpt::head(&out)
}

fn number(items: &[Node]) -> Numbered<'_> {
    items.iter().enumerate().collect()
}

fn without_ends<'a>(ours: &'a [Node], theirs: &'a [Node]) -> (Numbered<'a>, Numbered<'a>) {
    let start = ours.iter().zip(theirs).take_while(|(a, b)| a.hash == b.hash).count();
    let (ours, theirs) = (&number(ours)[start..], &number(theirs)[start..]);
    let end = ours.iter().rev().zip(theirs.iter().rev()).take_while(|(a, b)| a.1.hash == b.1.hash).count();
    (ours[..ours.len() - end].to_vec(), theirs[..theirs.len() - end].to_vec())
}

/// What each side has beyond the multiset both share.
fn without_equals<'a>(ours: Numbered<'a>, theirs: Numbered<'a>) -> (Numbered<'a>, Numbered<'a>) {
    let mut shared: HashMap<u128, usize> = HashMap::with_capacity(theirs.len());
    for (_, node) in &theirs {
        *shared.entry(node.hash).or_default() += 1;
    }
    let mut taken: HashMap<u128, usize> = HashMap::new();
    let mut left = ours;
    left.retain(|(_, node)| match shared.get_mut(&node.hash) {
        Some(count) if *count > 0 => {
            *count -= 1;
            *taken.entry(node.hash).or_default() += 1;
            false
        }
        _ => true,
    });
    let mut right = theirs;
    right.retain(|(_, node)| match taken.get_mut(&node.hash) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    (left, right)
}
