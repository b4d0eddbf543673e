//! Descends two documents together wherever their hashes differ.
//!
//! Members are matched by name, elements by position, key or hash. The rules are asked only at places that differ, so whichever makes
//! a difference count for nothing has decided something. What is to be compared next stands on a stack of its own: depth costs
//! memory, and no recursion.

mod arrays;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::difference::{DifferenceKind, Findings, Found};
use crate::document::{Document, Id, Kind};
use crate::excerpt;
use crate::loose::{Loose, Width};
use crate::path::{Child, JsonPath, Led, Place, Step};
use crate::rules::{Rule, Treatment};
use crate::scope::{Scope, Work};
use crate::value::Scalar;

/// The transition of elements in another order.
const REORDERED: &str = "reordered";

/// One document of a pair.
#[derive(Debug)]
struct Side<'a> {
    document: &'a Document,
    narrow: OnceCell<Loose<'a>>,
    wide: OnceCell<Loose<'a>>,
}

/// What a walk came to besides its findings.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// A place could not be compared.
    pub(crate) incomparable: bool,
    /// The work was more than is done for one pair.
    pub(crate) truncated: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug)]
enum Task {
    Compare {
        ours: Option<Id>,
        theirs: Option<Id>,
        step: Reached,
    },
    Leave,
    /// Two elements of which it is not known yet whether they belong together, but that one of them moved if so.
    Moved {
        ours: Id,
        theirs: Id,
        index: u32,
    },
    /// Those two were compared; so many places had been found before.
    Settle {
        ours: Id,
        theirs: Id,
        before: u64,
    },
}

/// How a pair is reached from the place above.
#[derive(Clone, Copy, Debug)]
enum Reached {
    Root,
    Member,
    Element(u32),
}

#[derive(Debug)]
pub(crate) struct Walk<'a, 'f, 'r> {
    ours: Side<'a>,
    theirs: Side<'a>,
    scope: Scope<'a>,
    /// The scope at the root, for the loose hashes.
    root: Scope<'a>,
    work: &'a Work,
    place: Place,
    tasks: Vec<Task>,
    /// Tasks found at the place at hand, first one first.
    inside: Vec<Task>,
    findings: &'f mut Findings<'r>,
    used: &'f mut BTreeSet<u16>,
    walked: Walked,
}

impl<'a, 'f, 'r> Walk<'a, 'f, 'r> {
    pub(crate) fn new(
        (ours, theirs): (&'a Document, &'a Document),
        scope: Scope<'a>,
        work: &'a Work,
        findings: &'f mut Findings<'r>,
        used: &'f mut BTreeSet<u16>,
    ) -> Self {
        let side = |document| Side { document, narrow: OnceCell::new(), wide: OnceCell::new() };
        Self {
            ours: side(ours),
            theirs: side(theirs),
            root: scope.clone(),
            scope,
            work,
            place: Place::root(),
            tasks: Vec::new(),
            inside: Vec::new(),
            findings,
            used,
            walked: Walked::default(),
        }
    }

    /// Compares all of both documents.
    pub(crate) fn whole(&mut self) {
        self.tasks.push(Task::Compare { ours: Some(0), theirs: Some(0), step: Reached::Root });
        self.run();
    }

    /// Compares only what stands at one place of both, if anything does.
    pub(crate) fn part(&mut self, path: &JsonPath) {
        let (ours, theirs) = (path.find(self.ours.document, 0), path.find(self.theirs.document, 0));
        if let (Led::Ambiguous(a), Led::Ambiguous(b)) = (ours, theirs) {
            // Alike, they say the same to whoever reads them.
            self.walked.incomparable |= self.ours.document.hash(a) != self.theirs.document.hash(b);
            return;
        }
        for step in &path.0 {
            match step {
                Step::Member(name) => self.enter(Child::Member(name)),
                Step::Index(index) => self.enter(Child::Index(*index)),
                _ => unreachable!("an exact path has only these"),
            }
        }
        match (ours, theirs) {
            (Led::Ambiguous(_), _) | (_, Led::Ambiguous(_)) => match self.scope.ignored() {
                Some(rule) => self.decided(rule),
                None => self.one_ambiguous(ours, theirs),
            },
            _ => {
                self.tasks.push(Task::Compare { ours: ours.to(), theirs: theirs.to(), step: Reached::Root });
                self.run();
            }
        }
        path.0.iter().for_each(|_| self.leave());
    }

    /// What the walk came to.
    pub(crate) fn finish(self) -> Walked {
        self.walked
    }

    fn run(&mut self) {
        while let Some(task) = self.tasks.pop() {
            if self.walked.truncated {
                self.tasks.clear();
                return;
            }
            match task {
                Task::Leave => self.leave(),
                Task::Moved { ours, theirs, index } => {
                    self.tasks.push(Task::Settle { ours, theirs, before: self.findings.places() });
                    self.tasks.push(Task::Compare {
                        ours: Some(ours),
                        theirs: Some(theirs),
                        step: Reached::Element(index),
                    });
                }
                Task::Settle { ours, theirs, before } => {
                    // Equal, they are one element that moved. Where something could not be compared, nothing is said.
                    if self.findings.places() == before && !self.walked.incomparable {
                        let (a, b) = (self.ours.document, self.theirs.document);
                        self.found(DifferenceKind::Order, REORDERED.to_owned(), || {
                            (excerpt::json(a, ours), excerpt::json(b, theirs))
                        });
                    }
                }
                Task::Compare { ours, theirs, step } => {
                    let name = ours.map(|id| self.ours.document.name(id));
                    let name = name.or(theirs.map(|id| self.theirs.document.name(id))).unwrap_or_default();
                    match step {
                        Reached::Root => {}
                        Reached::Member => self.enter(Child::Member(name)),
                        Reached::Element(index) => self.enter(Child::Index(index)),
                    }
                    if !matches!(step, Reached::Root) {
                        self.tasks.push(Task::Leave);
                    }
                    self.compare(ours, theirs);
                    self.tasks.extend(self.inside.drain(..).rev());
                    self.walked.truncated |= self.work.exhausted();
                }
            }
        }
    }

    fn enter(&mut self, child: Child<'_>) {
        self.scope.enter(child);
        self.place.enter(child);
    }

    fn leave(&mut self) {
        self.scope.leave();
        self.place.leave();
    }

    /// The two at hand differ, or one is absent.
    fn compare(&mut self, ours: Option<Id>, theirs: Option<Id>) {
        if let (Some(a), Some(b)) = (ours, theirs)
            && self.ours.document.hash(a) == self.theirs.document.hash(b)
        {
            return;
        }
        if let Some(rule) = self.scope.ignored() {
            return self.decided(rule);
        }
        match (ours, theirs) {
            (Some(a), Some(b)) => self.both(a, b),
            (Some(a), None) => self.one(a, DifferenceKind::Missing),
            (None, Some(b)) => self.one(b, DifferenceKind::Added),
            (None, None) => {}
        }
    }

    fn one(&mut self, id: Id, kind: DifferenceKind) {
        let missing = kind == DifferenceKind::Missing;
        let document = if missing { self.ours.document } else { self.theirs.document };
        let there = document.kind(id);
        if let (Kind::Null, Some(rule)) = (there, self.scope.null_is_missing()) {
            return self.decided(rule);
        }
        let there = there.as_str();
        let transition = if missing { format!("{there}->absent") } else { format!("absent->{there}") };
        self.found(kind, transition, || {
            let text = excerpt::json(document, id);
            if missing { (text, String::new()) } else { (String::new(), text) }
        });
    }

    fn both(&mut self, a: Id, b: Id) {
        let (ours, theirs) = (self.ours.document, self.theirs.document);
        match (ours.kind(a), theirs.kind(b)) {
            // Which of the members counts is up to who reads them. Where only one side repeats a name, that is a fault of its own.
            (Kind::Ambiguous, Kind::Ambiguous) => self.walked.incomparable = true,
            (Kind::Object, Kind::Ambiguous) => self.one_ambiguous(Led::To(a), Led::Ambiguous(b)),
            (Kind::Ambiguous, Kind::Object) => self.one_ambiguous(Led::Ambiguous(a), Led::To(b)),
            (Kind::Object, Kind::Object) => self.objects(a, b),
            (Kind::Array, Kind::Array) => self.arrays(a, b),
            (x, y) => {
                if let (Some(x), Some(y)) = (Scalar::of(ours, a), Scalar::of(theirs, b))
                    && let Some(rule) = self.equivalent(x, y)
                {
                    return self.decided(rule);
                }
                if let (Some(rule), true) = (self.scope.shape(), x == y) {
                    return self.decided(rule);
                }
                let (kind, transition) = match x == y {
                    true => (DifferenceKind::Value, "changed".to_owned()),
                    false => (DifferenceKind::Type, format!("{}->{}", x.as_str(), y.as_str())),
                };
                self.found(kind, transition, || match (x, y) {
                    (Kind::String, Kind::String) => excerpt::around(ours.text(a), theirs.text(b)),
                    _ => (excerpt::json(ours, a), excerpt::json(theirs, b)),
                });
            }
        }
    }

    /// Only one side repeats a name in the object at hand, or in one on the way to it.
    fn one_ambiguous(&mut self, ours: Led, theirs: Led) {
        let word = |document: &Document, led| match led {
            Led::To(id) => document.kind(id).as_str(),
            Led::Nowhere => "absent",
            Led::Ambiguous(_) => "ambiguous",
        };
        let text = |document: &Document, led| match led {
            Led::To(id) | Led::Ambiguous(id) => excerpt::json(document, id),
            Led::Nowhere => String::new(),
        };
        let (a, b) = (self.ours.document, self.theirs.document);
        let transition = format!("{}->{}", word(a, ours), word(b, theirs));
        self.found(DifferenceKind::Type, transition, || (text(a, ours), text(b, theirs)));
    }

    fn equivalent(&self, a: Scalar<'_>, b: Scalar<'_>) -> Option<&'a Rule> {
        self.scope.here().find(|rule| match &rule.treatment {
            Treatment::Equivalence(equivalence) => {
                self.work.add(a.text.len() + b.text.len());
                equivalence.holds(a, b)
            }
            _ => false,
        })
    }

    /// Members by name. As long as both sides have the same ones in the same order, nothing needs sorting.
    fn objects(&mut self, a: Id, b: Id) {
        let (ours, theirs) = (self.ours.document, self.theirs.document);
        self.work.add(ours.count(a) + theirs.count(b));
        let mut differing: Vec<(Option<Id>, Option<Id>)> = Vec::new();
        let (mut left, mut right) = (ours.children(a).peekable(), theirs.children(b).peekable());
        while let (Some(&x), Some(&y)) = (left.peek(), right.peek())
            && ours.name(x) == theirs.name(y)
        {
            if ours.hash(x) != theirs.hash(y) {
                differing.push((Some(x), Some(y)));
            }
            left.next();
            right.next();
        }
        let sorted = |document: &'a Document, rest: &mut dyn Iterator<Item = Id>| {
            let mut rest: Vec<_> = rest.map(|id| (document.name(id), id)).collect();
            rest.sort_unstable();
            rest
        };
        let (left, right) = (sorted(ours, &mut left), sorted(theirs, &mut right));
        let (mut i, mut j) = (0, 0);
        while i < left.len() || j < right.len() {
            let order = match (left.get(i), right.get(j)) {
                (Some((x, _)), Some((y, _))) => x.cmp(y),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, _) => std::cmp::Ordering::Greater,
            };
            let x = order.is_le().then(|| left[i].1);
            let y = order.is_ge().then(|| right[j].1);
            if x.map(|x| ours.hash(x)) != y.map(|y| theirs.hash(y)) {
                differing.push((x, y));
            }
            i += usize::from(x.is_some());
            j += usize::from(y.is_some());
        }
        let name = |pair: &(Option<Id>, Option<Id>)| pair.0.map(|x| ours.name(x)).or(pair.1.map(|y| theirs.name(y)));
        differing.sort_by(|a, b| name(a).cmp(&name(b)));
        let compare = |(ours, theirs)| Task::Compare { ours, theirs, step: Reached::Member };
        self.inside.extend(differing.into_iter().map(compare));
    }

    fn decided(&mut self, rule: &Rule) {
        self.used.insert(rule.index);
    }

    fn found(&mut self, kind: DifferenceKind, transition: String, excerpts: impl FnOnce() -> (String, String)) {
        let (place, example) = (self.place.general(), self.place.exact());
        let shortened = matches!(place, Cow::Owned(_));
        self.findings.add(Found { place: &place, example: &example, kind, transition, shortened }, excerpts);
    }
}

impl<'a> Side<'a> {
    fn loose(&self, width: Width, root: &Scope<'a>, work: &Work) -> &Loose<'a> {
        let cell = if width == Width::Narrow { &self.narrow } else { &self.wide };
        cell.get_or_init(|| Loose::of(self.document, root.clone(), work, width))
    }
}
