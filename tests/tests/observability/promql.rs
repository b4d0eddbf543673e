//! What a PromQL expression speaks of: the samples it selects, with the labels it names on them, and the labels it groups by.

use std::collections::BTreeSet;

/// What an expression speaks of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Names of samples, each with the labels in its braces.
    pub(crate) selected: Vec<(String, BTreeSet<String>)>,
    /// Labels in `by`, `without`, `on` and `ignoring`.
    pub(crate) grouped: BTreeSet<String>,
}

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// Reads an expression as PromQL does, as far as names go.
pub(crate) fn used(expression: &str) -> Used {
    let mut used = Used::default();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = after_string(rest);
        } else if first == '[' {
            rest = rest.split_once(']').map_or("", |(_, rest)| rest);
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let next = behind.trim_start();
            rest = behind;
            if GROUPING.contains(&word) && next.starts_with('(') {
                let (labels, behind) = next[1..].split_once(')').unwrap_or((&next[1..], ""));
                used.grouped.extend(labels.split(',').map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned));
                rest = behind;
            } else if OPERATORS.contains(&word) || ["(", "by ", "by(", "without"].iter().any(|o| next.starts_with(o)) {
                // An operator, a function or an aggregation.
            } else if let Some(braced) = next.strip_prefix('{') {
                let (labels, behind) = matchers(braced);
                used.selected.push((word.to_owned(), labels));
                rest = behind;
            } else {
                used.selected.push((word.to_owned(), BTreeSet::new()));
            }
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    used
}

/// The labels up to the closing brace, and what follows it.
fn matchers(mut rest: &str) -> (BTreeSet<String>, &str) {
    let mut labels = BTreeSet::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return (labels, behind);
        }
        let Some(quote) = rest.find('"') else { return (labels, "") };
        labels.insert(rest[..quote].trim_end_matches(['=', '!', '~', ' ']).to_owned());
        rest = after_string(&rest[quote..]);
    }
}

/// What follows the string that `rest` begins with.
fn after_string(rest: &str) -> &str {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return &rest[at + 1..],
            _ => {}
        }
    }
    ""
}

#[test]
fn names_and_labels_are_told_from_functions_operators_and_text() {
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let used = used(
        "histogram_quantile(0.99, sum by (le, held_by) (rate(a_bucket{launch=~\"$launch\", x!=\"}\\\"\"}[5m]))) > 3600 * b and on (launch) c offset 5m > 1e3",
    );
    assert_eq!(used.grouped, labels(&["le", "held_by", "launch"]));
    let selected = [("a_bucket", labels(&["launch", "x"])), ("b", labels(&[])), ("c", labels(&[]))];
    assert_eq!(used.selected, selected.map(|(name, labels)| (name.to_owned(), labels)));
}
