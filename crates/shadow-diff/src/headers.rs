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
        let found = Found { place: &place, example: &place, kind: DifferenceKind::Header, transition };
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

/// Media types are compared without regard to case and to spaces around `;`, which mean nothing there.
fn same(name: &str, a: &str, b: &str) -> bool {
    let media = |value: &str| value.to_ascii_lowercase().split(';').map(str::trim).collect::<Vec<_>>().join(";");
    a == b || name == "content-type" && media(a) == media(b)
}
