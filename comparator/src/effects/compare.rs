//! Compares the calls of two versions for one request: which are missing, which were added, which ask something else, which come in another
//! order. Pure.
//!
//! Calls are a multiset by destination, method and route; what they were answered does not count, nor when they were made, but for the order of
//! those that were made one after the other on both sides, as long as it is beyond doubt which of one side is which of the other.

use std::collections::{BTreeMap, BTreeSet};

use shadow_diff::{Difference, DifferenceKind, MAX_DIFFERENCES, Rules, Signature};
use shadow_record::{SideEffect, Timestamp};

use super::order::{Together, reversed};
use super::pair_calls::{Budget, Found, Paired, pair};

/// Most characters of a call's body in an excerpt.
const EXCERPT: usize = 160;

/// Where calls go: what they are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct To<'a> {
    destination: &'a str,
    method: &'a str,
    route: &'a str,
}

impl<'a> To<'a> {
    pub(super) fn of(call: &'a SideEffect) -> Self {
        Self { destination: &call.destination, method: &call.request.method, route: &call.route }
    }

    /// What comparison rules have as route: `POST api.pay.example/v1/charges`.
    fn scope(&self) -> String {
        format!("{} {}{}", self.method, self.destination, self.route)
    }
}

/// What comparing the calls of two versions found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// One for each signature, those of the exchange's route: the places begin with `effects`.
    pub differences: Vec<Difference>,
    /// Differing places whose signature is not listed.
    pub omitted: u32,
    /// Whether something differs that no expected change covers.
    pub unexpected: bool,
    /// Whether something could not be looked at: bodies that were withheld, too large, or masked under different keys or rules.
    pub unseen: bool,
    /// The rules that decided something.
    pub rules_used: BTreeSet<u16>,
}

/// Calls that only one of the versions made.
#[derive(Default)]
pub(super) struct Single<'a> {
    pub(super) missing: Vec<To<'a>>,
    pub(super) added: Vec<To<'a>>,
}

impl Single<'_> {
    pub(super) fn is_nothing(&self) -> bool {
        self.missing.is_empty() && self.added.is_empty()
    }
}

/// Compares the intents of the primary with those of another version. `route` is the exchange's; `at` says whether expected changes hold, as in
/// [`shadow_diff::compare_masked`]. `None` when the calls are too large and differ in too much.
pub fn compare(
    route: &str,
    primary: &[&SideEffect],
    other: &[&SideEffect],
    rules: &Rules,
    at: Timestamp,
) -> Option<Compared> {
    Some(compare_singling(route, primary, other, rules, at)?.0)
}

pub(super) fn compare_singling<'a>(
    route: &str,
    primary: &[&'a SideEffect],
    other: &[&'a SideEffect],
    rules: &Rules,
    at: Timestamp,
) -> Option<(Compared, Single<'a>)> {
    let mut groups: BTreeMap<To<'a>, (Vec<&SideEffect>, Vec<&SideEffect>)> = BTreeMap::new();
    for call in primary {
        groups.entry(To::of(call)).or_default().0.push(call);
    }
    for call in other {
        groups.entry(To::of(call)).or_default().1.push(call);
    }
    let (mut findings, mut single, mut together) = (Findings::new(route, rules, at), Single::default(), Vec::new());
    let mut budget = Budget::whole();
    for (to, (ours, theirs)) in groups {
        let counts = (ours.len(), theirs.len());
        let (pairs, missing, added) = pair(&to.scope(), ours, theirs, rules, at, &mut budget)?;
        for Paired { primary, other, found, certain } in pairs {
            together.extend(certain.then_some((primary, other)));
            findings.pair(to, found);
        }
        if !missing.is_empty() {
            findings.single(to, DifferenceKind::Missing, counts, &missing);
            single.missing.push(to);
        }
        if !added.is_empty() {
            findings.single(to, DifferenceKind::Added, counts, &added);
            single.added.push(to);
        }
    }
    for (first, second) in reversed(&together) {
        findings.order(first, second);
    }
    Some((findings.compared, single))
}

/// Collects differences, one for each signature.
struct Findings<'a> {
    route: &'a str,
    rules: &'a Rules,
    at: Timestamp,
    compared: Compared,
}

impl<'a> Findings<'a> {
    fn new(route: &'a str, rules: &'a Rules, at: Timestamp) -> Self {
        Self { route, rules, at, compared: Compared::default() }
    }

    fn pair(&mut self, to: To<'_>, found: Found) {
        let Found { differences, omitted, unexpected, unseen, rules_used } = found;
        self.compared.omitted = self.compared.omitted.saturating_add(omitted);
        self.compared.unexpected |= unexpected;
        self.compared.unseen |= unseen;
        self.compared.rules_used.extend(rules_used);
        for mut difference in differences {
            let call = call(to);
            difference.place = format!("{call} {}", difference.place);
            difference.example = format!("{call} {}", difference.example);
            self.add(difference);
        }
    }

    fn single(&mut self, to: To<'_>, kind: DifferenceKind, (ours, theirs): (usize, usize), calls: &[&SideEffect]) {
        let text = calls.first().map(|call| excerpt(call)).unwrap_or_default();
        let (primary, candidate) =
            if kind == DifferenceKind::Missing { (text, String::new()) } else { (String::new(), text) };
        self.call(to, kind, format!("{ours}->{theirs}"), calls.len() as u32, (primary, candidate));
    }

    fn order(&mut self, first: Together<'_>, second: Together<'_>) {
        let (to, then) = (To::of(first.0), To::of(second.0).scope());
        let excerpts = (format!("before {then}"), format!("after {then}"));
        self.call(to, DifferenceKind::Order, "reordered".to_owned(), 1, excerpts);
    }

    /// A difference of calls as such.
    fn call(
        &mut self,
        to: To<'_>,
        kind: DifferenceKind,
        transition: String,
        count: u32,
        (primary, candidate): (String, String),
    ) {
        let expected = self.rules.expects_call(&to.scope(), kind, &transition, self.at);
        self.compared.unexpected |= expected.is_none();
        let expected = expected.map(|(index, name)| {
            self.compared.rules_used.insert(index);
            name
        });
        let (place, signature) = (call(to), Signature(0));
        let example = place.clone();
        self.add(Difference { place, example, kind, transition, primary, candidate, count, signature, expected });
    }

    fn add(&mut self, mut difference: Difference) {
        let Difference { place, kind, transition, .. } = &difference;
        difference.signature = Signature::of(self.route, place, *kind, transition);
        let listed = &mut self.compared.differences;
        match listed.iter().position(|known| known.signature == difference.signature) {
            Some(known) => listed[known].count = listed[known].count.saturating_add(difference.count),
            None if listed.len() < MAX_DIFFERENCES => listed.push(difference),
            None => self.compared.omitted = self.compared.omitted.saturating_add(difference.count),
        }
    }
}

fn call(to: To<'_>) -> String {
    format!("effects {}", to.scope())
}

/// The beginning of what a call asked.
fn excerpt(call: &SideEffect) -> String {
    let request = &call.request;
    let query = request.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let body = request.body.content.as_deref().unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
    let text = format!("{}{query} {body}", request.path);
    text.trim_end().chars().take(EXCERPT).collect()
}

#[cfg(test)]
mod tests;
