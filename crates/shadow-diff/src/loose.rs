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
use crate::value::Scalar;

/// The loose hash of what does not count at all.
const NOTHING: u128 = 0;

/// Loose hashes of a document's values.
#[derive(Debug)]
pub(crate) struct Loose {
    hashes: Vec<u128>,
    /// Where a value stands among those with its loose hash; not a number where there is nothing to sort by.
    ranks: Vec<f64>,
}

impl Loose {
    /// The hashes under `scope`, which stands at the root. Where the work's budget ends, the rest is left strict.
    pub(crate) fn of(document: &Document, scope: Scope<'_>, work: &Work) -> Self {
        let hashes = (0..document.len() as Id).map(|id| document.hash(id)).collect();
        let ranks = vec![f64::NAN; document.len()];
        let mut pass = Pass { document, scope, loose: Self { hashes, ranks }, open: Vec::new(), shares: Vec::new() };
        pass.run(work);
        pass.loose
    }

    pub(crate) fn hash(&self, id: Id) -> u128 {
        self.hashes[id as usize]
    }

    pub(crate) fn rank(&self, id: Id) -> f64 {
        self.ranks[id as usize]
    }
}

struct Pass<'a> {
    document: &'a Document,
    scope: Scope<'a>,
    loose: Loose,
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
        let null = scalar.kind == Kind::Null;
        if null && self.scope.here().any(|rule| matches!(rule.treatment, Treatment::NullIsMissing)) {
            return NOTHING;
        }
        if self.scope.shape().is_some() {
            return hash::text(b'k', scalar.kind.as_str().as_bytes());
        }
        let equivalences = self.scope.here().filter_map(|rule| match &rule.treatment {
            Treatment::Equivalence(equivalence) => Some(equivalence),
            _ => None,
        });
        for equivalence in equivalences {
            if let Some(hash) = equivalence.fold(scalar) {
                self.loose.ranks[id as usize] = equivalence.rank(scalar).unwrap_or(f64::NAN);
                return hash;
            }
        }
        self.document.hash(id)
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
        let set = self.scope.shape().is_some() || matches!(order, Some(ArrayOrder::Set));
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
        let first = self.document.children(id).map(|child| ranks[child as usize]).find(|rank| !rank.is_nan());
        self.loose.ranks[id as usize] = first.unwrap_or(f64::NAN);
    }
}
