//! Paths into JSON: the part of RFC 9535 that can be followed in one pass.

use super::Name;

const SUPPORTED: &str = "supported are $, .name, ['name'], [*], .*, ..name, ..['name'] and ..*";
/// Steps of one path; states of a match are bits of a `u64`, one more than there are steps.
const MAX_STEPS: usize = 63;

/// One step down from a node.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Whether it may skip any number of levels first (`..`).
    pub(crate) descends: bool,
    /// The member's name; `None` for any member or element.
    pub(crate) name: Option<Name>,
}

/// A path such as `$.items[*].name`.
#[derive(Clone, Debug)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Parses a path; the error says what is wrong and what is supported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').ok_or_else(|| format!("`{text}` does not start with $; {SUPPORTED}"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| {
                format!(
                    "`{rest}` at character {} of `{text}`; {SUPPORTED}",
                    text.chars().count() - rest.chars().count() + 1
                )
            })?;
            steps.push(step);
            rest = after;
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("a path of {} steps is longer than {MAX_STEPS}", steps.len()));
        }
        Ok(Self(steps))
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(super) fn names_mut(&mut self) -> impl Iterator<Item = &mut Name> {
        self.0.iter_mut().filter_map(|step| step.name.as_mut())
    }

    /// The states of a child: bit `i` says that the first `i` steps lead to it. `name` is `None` for an array's element.
    pub(crate) fn advance(&self, states: u64, name: Option<&[u8]>) -> u64 {
        let mut next = 0;
        for (i, step) in self.0.iter().enumerate().filter(|(i, _)| states >> i & 1 == 1) {
            if step.descends {
                next |= 1 << i;
            }
            if step.name.as_ref().is_none_or(|wanted| name.is_some_and(|name| wanted.matches(name))) {
                next |= 1 << (i + 1);
            }
        }
        next
    }

    /// Whether the whole path leads to the node of these states.
    pub(crate) fn selects(&self, states: u64) -> bool {
        states >> self.0.len() & 1 == 1
    }
}

fn step(rest: &str) -> Option<(Step, &str)> {
    let (descends, rest) = match rest.strip_prefix("..") {
        Some(rest) => (true, rest),
        None if rest.starts_with('[') => (false, rest),
        None => (false, rest.strip_prefix('.')?),
    };
    let (name, rest) = match rest.strip_prefix('[') {
        Some(bracket) => bracketed(bracket)?,
        None => match rest.strip_prefix('*') {
            Some(rest) => (None, rest),
            None => {
                let end = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()))
                    .unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                let valid = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
                (Some(valid.then(|| Name::of(name.as_bytes()))?), rest)
            }
        },
    };
    Some((Step { descends, name }, rest))
}

/// What stands in brackets: `*]` or `'name']`, with `\'` and `\\` escaped.
fn bracketed(rest: &str) -> Option<(Option<Name>, &str)> {
    if let Some(rest) = rest.strip_prefix("*]") {
        return Some((None, rest));
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut name = String::new();
    let mut characters = rest[1..].char_indices();
    loop {
        match characters.next()? {
            (_, '\\') => name.push(characters.next().map(|(_, c)| c).filter(|c| *c == quote || *c == '\\')?),
            (at, c) if c == quote => {
                return Some((Some(Name::of(name.into_bytes())), rest[1 + at + 1..].strip_prefix(']')?));
            }
            (_, c) => name.push(c),
        }
    }
}
