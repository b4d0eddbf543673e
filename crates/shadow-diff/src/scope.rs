//! Which rules hold where: the patterns of one route's rules, followed step by step through a document.
//!
//! Only patterns that may still match are followed, each with its states in one word, so a step costs as much as there are such
//! patterns, however deep the place is.

use std::cell::Cell;

use crate::path::{Child, JsonPath};
use crate::rules::{Rule, Rules, Treatment};
use crate::value::Equivalence;

/// Steps of work that one comparison may take before it is given up: about a second. A value costs a few, and one more for each
/// pattern that may still match there.
pub(crate) const MAX_WORK: u64 = 100_000_000;

/// Steps of work that were done, and may be.
#[derive(Debug)]
pub(crate) struct Work {
    done: Cell<u64>,
    limit: u64,
}

impl Work {
    pub(crate) fn up_to(limit: u64) -> Self {
        Self { done: Cell::new(0), limit }
    }

    pub(crate) fn add(&self, steps: usize) {
        self.done.set(self.done.get().saturating_add(steps as u64));
    }

    /// Whether the comparison is to be given up.
    pub(crate) fn exhausted(&self) -> bool {
        self.done.get() > self.limit
    }

    #[cfg(test)]
    pub(crate) fn done(&self) -> u64 {
        self.done.get()
    }
}

/// The rules at the place where a walk stands.
#[derive(Debug, Clone)]
pub(crate) struct Scope<'a> {
    patterns: Vec<(&'a JsonPath, &'a Rule)>,
    /// Patterns that may still match, with their states; those of the innermost place stand last.
    live: Vec<(u32, u64)>,
    places: Vec<Frame<'a>>,
    work: &'a Work,
}

#[derive(Debug, Clone, Copy)]
struct Frame<'a> {
    live_from: usize,
    /// The rule by which only the shape counts here and below.
    shape: Option<&'a Rule>,
    /// Whether it is a member of an object.
    member: bool,
}

impl<'a> Scope<'a> {
    /// The scope of `route` at the root of a body.
    pub(crate) fn new(rules: &'a Rules, route: &str, work: &'a Work) -> Self {
        let of_route = rules.of_route(route).flat_map(|rule| rule.paths.iter().map(move |path| (path, rule)));
        let patterns: Vec<_> = of_route.collect();
        let live = (0..patterns.len() as u32).map(|pattern| (pattern, 1)).collect();
        let mut scope = Self { patterns, live, places: vec![Frame { live_from: 0, shape: None, member: false }], work };
        scope.note_shape();
        scope
    }

    /// Whether no rule holds here or further down.
    pub(crate) fn is_quiet(&self) -> bool {
        let frame = self.frame();
        frame.shape.is_none() && frame.live_from == self.live.len()
    }

    /// The rules for this very place, in the order of the text.
    pub(crate) fn here(&self) -> impl Iterator<Item = &'a Rule> + '_ {
        let live = self.live[self.frame().live_from..].iter();
        live.filter_map(|&(at, states)| {
            let (path, rule) = self.patterns[at as usize];
            path.names(states).then_some(rule)
        })
    }

    /// The rule that ignores this place.
    pub(crate) fn ignored(&self) -> Option<&'a Rule> {
        self.here().find(|rule| matches!(rule.treatment, Treatment::Ignore))
    }

    /// The rule by which a null here may as well be absent. An element cannot be absent: without it the others move.
    pub(crate) fn null_is_missing(&self) -> Option<&'a Rule> {
        self.here().find(|rule| self.frame().member && matches!(rule.treatment, Treatment::NullIsMissing))
    }

    /// What counts as equal here by the rules for values.
    pub(crate) fn equivalences(&self) -> impl Iterator<Item = &'a Equivalence> + '_ {
        self.here().filter_map(|rule| match &rule.treatment {
            Treatment::Equivalence(equivalence) => Some(equivalence),
            _ => None,
        })
    }

    /// The rule that ignores a value right inside this place.
    pub(crate) fn ignores(&self, child: Child<'_>) -> Option<&'a Rule> {
        self.work.add(self.live.len() - self.frame().live_from);
        self.live[self.frame().live_from..].iter().find_map(|&(at, states)| {
            let (path, rule) = self.patterns[at as usize];
            let ignores = matches!(rule.treatment, Treatment::Ignore) && path.names(path.advance(states, child));
            ignores.then_some(rule)
        })
    }

    /// Whether some pattern may ignore a value right inside this place.
    pub(crate) fn may_ignore(&self) -> bool {
        let mut live = self.live[self.frame().live_from..].iter();
        live.any(|&(at, _)| matches!(self.patterns[at as usize].1.treatment, Treatment::Ignore))
    }

    /// The rule by which only types and names count here.
    pub(crate) fn shape(&self) -> Option<&'a Rule> {
        self.frame().shape
    }

    /// One step further down.
    pub(crate) fn enter(&mut self, child: Child<'_>) {
        let Frame { live_from, shape, .. } = *self.frame();
        let member = matches!(child, Child::Member(_));
        let live_to = self.live.len();
        self.work.add(1 + live_to - live_from);
        for at in live_from..live_to {
            let (pattern, states) = self.live[at];
            let states = self.patterns[pattern as usize].0.advance(states, child);
            if states != 0 {
                self.live.push((pattern, states));
            }
        }
        self.places.push(Frame { live_from: live_to, shape, member });
        self.note_shape();
    }

    /// One step back up.
    pub(crate) fn leave(&mut self) {
        let frame = self.places.pop().expect("a step down comes before the step up");
        self.live.truncate(frame.live_from);
    }

    fn note_shape(&mut self) {
        let own = self.here().find(|rule| matches!(rule.treatment, Treatment::Shape));
        let frame = self.places.last_mut().expect("the root's stays");
        frame.shape = frame.shape.or(own);
    }

    fn frame(&self) -> &Frame<'a> {
        self.places.last().expect("the root's stays")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_descents_cost_one_word_however_deep() {
        let rules = Rules::parse("[[ignore]]\njson = [\"$..a..a..a..a..b\", \"$..a..a..a\"]").unwrap();
        let work = Work::up_to(MAX_WORK);
        let mut scope = Scope::new(&rules, "GET /a", &work);
        for depth in 1..=1000 {
            scope.enter(Child::Member("a"));
            assert_eq!(scope.ignored().is_some(), depth >= 3);
        }
        assert_eq!(work.done(), 3 * 1000);
        scope.enter(Child::Member("b"));
        assert!(scope.ignored().is_some());
    }

    #[test]
    fn patterns_that_cannot_match_any_more_cost_nothing() {
        let text: String = (0..500).map(|i| format!("[[ignore]]\njson = [\"$.m{i}.x\"]\n")).collect();
        let (rules, work) = (Rules::parse(&text).unwrap(), Work::up_to(MAX_WORK));
        let mut scope = Scope::new(&rules, "GET /a", &work);
        scope.enter(Child::Member("m7"));
        let before = work.done();
        (0..1000).for_each(|_| scope.enter(Child::Member("y")));
        assert!(work.done() - before <= 1002, "{}", work.done());
        assert!(scope.is_quiet());
    }
}
