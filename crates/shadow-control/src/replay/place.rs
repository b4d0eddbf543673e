//! A place in a JSON body, as rules that learn from answers name it.
//!
//! Pure. It is followed through two documents at once, so that what stands at the same place in both is a pair.

use serde_json::Value;

const SUPPORTED: &str = "supported are $, .name, ['name'], [0] and [*]";

/// Steps of one path.
const MAX_STEPS: usize = 32;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
    Every,
}

/// A path such as `$.order.id` or `$.items[*].id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPlace(Vec<Step>);

impl JsonPlace {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it and what is supported.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("`{text}` {why}; {SUPPORTED}");
        let mut rest = text.strip_prefix('$').ok_or_else(|| refused("does not start with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| refused(&format!("cannot be followed from `{rest}` on")))?;
            steps.push(step);
            rest = after;
        }
        if steps.len() > MAX_STEPS {
            return Err(refused(&format!("has more than {MAX_STEPS} steps")));
        }
        Ok(Self(steps))
    }

    /// Follows the path through both documents and hands over the values of each place. What only one of them has is left out, and
    /// `missed` counts places of `one` that `other` does not have. `known_as` gives the name that a member of `one` may have instead.
    pub fn pairs<'v>(
        &self,
        one: &'v Value,
        other: &'v Value,
        known_as: &dyn Fn(&str) -> String,
        found: &mut dyn FnMut(&'v Value, &'v Value),
    ) -> usize {
        follow(&self.0, one, other, known_as, found)
    }
}

fn follow<'v>(
    steps: &[Step],
    one: &'v Value,
    other: &'v Value,
    known_as: &dyn Fn(&str) -> String,
    found: &mut dyn FnMut(&'v Value, &'v Value),
) -> usize {
    let Some((step, rest)) = steps.split_first() else {
        found(one, other);
        return 0;
    };
    let mut both = |one: Option<&'v Value>, other: Option<&'v Value>| match (one, other) {
        (Some(one), Some(other)) => follow(rest, one, other, known_as, found),
        (Some(_), None) => 1,
        (None, _) => 0,
    };
    match step {
        Step::Name(name) => both(one.get(name).or_else(|| one.get(known_as(name))), other.get(name)),
        Step::Index(index) => both(one.get(index), other.get(index)),
        Step::Every => {
            let elements = one.as_array().map(Vec::as_slice).unwrap_or_default();
            elements.iter().enumerate().map(|(at, element)| both(Some(element), other.get(at))).sum()
        }
    }
}

fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(rest) = rest.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let plain = !name.is_empty() && !name.contains(['*', ']', '\'', '"', ' ']);
        return plain.then(|| (Step::Name(name.to_owned()), rest));
    }
    let (inside, rest) = rest.strip_prefix('[')?.split_once(']')?;
    let quoted = |quote: char| inside.strip_prefix(quote)?.strip_suffix(quote).filter(|name| !name.contains(quote));
    let step = match inside {
        "*" => Step::Every,
        _ => match quoted('\'').or_else(|| quoted('"')) {
            Some(name) => Step::Name(name.to_owned()),
            None => Step::Index(inside.parse().ok()?),
        },
    };
    Some((step, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pairs(path: &str, one: Value, other: Value) -> (Vec<String>, usize) {
        let mut found = Vec::new();
        let known_as = |name: &str| format!("msk_{name}");
        let place = JsonPlace::parse(path).unwrap();
        let missed = place.pairs(&one, &other, &known_as, &mut |one, other| found.push(format!("{one} {other}")));
        (found, missed)
    }

    #[test]
    fn places_of_both_documents_are_paired() {
        let pair = |text: &str| (vec![text.to_owned()], 0);
        assert_eq!(pairs("$.a.id", json!({"a": {"id": 1}}), json!({"a": {"id": 2}})), pair("1 2"));
        assert_eq!(pairs("$['a.b'][1]", json!({"a.b": [1, 2]}), json!({"a.b": [3, 4]})), pair("2 4"));
        assert_eq!(pairs("$", json!("x"), json!("y")), pair("\"x\" \"y\""));
        assert_eq!(pairs("$.ref", json!({"msk_ref": 1}), json!({"ref": 2})), pair("1 2"));
        let (found, missed) = pairs(
            "$.items[*].id",
            json!({"items": [{"id": 1}, {}, {"id": 3}]}),
            json!({"items": [{"id": 7}, {"id": 8}]}),
        );
        assert_eq!((found, missed), (vec!["1 7".to_owned()], 1));
        assert_eq!(pairs("$.a", json!([]), json!({"a": 1})), (vec![], 0));
    }

    #[test]
    fn a_path_that_cannot_be_followed_is_refused_with_what_can() {
        for wrong in ["", "id", "$.", "$..id", "$.a[", "$.a[-1]", "$[?(@.a)]", "$.a[1:2]", "$.*", "$['a]", "$a"] {
            let error = JsonPlace::parse(wrong).unwrap_err();
            assert!(error.contains(SUPPORTED), "{wrong}: {error}");
        }
        assert!(JsonPlace::parse(&format!("${}", ".a".repeat(33))).is_err());
    }
}
