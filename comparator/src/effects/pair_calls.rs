//! Which call of one version stands for which of the other, and where the two differ. Pure.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::{Map, Value};
use shadow_diff::{CompareResult, Comparison, Difference, Masking, Rules, compare_masked};
use shadow_record::{Body, Header, Response, SideEffect, Timestamp};

use super::intents::Asked;

/// Pairs of unequal calls to one place that are tried against each other; more are paired in the order in which they were made.
const MOST_TRIALS: usize = 256;
/// What comparing the calls of one version may cost for one exchange, in bytes of what is compared; some tenths of a second at most.
const MOST_WORK: usize = 16 << 20;
/// What comparing two calls costs beside that.
const TRIAL: usize = 2 << 10;

/// What may still be compared for one exchange.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn whole() -> Self {
        Self(MOST_WORK)
    }

    /// `None` when it is used up.
    fn take(&mut self, one: &SideEffect, other: &SideEffect) -> Option<()> {
        let weight = |call: &SideEffect| {
            let request = &call.request;
            let body = request.body.content.as_ref().map_or(0, |content| content.len());
            body + request.query.as_ref().map_or(0, String::len) + request.path.len()
        };
        self.0 = self.0.checked_sub(TRIAL + weight(one) + weight(other))?;
        Some(())
    }
}

/// Calls that belong together, and what is left on each side.
pub(super) type Pairing<'a> = (Vec<Paired<'a>>, Vec<&'a SideEffect>, Vec<&'a SideEffect>);

/// Two calls that belong together, and where they differ.
pub(super) struct Paired<'a> {
    pub(super) primary: &'a SideEffect,
    pub(super) other: &'a SideEffect,
    pub(super) found: Found,
    /// Whether no other pairing is as good, so that the two may be held to the order of others.
    pub(super) certain: bool,
}

/// Where two calls differ. Places are those of `shadow-diff`, after `query ` or `path ` where they are not in the body.
#[derive(Default)]
pub(super) struct Found {
    pub(super) differences: Vec<Difference>,
    pub(super) omitted: u32,
    /// Whether something differs that no expected change covers.
    pub(super) unexpected: bool,
    /// Whether something could not be looked at.
    pub(super) unseen: bool,
    pub(super) rules_used: BTreeSet<u16>,
}

/// Pairs the calls to one place, equal ones first, then those that differ least, then in the order in which they were made. Returns the pairs
/// and what is left on each side; `None` when that is more work than is left.
pub(super) fn pair<'a>(
    scope: &str,
    primary: Vec<&'a SideEffect>,
    other: Vec<&'a SideEffect>,
    rules: &Rules,
    at: Timestamp,
    budget: &mut Budget,
) -> Option<Pairing<'a>> {
    let only = primary.len() == 1 && other.len() == 1;
    let (mut pairs, mine, theirs) = pair_equal(primary, other);
    let (mut trials, tried) = (Vec::new(), mine.len() * theirs.len() <= MOST_TRIALS);
    for (i, one) in mine.iter().enumerate() {
        let with = if tried { 0..theirs.len() } else { i..theirs.len().min(i + 1) };
        for j in with {
            budget.take(one, theirs[j])?;
            trials.push((i, j, differ(scope, one, theirs[j], rules, at)));
        }
    }
    // By the first, then by the second call: how many others it equals under the rules.
    let (mut equals, mut equalled) = (vec![0; mine.len()], vec![0; theirs.len()]);
    for (i, j, _) in trials.iter().filter(|(.., found)| found.is_nothing()) {
        (equals[*i], equalled[*j]) = (equals[*i] + 1, equalled[*j] + 1);
    }
    trials.sort_by_key(|(i, j, found)| (found.unseen, found.places(), *i, *j));
    let (mut mine, mut theirs) = (slots(mine), slots(theirs));
    for (i, j, found) in trials {
        if let (Some(primary), Some(other)) = (mine[i], theirs[j]) {
            (mine[i], theirs[j]) = (None, None);
            let certain = only || tried && found.is_nothing() && equals[i] == 1 && equalled[j] == 1;
            pairs.push(Paired { primary, other, found, certain });
        }
    }
    Some((pairs, mine.into_iter().flatten().collect(), theirs.into_iter().flatten().collect()))
}

/// Pairs calls that are equal to the byte, and returns the rest. Where one version made more of them, which is whose cannot be told.
fn pair_equal<'a>(primary: Vec<&'a SideEffect>, other: Vec<&'a SideEffect>) -> Pairing<'a> {
    let mut equal: HashMap<Asked<'a>, (i64, VecDeque<usize>)> = HashMap::new();
    for call in &primary {
        equal.entry(Asked::of(call)).or_default().0 += 1;
    }
    for (index, call) in other.iter().enumerate() {
        let (more, places) = equal.entry(Asked::of(call)).or_default();
        *more -= 1;
        places.push_back(index);
    }
    let (mut pairs, mut rest, mut other) = (Vec::new(), Vec::new(), slots(other));
    for primary in primary {
        let equal = equal.get_mut(&Asked::of(primary));
        let found = equal.and_then(|(more, places)| Some((other[places.pop_front()?].take()?, *more == 0)));
        match found {
            Some((other, certain)) => pairs.push(Paired { primary, other, found: Found::default(), certain }),
            None => rest.push(primary),
        }
    }
    (pairs, rest, other.into_iter().flatten().collect())
}

fn slots(calls: Vec<&SideEffect>) -> Vec<Option<&SideEffect>> {
    calls.into_iter().map(Some).collect()
}

impl Found {
    fn is_nothing(&self) -> bool {
        !self.unseen && self.places() == 0
    }

    fn places(&self) -> u64 {
        self.differences.iter().map(|difference| u64::from(difference.count)).sum::<u64>() + u64::from(self.omitted)
    }

    fn add(&mut self, whence: &str, comparison: Comparison) {
        let Comparison { result, without_differences, differences, omitted, rules_used, .. } = comparison;
        self.unexpected |= result == CompareResult::Differing;
        self.unseen |= without_differences != CompareResult::Matched;
        self.omitted = self.omitted.saturating_add(omitted);
        self.rules_used.extend(rules_used);
        self.differences.extend(differences.into_iter().map(|mut difference| {
            difference.place.insert_str(0, whence);
            difference.example.insert_str(0, whence);
            difference
        }));
    }
}

/// Compares what two calls to one place asked: content type and body, query, and the path's parameters.
fn differ(scope: &str, primary: &SideEffect, other: &SideEffect, rules: &Rules, at: Timestamp) -> Found {
    let masking = |call: &'_ SideEffect| (call.key_id.clone(), call.ruleset.clone());
    let (ours, theirs) = (masking(primary), masking(other));
    let (ours, theirs) =
        (Masking { key_id: &ours.0, ruleset: &ours.1 }, Masking { key_id: &theirs.0, ruleset: &theirs.1 });
    let mut found = Found::default();
    for (whence, part) in [("", body as fn(&SideEffect) -> Response), ("query ", query), ("path ", path)] {
        let (one, two) = (part(primary), part(other));
        if one != two || ours != theirs {
            found.add(whence, compare_masked(scope, (&one, ours), (&two, theirs), rules, at));
        }
    }
    found
}

/// What a version asked stands where `shadow-diff` looks for an answer.
fn body(call: &SideEffect) -> Response {
    let media = call.request.headers.iter().filter(|header| header.name == "content-type").cloned().collect();
    Response { status: 200, headers: media, body: call.request.body.clone() }
}

fn query(call: &SideEffect) -> Response {
    content("application/x-www-form-urlencoded", call.request.query.clone().unwrap_or_default())
}

fn path(call: &SideEffect) -> Response {
    content("application/json", Value::Object(parameters(&call.route, &call.request.path)).to_string())
}

fn content(media: &str, text: String) -> Response {
    let body =
        Body { length: text.len() as i64, content: Some(text.into()), digest: Default::default(), withheld: None };
    Response { status: 200, headers: vec![Header::of("content-type", media)], body }
}

/// What the path has where the route has parameters; the last one takes the rest where it is written `{name..}`.
fn parameters(route: &str, path: &str) -> Map<String, Value> {
    let mut found = Map::new();
    let mut given = path.split('/');
    for segment in route.split('/') {
        let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
        match name.map(|name| (name, name.strip_suffix(".."))) {
            Some((_, Some(rest))) => {
                found.insert(rest.to_owned(), given.by_ref().collect::<Vec<_>>().join("/").into());
            }
            Some((name, None)) => {
                found.insert(name.to_owned(), given.next().unwrap_or_default().into());
            }
            None => _ = given.next(),
        }
    }
    found
}
