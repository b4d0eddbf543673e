//! Loose hashes: equal for all values that the rules may count as equal.
//!
//! An array without order is matched by hash, and so are elements that moved. Where rules hold inside the elements, the hash of the
//! meaning is too strict for that. The loose one leaves out what is ignored and has one hash for everything a rule may accept, a number
//! within a tolerance for instance. So elements with unequal loose hashes do not belong together, and those with equal ones are still
//! compared in full. Both passes over a document are linear in it.

use crate::document::{Document, Id, Kind};
use crate::hash::{self, Hashing};
use crate::path::Child;
use crate::rules::{ArrayOrder, Treatment};
use crate::scope::{Scope, Work};
use crate::value::{Equivalence, Normalization, Scalar};

/// The loose hash of what does not count at all.
pub(crate) const NOTHING: u128 = 0;

/// How much the hashes leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// Of several rules for one value the first alone, and an empty list under a shape is not one that has elements: most of what
    /// belongs together, without much else.
    Narrow,
    /// All that may count as equal.
    Wide,
}

/// Where a value stands among those with its loose hash: by the first scalar inside that a rule can sort.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rank<'a> {
    pub(crate) value: f64,
    pub(crate) scalar: Id,
    pub(crate) by: &'a Equivalence,
    /// Whether there is no other such scalar.
    pub(crate) only: bool,
}

/// Loose hashes of a document's values.
#[derive(Debug)]
pub(crate) struct Loose<'a> {
    hashes: Vec<u128>,
    ranks: Vec<Option<Rank<'a>>>,
    /// Whether wider hashes differ.
    wider: bool,
}

impl<'a> Loose<'a> {
    /// The hashes under `scope`, which stands at the root. Where the work's budget ends, the rest is left strict.
    pub(crate) fn of(document: &'a Document, scope: Scope<'a>, work: &Work, width: Width) -> Self {
        let hashes = (0..document.len() as Id).map(|id| document.hash(id)).collect();
        let loose = Self { hashes, ranks: vec![None; document.len()], wider: false };
        let mut pass = Pass { document, scope, loose, width, open: Vec::new(), shares: Vec::new() };
        pass.run(work);
        pass.loose
    }

    pub(crate) fn hash(&self, id: Id) -> u128 {
        self.hashes[id as usize]
    }

    pub(crate) fn rank(&self, id: Id) -> Option<Rank<'a>> {
        self.ranks[id as usize]
    }

    /// Whether some value may count as equal to one with another of these hashes.
    pub(crate) fn may_be_wider(&self) -> bool {
        self.wider
    }
}

struct Pass<'a> {
    document: &'a Document,
    scope: Scope<'a>,
    loose: Loose<'a>,
    width: Width,
    /// Containers around the value that is being read, with how many of their values were begun.
    open: Vec<(Id, u32)>,
    shares: Vec<u128>,
}

impl Pass<'_> {
    fn run(&mut self, work: &Work) {
        let mut id = 0;
        while (id as usize) < self.document.len() && !work.exhausted() {
            self.close(id);
            if let Some((parent, begun)) = self.open.last_mut() {
                let element = self.document.kind(*parent) == Kind::Array;
                self.scope.enter(if element { Child::Index(*begun) } else { Child::Member(self.document.name(id)) });
                *begun += 1;
            }
            if self.scope.is_quiet() {
                self.scope.leave();
                id = self.document.end(id);
                continue;
            }
            self.open.push((id, 0));
            id += 1;
        }
        self.close(self.document.len() as Id);
    }

    /// Concludes the containers, and scalars, that end where `id` begins.
    fn close(&mut self, id: Id) {
        while let Some(&(done, _)) = self.open.last()
            && self.document.end(done) <= id
        {
            let hash = self.conclude(done);
            self.loose.hashes[done as usize] = hash;
            self.open.pop();
            if !self.open.is_empty() {
                self.scope.leave();
            }
        }
    }

    fn conclude(&mut self, id: Id) -> u128 {
        if self.scope.ignored().is_some() {
            return NOTHING;
        }
        match self.document.kind(id) {
            Kind::Ambiguous => self.document.hash(id),
            Kind::Object => self.object(id),
            Kind::Array => self.array(id),
            _ => self.scalar(id),
        }
    }

    fn scalar(&mut self, id: Id) -> u128 {
        let Some(scalar) = Scalar::of(self.document, id) else { return self.document.hash(id) };
        if scalar.kind == Kind::Null && self.scope.null_is_missing().is_some() {
            return NOTHING;
        }
        let shape = self.scope.shape().is_some();
        let rank = self.scope.equivalences().find_map(|by| Some((by.rank(scalar)?, by)));
        self.loose.ranks[id as usize] = rank.map(|(value, by)| Rank { value, scalar: id, by, only: true });
        // Rules that only normalise are as good as one that does all they do.
        let together = self.scope.equivalences().try_fold(None, |all: Option<Normalization>, by| match by {
            Equivalence::Normalization(one) => Some(Some(all.map_or(*one, |all| all.and(*one)))),
            _ => None,
        });
        let together = together.flatten().map(Equivalence::Normalization);
        let folded = match &together {
            Some(normalization) => normalization.fold(scalar),
            None => self.scope.equivalences().find_map(|by| folded(by, scalar)),
        };
        let first = self.scope.equivalences().next();
        let several = together.is_none() && self.scope.equivalences().any(|by| Some(by) != first);
        // A value that none of the rules reads equals only itself, but for its shape.
        let wider = if shape { first.is_some() } else { several && folded.is_some() };
        if wider {
            self.loose.wider = true;
            if self.width == Width::Wide {
                return hash::text(b'w', b"");
            }
        }
        if shape {
            return hash::text(b'k', scalar.kind.as_str().as_bytes());
        }
        folded.unwrap_or_else(|| self.document.hash(id))
    }

    fn object(&mut self, id: Id) -> u128 {
        let counting = self.document.children(id).filter(|&child| self.loose.hash(child) != NOTHING);
        let shares = counting.map(|child| hash::member(self.document.name(child), self.loose.hash(child)));
        let hash = hash::total(b'o', shares.fold(0, u128::wrapping_add));
        self.note_rank(id);
        hash
    }

    fn array(&mut self, id: Id) -> u128 {
        self.note_rank(id);
        let order = self.scope.here().find_map(|rule| match &rule.treatment {
            Treatment::Order(order) => Some(order),
            _ => None,
        });
        self.shares.clear();
        let loose = &self.loose;
        let elements = self.document.children(id).map(|child| loose.hash(child)).filter(|&hash| hash != NOTHING);
        self.shares.extend(elements);
        let shape = self.scope.shape().is_some();
        if shape {
            self.loose.wider = true;
            if self.width == Width::Wide {
                return hash::text(b'k', Kind::Array.as_str().as_bytes());
            }
        }
        let set = shape || matches!(order, Some(ArrayOrder::Set));
        if set {
            self.shares.sort_unstable();
            self.shares.dedup();
        }
        if order.is_some() || set {
            let sum = self.shares.iter().map(|&hash| hash::element(hash)).fold(0, u128::wrapping_add);
            return hash::total(b'u', sum);
        }
        self.shares.iter().fold(Hashing::of(b'a'), |hashing, &hash| hashing.hash(hash)).finish()
    }

    fn note_rank(&mut self, id: Id) {
        let ranks = &self.loose.ranks;
        let mut inside = self.document.children(id).filter_map(|child| ranks[child as usize]);
        let first = inside.next();
        let more = inside.next().is_some();
        self.loose.ranks[id as usize] = first.map(|first| Rank { only: first.only && !more, ..first });
    }
}

/// What the rule may count as equal has one hash, and so have equal numbers however they are written, of which a rule may read only
/// some.
fn folded(equivalence: &Equivalence, scalar: Scalar<'_>) -> Option<u128> {
    match (scalar.kind, equivalence) {
        (Kind::Number, Equivalence::Pattern(_) | Equivalence::Timestamp { .. }) => Some(hash::text(b'N', b"")),
        _ => equivalence.fold(scalar),
    }
}
