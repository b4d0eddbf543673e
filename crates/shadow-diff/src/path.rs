//! JSON paths: the patterns of rules, and the place of the walk.
//!
//! A pattern is `$` followed by `.name`, `["any name"]`, `[3]`, `[*]` (every element), `.*` (every member) or `..name`
//! (members of that name at any depth) or `..*` (everything below).

use std::borrow::Cow;
use std::fmt;

use crate::document::{Document, Id, Kind};

/// A path that cannot be used in a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a JSON path: {problem}; write it as $.items[*].price")]
pub struct InvalidPath {
    path: String,
    problem: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Member(String),
    AnyMember,
    Index(u32),
    AnyIndex,
    /// A member of that name, here or anywhere below.
    Descend(String),
    /// Anything below.
    DescendAny,
}

/// Most steps of a pattern: what was matched of it is a set of bits in one word.
const MAX_STEPS: usize = 63;

/// A pattern of places in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(pub(crate) Vec<Step>);

/// Where an exact path leads in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Led {
    To(Id),
    Nowhere,
    /// To an object that repeats a name, and no further.
    Ambiguous(Id),
}

impl Led {
    /// The value, if it leads to one.
    pub(crate) fn to(self) -> Option<Id> {
        match self {
            Self::To(id) => Some(id),
            Self::Nowhere | Self::Ambiguous(_) => None,
        }
    }
}

/// What leads from a value to one inside it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Child<'a> {
    Member(&'a str),
    Index(u32),
    /// Some element, when it does not matter which.
    Element,
}

impl Step {
    fn matches(&self, child: Child<'_>) -> bool {
        match (self, child) {
            (Self::Member(name) | Self::Descend(name), Child::Member(member)) => name == member,
            (Self::Index(index), Child::Index(at)) => *index == at,
            (Self::AnyMember, Child::Member(_)) | (Self::AnyIndex, Child::Index(_) | Child::Element) => true,
            (Self::DescendAny, _) => true,
            _ => false,
        }
    }

    fn descends(&self) -> bool {
        matches!(self, Self::Descend(_) | Self::DescendAny)
    }
}

impl JsonPath {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`InvalidPath`] with the problem.
    pub fn parse(path: &str) -> Result<Self, InvalidPath> {
        let invalid = |problem| InvalidPath { path: path.to_owned(), problem };
        let mut rest = path.trim().strip_prefix('$').ok_or_else(|| invalid("it does not start with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, tail) = next_step(rest).map_err(invalid)?;
            steps.push(step);
            rest = tail;
        }
        if steps.len() > MAX_STEPS { Err(invalid("it has more than 63 steps")) } else { Ok(Self(steps)) }
    }

    /// Parses a path that names one place: names and indexes only.
    pub(crate) fn exact(path: &str) -> Result<Self, InvalidPath> {
        let parsed = Self::parse(path)?;
        if parsed.0.iter().all(|step| matches!(step, Step::Member(_) | Step::Index(_))) {
            return Ok(parsed);
        }
        Err(InvalidPath { path: path.to_owned(), problem: "it must name one place, without * and .." })
    }

    /// The states one step further down; bit n says that the first n steps are matched. The root's states are 1.
    pub(crate) fn advance(&self, states: u64, child: Child<'_>) -> u64 {
        let (mut next, mut rest) = (0, states);
        while rest != 0 {
            let at = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let Some(step) = self.0.get(at) else { continue };
            if step.matches(child) {
                next |= 1 << (at + 1);
            }
            if step.descends() {
                next |= 1 << at;
            }
        }
        next
    }

    /// Whether the place with these states is one that the pattern names.
    pub(crate) fn names(&self, states: u64) -> bool {
        states >> self.0.len() & 1 == 1
    }

    /// The pattern with names as places have them, which cut long ones.
    pub(crate) fn reported(mut self) -> Self {
        for step in &mut self.0 {
            if let Step::Member(name) | Step::Descend(name) = step {
                name.truncate(cut(name).len());
            }
        }
        self
    }

    /// Whether the pattern names the place that `steps` lead to.
    pub(crate) fn covers(&self, steps: &[Step]) -> bool {
        let child = |step| match step {
            &Step::Index(index) => Child::Index(index),
            Step::Member(name) => Child::Member(name),
            _ => Child::Element,
        };
        self.names(steps.iter().fold(1, |states, step| self.advance(states, child(step))))
    }

    /// The value that an [`exact`](Self::exact) path leads to from `from`.
    pub(crate) fn find(&self, document: &Document, from: Id) -> Led {
        let led = self.0.iter().try_fold(from, |at, step| {
            let child = match (step, document.kind(at)) {
                (Step::Member(name), Kind::Object) => document.children(at).find(|&child| document.name(child) == name),
                (Step::Index(index), Kind::Array) => document.children(at).nth(*index as usize),
                (Step::Member(_), Kind::Ambiguous) => return Err(Led::Ambiguous(at)),
                _ => None,
            };
            child.ok_or(Led::Nowhere)
        });
        led.map_or_else(|led| led, Led::To)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|step| match step {
            Step::Member(name) => MemberStep(name).fmt(f),
            Step::AnyMember => f.write_str(".*"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::AnyIndex => f.write_str("[*]"),
            Step::Descend(name) => write!(f, "..{name}"),
            Step::DescendAny => f.write_str("..*"),
        })
    }
}

fn next_step(rest: &str) -> Result<(Step, &str), &'static str> {
    if let Some(inside) = rest.strip_prefix('[') {
        if inside.starts_with('"') {
            let mut names = serde_json::Deserializer::from_str(inside).into_iter::<String>();
            let Some(Ok(name)) = names.next() else { return Err("a quoted name is not closed") };
            let tail = inside[names.byte_offset()..].strip_prefix(']').ok_or("a bracket is not closed")?;
            return Ok((Step::Member(name), tail));
        }
        let (index, tail) = inside.split_once(']').ok_or("a bracket is not closed")?;
        let step = match index {
            "*" => Step::AnyIndex,
            number => Step::Index(number.parse().map_err(|_| "an index is a number, * or a quoted name")?),
        };
        return Ok((step, tail));
    }
    let (descend, names) = match (rest.strip_prefix(".."), rest.strip_prefix('.')) {
        (Some(names), _) => (true, names),
        (None, Some(names)) => (false, names),
        (None, None) => return Err("a step starts with . or ["),
    };
    let (name, tail) = names.split_at(names.find(['.', '[']).unwrap_or(names.len()));
    match (name, descend) {
        ("", _) => Err("a name is empty"),
        ("*", true) => Ok((Step::DescendAny, tail)),
        ("*", false) => Ok((Step::AnyMember, tail)),
        (name, true) => Ok((Step::Descend(name.to_owned()), tail)),
        (name, false) => Ok((Step::Member(name.to_owned()), tail)),
    }
}

/// Most bytes of a place that is reported. Of a longer one the middle is left out.
const MAX_PLACE: usize = 512;

/// Where the walk stands, as it is and with array indexes generalised to `[*]`.
#[derive(Debug, Default)]
pub(crate) struct Place {
    exact: String,
    general: String,
    outer: Vec<(usize, usize)>,
}

impl Place {
    pub(crate) fn root() -> Self {
        Self { exact: "$".to_owned(), general: "$".to_owned(), outer: Vec::new() }
    }

    pub(crate) fn exact(&self) -> Cow<'_, str> {
        shortened(&self.exact)
    }

    pub(crate) fn general(&self) -> Cow<'_, str> {
        shortened(&self.general)
    }

    /// One step further down.
    pub(crate) fn enter(&mut self, child: Child<'_>) {
        use fmt::Write;
        self.outer.push((self.exact.len(), self.general.len()));
        // Writing to a string cannot fail.
        let _ = match child {
            Child::Member(name) => {
                let start = self.exact.len();
                let written = MemberStep(name).write(&mut self.exact);
                self.general.push_str(&self.exact[start..]);
                written
            }
            Child::Index(index) => {
                self.general.push_str("[*]");
                write!(self.exact, "[{index}]")
            }
            Child::Element => {
                self.general.push_str("[*]");
                self.exact.write_str("[*]")
            }
        };
    }

    /// One step back up.
    pub(crate) fn leave(&mut self) {
        let (exact, general) = self.outer.pop().expect("a step down comes before the step up");
        self.exact.truncate(exact);
        self.general.truncate(general);
    }
}

fn shortened(place: &str) -> Cow<'_, str> {
    if place.len() <= MAX_PLACE {
        return Cow::Borrowed(place);
    }
    let (head, tail) =
        (place.floor_char_boundary(MAX_PLACE * 2 / 3), place.ceil_char_boundary(place.len() - MAX_PLACE / 3));
    Cow::Owned(format!("{}…{}", &place[..head], &place[tail..]))
}

/// Names longer than 64 characters are cut in places: they are data.
fn cut(name: &str) -> &str {
    name.char_indices().nth(64).map_or(name, |(end, _)| &name[..end])
}

/// `.name`, or `["any name"]` where that would be ambiguous.
struct MemberStep<'a>(&'a str);

impl MemberStep<'_> {
    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let name = cut(self.0);
        // Readers of other formats than JSON put a mark in front: `@id` for attributes, `#text` for text.
        let word = name.strip_prefix(['@', '#']).unwrap_or(name);
        let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if plain {
            out.write_str(".")?;
            out.write_str(name)
        } else {
            write!(out, "[{}]", serde_json::Value::from(name))
        }
    }
}

impl fmt::Display for MemberStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_parse_into_their_steps() {
        let steps = JsonPath::parse(r#"$.items[*]["a.b"][3].*..at"#).unwrap().0;
        assert_eq!(
            steps,
            [
                Step::Member("items".into()),
                Step::AnyIndex,
                Step::Member("a.b".into()),
                Step::Index(3),
                Step::AnyMember,
                Step::Descend("at".into())
            ]
        );
        assert_eq!(JsonPath::parse("$").unwrap().0, []);
    }

    #[test]
    fn broken_patterns_are_refused_with_the_problem() {
        for (bad, problem) in [
            ("items", "start with $"),
            ("$items", "starts with . or ["),
            ("$.", "empty"),
            ("$.a..", "empty"),
            ("$[", "closed"),
            ("$[x]", "index"),
            ("$[\"a]", "closed"),
        ] {
            let error = JsonPath::parse(bad).unwrap_err().to_string();
            assert!(error.contains(problem), "{bad}: {error}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for path in ["$", r#"$.items[*]["a.b"][3].*..at"#, "$..*"] {
            assert_eq!(JsonPath::parse(path).unwrap().to_string(), path);
        }
    }

    #[test]
    fn a_pattern_covers_the_places_it_names() {
        let covers =
            |pattern: &str, place: &str| JsonPath::parse(pattern).unwrap().covers(&JsonPath::parse(place).unwrap().0);
        for (pattern, place) in [
            ("$", "$"),
            ("$.a.b", "$.a.b"),
            ("$.items[*].p", "$.items[*].p"),
            ("$.items[*].p", "$.items[7].p"),
            ("$..p", "$.items[*].p"),
            ("$..a..a", "$.a.b.a"),
            ("$.a..*", "$.a.b[*].c"),
        ] {
            assert!(covers(pattern, place), "{pattern} {place}");
        }
        for (pattern, place) in
            [("$", "$.a"), ("$.a", "$.a.b"), ("$.a..*", "$.a"), ("$[3]", "$[*]"), ("$..a..a", "$.a.b"), ("$.*", "$[*]")]
        {
            assert!(!covers(pattern, place), "{pattern} {place}");
        }
    }

    #[test]
    fn a_deep_place_is_shortened_in_the_middle() {
        let mut place = Place::root();
        for _ in 0..10_000 {
            place.enter(Child::Member("ä"));
        }
        place.enter(Child::Member("end"));
        assert!(place.general().len() <= MAX_PLACE + 8);
        assert!(place.general().starts_with("$.ä.ä") && place.general().ends_with("ä.end"));
        (0..10_001).for_each(|_| place.leave());
        assert_eq!(place.exact(), "$");
    }
}
