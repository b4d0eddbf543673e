//! What a comparison finds.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shadow_record::Timestamp;

use crate::hash::Hashing;
use crate::rules::{Expected, Rules, Treatment};

/// Most distinct signatures one comparison reports; further ones are only counted in [`Comparison::omitted`].
pub const MAX_DIFFERENCES: usize = 64;

/// What comparing two answers came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The result.
    pub result: CompareResult,
    /// What it would be without the differences: `Matched`, or `Truncated` or `Incomparable` where not everything could be looked at.
    pub without_differences: CompareResult,
    /// One entry per signature, in the order they were met.
    pub differences: Vec<Difference>,
    /// Differing places whose signature is beyond [`MAX_DIFFERENCES`], expected ones included.
    pub omitted: u32,
    /// The rules that decided something, in ascending order: those without which more would differ. [`Rules::list`] names them.
    /// None for identical bytes, but for a measure.
    ///
    /// [`Rules::list`]: crate::Rules::list
    pub rules_used: Vec<u16>,
    /// What a `[[measure]]` rule of the route reads, where there is one and the bodies have it.
    pub measured: Option<Measured>,
}

/// What two models answered to one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The primary's and the candidate's class, cut at 64 characters; empty where one has none.
    pub class: Option<(String, String)>,
    /// How far the two scores lie apart, never negative.
    pub score_difference: Option<f64>,
}

/// What comparing two answers came to, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareResult {
    /// Everything the rules look at is equal.
    Matched,
    /// At least one place differs for certain, and no expected change covers it.
    Differing,
    /// Every difference is covered by an expected change, and everything was looked at.
    Expected,
    /// No difference was found in what was looked at, and a body, or the work that it took, was too large to look at in full.
    Truncated,
    /// No difference was found in what was looked at, and the bodies cannot be compared: only unequal digests are known, or
    /// they were masked under different keys.
    Incomparable,
}

impl CompareResult {
    /// The word that tables and reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Differing => "differing",
            Self::Expected => "expected",
            Self::Truncated => "truncated",
            Self::Incomparable => "incomparable",
        }
    }
}

/// What kind of difference one place shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The status code differs.
    Status,
    /// A compared header differs.
    Header,
    /// The primary has it, the candidate has not.
    Missing,
    /// The candidate has it, the primary has not.
    Added,
    /// The JSON types differ, or only one side is JSON.
    Type,
    /// Same type, another value.
    Value,
    /// The same elements in another order, in an array whose order counts.
    Order,
}

impl DifferenceKind {
    /// The word that tables and reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Header => "header",
            Self::Missing => "missing",
            Self::Added => "added",
            Self::Type => "type",
            Self::Value => "value",
            Self::Order => "order",
        }
    }
}

/// One signature found in one pair of answers, with its first occurrence as the example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, with array indexes generalised: `$.items[*].price`, `status`, `header:location`, `body`.
    pub place: String,
    /// Where exactly the first occurrence is: `$.items[3].price`.
    pub example: String,
    /// What kind of difference.
    pub kind: DifferenceKind,
    /// From what to what, without values: `200->500`, `string->number`, `object->absent`, `changed`.
    pub transition: String,
    /// Bounded excerpt of the primary's side, as JSON text; empty when absent.
    pub primary: String,
    /// Bounded excerpt of the candidate's side, as JSON text; empty when absent.
    pub candidate: String,
    /// Places of this answer that show the signature.
    pub count: u32,
    /// The fault this belongs to.
    pub signature: Signature,
    /// The name of the expected change that covers it.
    pub expected: Option<Arc<str>>,
}

/// Identifies differences that are the same fault: a hash of route, generalised place, kind and transition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub u64);

impl Signature {
    /// The signature of a fault.
    pub fn of(route: &str, place: &str, kind: DifferenceKind, transition: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [route, place, kind.as_str(), transition] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        Self(u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes")))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Collects differences, one entry per signature.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    route: &'a str,
    differences: Vec<Difference>,
    /// Where in `differences` a hash of place, kind and transition stands.
    known: HashMap<u128, usize>,
    omitted: u32,
    places: u64,
    /// Whether some place, listed or not, is not expected.
    unexpected: bool,
    expecting: Expecting<'a>,
}

/// The expected changes of a route, and when the candidate was asked.
#[derive(Debug)]
pub(crate) struct Expecting<'a> {
    changes: Vec<(u16, &'a Expected)>,
    at: Timestamp,
    used: BTreeSet<u16>,
}

impl<'a> Expecting<'a> {
    pub(crate) fn of(rules: &'a Rules, route: &str, at: Timestamp) -> Self {
        let changes = rules.of_route(route).filter_map(|rule| match &rule.treatment {
            Treatment::Expected(expected) => Some((rule.index, expected)),
            _ => None,
        });
        Self { changes: changes.collect(), at, used: BTreeSet::new() }
    }

    fn covers(&mut self, found: &Found<'_>) -> Option<&'a Expected> {
        let (index, expected) = self.changes.iter().find(|(_, expected)| expected.covers(found, self.at))?;
        self.used.insert(*index);
        Some(expected)
    }
}

/// What was found in all.
pub(crate) struct FoundAll {
    pub(crate) differences: Vec<Difference>,
    /// Places that are not listed.
    pub(crate) omitted: u32,
    /// Whether some place, listed or not, is not expected.
    pub(crate) unexpected: bool,
    /// The expected changes that were met.
    pub(crate) used: BTreeSet<u16>,
}

/// One differing place as the walk meets it.
pub(crate) struct Found<'a> {
    pub(crate) place: &'a str,
    pub(crate) example: &'a str,
    pub(crate) kind: DifferenceKind,
    pub(crate) transition: String,
    /// Whether the middle of the place was left out.
    pub(crate) shortened: bool,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(route: &'a str, expecting: Expecting<'a>) -> Self {
        Self {
            route,
            differences: Vec::new(),
            known: HashMap::new(),
            omitted: 0,
            places: 0,
            unexpected: false,
            expecting,
        }
    }

    /// Adds one place; `excerpts` of both sides are only made for a new signature.
    pub(crate) fn add(&mut self, found: Found<'_>, excerpts: impl FnOnce() -> (String, String)) {
        let Found { place, example, kind, ref transition, .. } = found;
        self.places += 1;
        let hashing = Hashing::of(kind as u8).bytes(transition.as_bytes()).bytes(b"\0").bytes(place.as_bytes());
        let hash = hashing.finish();
        if let Some(&at) = self.known.get(&hash) {
            let known = &mut self.differences[at];
            known.count = known.count.saturating_add(1);
            return;
        }
        let listed = self.differences.len() < MAX_DIFFERENCES;
        let expected = if listed || !self.unexpected { self.expecting.covers(&found) } else { None };
        self.unexpected |= expected.is_none();
        if !listed {
            self.omitted = self.omitted.saturating_add(1);
        } else {
            self.known.insert(hash, self.differences.len());
            let (primary, candidate) = excerpts();
            self.differences.push(Difference {
                place: place.to_owned(),
                example: example.to_owned(),
                kind,
                signature: Signature::of(self.route, place, kind, transition),
                transition: found.transition,
                primary,
                candidate,
                count: 1,
                expected: expected.map(|expected| expected.name.clone()),
            });
        }
    }

    /// How many differing places were added.
    pub(crate) fn places(&self) -> u64 {
        self.places
    }

    pub(crate) fn finish(self) -> FoundAll {
        let Self { differences, omitted, unexpected, expecting, .. } = self;
        FoundAll { differences, omitted, unexpected, used: expecting.used }
    }
}
