//! Paths into JSON: the part of RFC 9535 that can be followed in one pass, forwards.
//!
//! Names, wildcards, descent, indexes and slices from the front, and lists of them. Filters are refused: what a filter compares is masked on
//! one side of a comparison and not on the other, so the two answers would be selected differently. Places counted from the end of an
//! array are refused, as they are not known before it ends.

use super::Name;

const SUPPORTED: &str = "supported are $, .name, ['name'], [*], .*, [0], [0:9:2], [0,'name'], ..name, ..[...] and ..*";
/// Steps of one path; states of a match are bits of a `u64`, one more than there are steps.
const MAX_STEPS: usize = 63;

/// A child, as its parent knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Child<'n> {
    Member(&'n [u8]),
    Element(usize),
}

/// One selector of a step.
#[derive(Clone, Debug)]
enum Selector {
    Any,
    Name(Name),
    Index(usize),
    Slice { start: usize, end: usize, step: usize },
}

impl Selector {
    fn selects(&self, child: Child<'_>) -> bool {
        match (self, child) {
            (Self::Any, _) => true,
            (Self::Name(wanted), Child::Member(name)) => wanted.matches(name),
            (Self::Index(wanted), Child::Element(index)) => *wanted == index,
            (Self::Slice { start, end, step }, Child::Element(index)) => {
                (*start..*end).contains(&index) && (index - start).is_multiple_of(*step)
            }
            _ => false,
        }
    }
}

/// One step down from a node.
#[derive(Clone, Debug)]
struct Step {
    /// Whether it may skip any number of levels first (`..`).
    descends: bool,
    selectors: Vec<Selector>,
}

/// A path such as `$.items[*].name`.
#[derive(Clone, Debug)]
pub(crate) struct JsonPath {
    steps: Vec<Step>,
    /// States that stay as they are on the way down: a bit for every step that descends.
    descents: u64,
    /// States that every child leads on.
    wildcards: u64,
    /// States that an element may lead on by its place.
    places: u64,
    /// A bit for the length of every name: few members have a name of such a length, and the others lead no further.
    lengths: u64,
}

impl JsonPath {
    /// Parses a path; the error says what is wrong and what is supported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').ok_or_else(|| format!("`{text}` does not start with $; {SUPPORTED}"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| {
                let at = text.chars().count() - rest.chars().count() + 1;
                format!("`{rest}` at character {at} of `{text}`: {}{SUPPORTED}", why_not(rest))
            })?;
            steps.push(step);
            rest = after;
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("a path of {} steps is longer than {MAX_STEPS}", steps.len()));
        }
        let mut path = Self { steps, descents: 0, wildcards: 0, places: 0, lengths: 0 };
        for (i, step) in path.steps.iter().enumerate() {
            path.descents |= u64::from(step.descends) << i;
            for selector in &step.selectors {
                match selector {
                    Selector::Any => path.wildcards |= 1 << i,
                    Selector::Index(_) | Selector::Slice { .. } => path.places |= 1 << i,
                    Selector::Name(name) => path.lengths |= length_bit(name.as_bytes()),
                }
            }
        }
        Ok(path)
    }

    /// Whether it selects the whole document.
    pub(crate) fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.steps.iter().flat_map(|step| &step.selectors).filter_map(|selector| match selector {
            Selector::Name(name) => Some(name),
            _ => None,
        })
    }

    /// The states of a child: bit `i` says that the first `i` steps lead to it.
    #[inline]
    pub(crate) fn advance(&self, states: u64, child: Child<'_>) -> u64 {
        let next = states & self.descents | (states & self.wildcards) << 1;
        let may_lead_on = match child {
            Child::Member(name) => states != 0 && self.lengths & length_bit(name) != 0,
            Child::Element(_) => states & self.places != 0,
        };
        if may_lead_on { next | self.led_on(states, child) } else { next }
    }

    /// The states that a child's name or place leads to.
    fn led_on(&self, states: u64, child: Child<'_>) -> u64 {
        let steps = self.steps.iter().enumerate().filter(|(i, _)| states >> i & 1 == 1);
        let leads = steps.filter(|(_, step)| step.selectors.iter().any(|selector| selector.selects(child)));
        leads.fold(0, |next, (i, _)| next | 1 << (i + 1))
    }

    /// Whether the whole path leads to the node of these states.
    #[inline]
    pub(crate) fn selects(&self, states: u64) -> bool {
        states >> self.steps.len() & 1 == 1
    }
}

/// The bit that stands for the length of a name; the longest share one.
#[inline]
fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// What there is to say about a step that is RFC 9535 and refused all the same.
fn why_not(rest: &str) -> &'static str {
    if rest.starts_with("[?") || rest.starts_with("..[?") {
        "filters compare values, which are masked on the other side; "
    } else if rest.starts_with("[-") || rest.starts_with("..[-") {
        "places from the end are not known before the array ends; "
    } else {
        ""
    }
}

fn step(rest: &str) -> Option<(Step, &str)> {
    let (descends, rest) = match rest.strip_prefix("..") {
        Some(rest) => (true, rest),
        None if rest.starts_with('[') => (false, rest),
        None => (false, rest.strip_prefix('.')?),
    };
    let (selectors, rest) = match rest.strip_prefix('[') {
        Some(bracket) => bracketed(bracket)?,
        None => match rest.strip_prefix('*') {
            Some(rest) => (vec![Selector::Any], rest),
            None => {
                let end = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()))
                    .unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                let valid = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
                (vec![Selector::Name(valid.then(|| Name::of(name.as_bytes()))?)], rest)
            }
        },
    };
    Some((Step { descends, selectors }, rest))
}

/// What stands in brackets, up to and past the closing one.
fn bracketed(rest: &str) -> Option<(Vec<Selector>, &str)> {
    let mut selectors = Vec::new();
    let mut rest = rest.trim_start();
    loop {
        let (selector, after) = selector(rest)?;
        selectors.push(selector);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None => return Some((selectors, rest.strip_prefix(']')?)),
        }
    }
}

fn selector(rest: &str) -> Option<(Selector, &str)> {
    if let Some(rest) = rest.strip_prefix('*') {
        return Some((Selector::Any, rest));
    }
    if rest.starts_with(['\'', '"']) {
        return quoted(rest);
    }
    let end = rest.find([',', ']'])?;
    let (range, rest) = rest.split_at(end);
    let parts: Vec<&str> = range.split(':').map(str::trim).collect();
    let number = |text: &str, default: usize| if text.is_empty() { Some(default) } else { text.parse().ok() };
    let selector = match parts[..] {
        [index] => Selector::Index(index.parse().ok()?),
        [start, end] => Selector::Slice { start: number(start, 0)?, end: number(end, usize::MAX)?, step: 1 },
        [start, end, step] => {
            let step = number(step, 1).filter(|step| *step > 0)?;
            Selector::Slice { start: number(start, 0)?, end: number(end, usize::MAX)?, step }
        }
        _ => return None,
    };
    Some((selector, rest))
}

/// `'name'`, with `\'` and `\\` escaped.
fn quoted(rest: &str) -> Option<(Selector, &str)> {
    let quote = rest.chars().next()?;
    let mut name = String::new();
    let mut characters = rest[1..].char_indices();
    loop {
        match characters.next()? {
            (_, '\\') => name.push(characters.next().map(|(_, c)| c).filter(|c| *c == quote || *c == '\\')?),
            (at, c) if c == quote => return Some((Selector::Name(Name::of(name.into_bytes())), &rest[1 + at + 1..])),
            (_, c) => name.push(c),
        }
    }
}
