//! Which rule covers what flaps at a place: the narrowest one under which the comparison itself finds every example equal. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use shadow_diff::{CompareResult, Rules, compare};
use shadow_record::{Body, Header, LaunchName, Response, Timestamp};

use super::Seen;
use crate::words::count;

/// How a rule is written: its table, what else stands in it, and how that reads in a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    table: &'static str,
    says: &'static str,
    words: &'static str,
}

const fn form(table: &'static str, says: &'static str, words: &'static str) -> Form {
    Form { table, says, words }
}

/// Forms for values, narrowest first. What is wider than these ignores the place.
const VALUES: &[Form] = &[
    form("normalize", "whitespace = true", "white space"),
    form("normalize", "case = true", "case"),
    form("normalize", "case = true\nwhitespace = true", "case and white space"),
    form("normalize", "number_type = true", "one number, written differently"),
    form("uuid", "", "UUIDs"),
    form("timestamp", "within = \"1s\"", "times within a second"),
    form("timestamp", "within = \"10s\"", "times within ten seconds"),
    form("timestamp", "within = \"1m\"", "times within a minute"),
    form("timestamp", "within = \"10m\"", "times within ten minutes"),
    form("timestamp", "within = \"1h\"", "times within an hour"),
    form("tolerance", "relative = 0.001", "numbers within a thousandth"),
    form("tolerance", "relative = 0.01", "numbers within a hundredth"),
    form("tolerance", "relative = 0.1", "numbers within a tenth"),
];
const UNORDERED: Form = form("unordered", "", "the same elements in another order");
const NULL_IS_MISSING: Form = form("null_is_missing", "", "null on one side, absent on the other");
const IGNORE: Form = form("ignore", "", "nothing that a narrower rule covers");

/// Numbers from here on may be times: seconds since 1970, in 2001. Smaller ones are taken for amounts, although the comparison would
/// read them as times too.
const OLDEST_EPOCH: f64 = 1e9;

/// Rules as TOML for everything seen, each with its evidence.
pub(super) fn rules(launch: &LaunchName, seen: &[Seen]) -> String {
    let mut text = format!("# Rules for the noise that {launch} has seen. Read before use.\n");
    let mut places: BTreeMap<(&str, &str), Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        places.entry((&one.row.route, &one.row.place)).or_default().push(one);
    }
    if places.is_empty() {
        text.push_str("#\n# There is none: no rules are needed.\n");
    }
    for ((route, place), seen) in places {
        text.push('\n');
        for one in &seen {
            let row = &one.row;
            let _ = match row.basis.as_str() {
                "live" => writeln!(
                    text,
                    "# {} ({}): two copies of the live build differ here in {} of {} pairs.",
                    row.kind,
                    row.transition,
                    count(row.control_differing),
                    count(row.pairs)
                ),
                basis => writeln!(text, "# {} ({}): {basis} in the service's noise profile.", row.kind, row.transition),
            };
        }
        text.push_str(&rule(route, place, &seen));
    }
    text
}

/// The rule for one place, or a comment that says why there is none.
fn rule(route: &str, place: &str, seen: &[&Seen]) -> String {
    let Some(at) = Location::of(place) else {
        return format!("# No rule suits `{place}` on {route}: one that covered it would hide faults.\n");
    };
    let form = narrowest(&at, seen);
    let examples = seen.iter().map(|one| one.examples.len()).sum::<usize>();
    let evidence = format!("# Examples seen: {examples}, showing {}.\n", form.words);
    let text = format!("{evidence}{}", written(form, &at, Some(route)));
    match Rules::parse(&text) {
        Ok(_) => text,
        Err(error) => format!("# No rule can name `{place}` on {route}: {}.\n", error.problem),
    }
}

fn narrowest(at: &Location<'_>, seen: &[&Seen]) -> Form {
    let of_kind = |kind: &str| seen.iter().all(|one| one.row.kind == kind);
    let nothing_known = seen.iter().any(|one| one.examples.is_empty());
    if of_kind("order") {
        return UNORDERED;
    }
    if seen.iter().all(|one| matches!(one.row.transition.as_str(), "null->absent" | "absent->null")) {
        return NULL_IS_MISSING;
    }
    if nothing_known || seen.iter().any(|one| matches!(one.row.kind.as_str(), "missing" | "added" | "order")) {
        return IGNORE;
    }
    let examples: Vec<_> = seen.iter().flat_map(|one| &one.examples).collect();
    let covers = |form: &&Form| examples.iter().all(|(primary, candidate)| covers(**form, at, primary, candidate));
    VALUES.iter().find(covers).copied().unwrap_or(IGNORE)
}

/// Whether the comparison finds an example equal under the rule.
fn covers(form: Form, at: &Location<'_>, primary: &str, candidate: &str) -> bool {
    if form.table == "timestamp" && [primary, candidate].iter().any(|text| is_amount(text)) {
        return false;
    }
    let (rule, answer): (String, fn(&str) -> Response) = match at {
        Location::Json(_) => (written(form, &Location::Json("$.x"), None), in_body),
        Location::Header(_) => {
            (format!("headers = [\"x\"]\n{}", written(form, &Location::Header("x"), None)), in_header)
        }
    };
    let Ok(rules) = Rules::parse(&rule) else { return false };
    let (ours, theirs) = (answer(primary), answer(candidate));
    compare("GET /", &ours, &theirs, &rules, Timestamp(0)).result == CompareResult::Matched
}

fn is_amount(text: &str) -> bool {
    text.trim_matches('"').parse::<f64>().is_ok_and(|number| number.abs() < OLDEST_EPOCH)
}

/// An answer with the excerpt as its only value. One that was cut is no JSON, which equals nothing.
fn in_body(excerpt: &str) -> Response {
    answer(vec![Header::of("content-type", "application/json")], format!("{{\"x\":{excerpt}}}"))
}

fn in_header(value: &str) -> Response {
    answer(vec![Header::of("x", value)], String::new())
}

fn answer(headers: Vec<Header>, body: String) -> Response {
    let length = body.len() as i64;
    Response {
        status: 200,
        headers,
        body: Body { content: Some(Bytes::from(body)), length, digest: Bytes::new(), withheld: None },
    }
}

/// A place that a rule can name.
#[derive(Debug)]
enum Location<'a> {
    Json(&'a str),
    Header(&'a str),
}

impl<'a> Location<'a> {
    /// `None` for the status and for a body as a whole.
    fn of(place: &'a str) -> Option<Self> {
        match place.strip_prefix("header:") {
            Some(name) => Some(Self::Header(name)),
            None => (place.starts_with('$') && place != "$").then_some(Self::Json(place)),
        }
    }
}

fn written(form: Form, at: &Location<'_>, route: Option<&str>) -> String {
    let mut text = format!("[[{}]]\n", form.table);
    if let Some(route) = route {
        let _ = writeln!(text, "route = {}", quoted(route));
    }
    let _ = match at {
        Location::Json(path) => writeln!(text, "json = [{}]", quoted(path)),
        Location::Header(name) => writeln!(text, "header = [{}]", quoted(name)),
    };
    if !form.says.is_empty() {
        let _ = writeln!(text, "{}", form.says);
    }
    text
}

/// A basic string of TOML; JSON's escapes are among its own.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
