//! JSON paths: the patterns of rules, and the place of the walk.
//!
//! A pattern is `$` followed by `.name`, `["any name"]`, `[3]`, `[*]` (every element), `.*` (every member) or `..name`
//! (members of that name at any depth).

use std::fmt;

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
    Index(usize),
    AnyIndex,
    /// A member of that name, here or anywhere below.
    Descend(String),
}

/// A pattern of places in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(pub(crate) Vec<Step>);

/// What leads from a value to one inside it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Child<'a> {
    Member(&'a str),
    Index(usize),
}

impl Step {
    pub(crate) fn matches(&self, child: Child<'_>) -> bool {
        match (self, child) {
            (Self::Member(name) | Self::Descend(name), Child::Member(member)) => name == member,
            (Self::Index(index), Child::Index(at)) => *index == at,
            (Self::AnyMember, Child::Member(_)) | (Self::AnyIndex, Child::Index(_)) => true,
            _ => false,
        }
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
        Ok(Self(steps))
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
        ("*", true) => Err("..* would match everything"),
        ("*", false) => Ok((Step::AnyMember, tail)),
        (name, true) => Ok((Step::Descend(name.to_owned()), tail)),
        (name, false) => Ok((Step::Member(name.to_owned()), tail)),
    }
}

/// Where the walk stands, as it is and with array indexes generalised to `[*]`.
#[derive(Debug)]
pub(crate) struct Place {
    exact: String,
    general: String,
}

impl Place {
    pub(crate) fn root() -> Self {
        Self { exact: "$".to_owned(), general: "$".to_owned() }
    }

    pub(crate) fn exact(&self) -> &str {
        &self.exact
    }

    pub(crate) fn general(&self) -> &str {
        &self.general
    }

    /// Runs `visit` one step further down.
    pub(crate) fn within<T>(&mut self, child: Child<'_>, visit: impl FnOnce(&mut Self) -> T) -> T {
        let before = (self.exact.len(), self.general.len());
        match child {
            Child::Member(name) => {
                let step = MemberStep(name).to_string();
                self.exact.push_str(&step);
                self.general.push_str(&step);
            }
            Child::Index(index) => {
                self.exact.push_str(&format!("[{index}]"));
                self.general.push_str("[*]");
            }
        }
        let result = visit(self);
        self.exact.truncate(before.0);
        self.general.truncate(before.1);
        result
    }
}

/// `.name`, or `["any name"]` where that would be ambiguous. Names longer than 64 characters are cut: they are data.
struct MemberStep<'a>(&'a str);

impl fmt::Display for MemberStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: &str = match self.0.char_indices().nth(64) {
            Some((end, _)) => &self.0[..end],
            None => self.0,
        };
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if plain { write!(f, ".{name}") } else { write!(f, "[{}]", serde_json::Value::from(name)) }
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
            ("$..*", "everything"),
        ] {
            let error = JsonPath::parse(bad).unwrap_err().to_string();
            assert!(error.contains(problem), "{bad}: {error}");
        }
    }
}
