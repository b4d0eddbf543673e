//! The headers that count.

use std::collections::BTreeSet;

use shadow_record::Response;

use crate::difference::{DifferenceKind, Findings, Found};
use crate::excerpt;
use crate::rules::{Rule, Rules, Treatment};
use crate::value::Scalar;

/// Compares the headers that the rules name, repeated ones in order.
pub(crate) fn compare(
    route: &str,
    (primary, candidate): (&Response, &Response),
    rules: &Rules,
    findings: &mut Findings<'_>,
    used: &mut BTreeSet<u16>,
) {
    for name in rules.headers() {
        if values(primary, name).eq(values(candidate, name)) {
            continue;
        }
        let (ours, theirs): (Vec<_>, Vec<_>) = (values(primary, name).collect(), values(candidate, name).collect());
        let about = || rules.of_route(route).filter(|rule| rule.headers.contains(name));
        if let Some(by) = about().find(|rule| matches!(rule.treatment, Treatment::Ignore)) {
            used.insert(by.index);
            continue;
        }
        let decisive: Option<Vec<_>> = (ours.len() == theirs.len())
            .then(|| ours.iter().zip(&theirs).filter(|(a, b)| !same(name, a, b)))
            .and_then(|differing| differing.map(|(a, b)| about().find(|rule| holds(rule, a, b))).collect());
        if let Some(decisive) = decisive {
            used.extend(decisive.iter().map(|rule| rule.index));
            continue;
        }
        let transition = match (ours.is_empty(), theirs.is_empty()) {
            (true, _) => "absent->present",
            (_, true) => "present->absent",
            _ => "changed",
        };
        let place = format!("header:{name}");
        let transition = transition.to_owned();
        let found =
            Found { place: &place, example: &place, kind: DifferenceKind::Header, transition, shortened: false };
        findings.add(found, || excerpt::around(&ours.join(", "), &theirs.join(", ")));
    }
}

fn values<'a>(response: &'a Response, name: &str) -> impl Iterator<Item = &'a str> {
    response.headers.iter().filter(move |header| header.name == name).map(|header| header.value.trim())
}

fn holds(rule: &Rule, a: &str, b: &str) -> bool {
    match &rule.treatment {
        Treatment::Equivalence(equivalence) => equivalence.holds(Scalar::header(a), Scalar::header(b)),
        _ => false,
    }
}

fn same(name: &str, a: &str, b: &str) -> bool {
    a == b || name == "content-type" && media(a) == media(b)
}

/// What a media type means: spaces around `;`, quotes that are not needed, and the case of everything but most values do not count.
fn media(value: &str) -> (String, Vec<(String, String)>) {
    let mut quoted = false;
    let mut parts = value.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameter = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let inside = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = inside.filter(|inside| !inside.contains('\\')).unwrap_or(value);
        let value = if name == "charset" { value.to_ascii_lowercase() } else { value.to_owned() };
        (name, value)
    };
    (essence, parts.map(parameter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_equal_in_all_that_means_the_same_and_nothing_else() {
        for (a, b) in [
            ("Text/HTML; Charset=UTF-8", "text/html;charset=utf-8"),
            ("text/plain; charset=\"utf-8\"", "text/plain; charset=UTF-8"),
            ("multipart/mixed; boundary=\"AbC\"", "multipart/mixed;Boundary=AbC"),
        ] {
            assert!(same("content-type", a, b), "{a} {b}");
        }
        for (a, b) in [
            ("multipart/form-data; boundary=AbC", "multipart/form-data; boundary=aBc"),
            ("multipart/mixed; boundary=\"a; b\"", "multipart/mixed; boundary=\"a;b\""),
            ("text/plain; charset=utf-8", "text/plain"),
            ("text/plain; charset=utf-8", "text/plain; charset=latin1"),
        ] {
            assert!(!same("content-type", a, b), "{a} {b}");
        }
        assert!(!same("location", "/A", "/a"));
    }
}
