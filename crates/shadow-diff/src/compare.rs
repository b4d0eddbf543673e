//! The comparison of two answers: status, chosen headers, body.

use shadow_record::{Body, Response, Timestamp};

use crate::difference::{CompareResult, Comparison, DifferenceKind, Findings, Found};
use crate::excerpt;
use crate::formats::Content;
use crate::path::Place;
use crate::rules::Rules;
use crate::tree::Node;
use crate::walk::walk;

/// Deepest nesting of a JSON body that is compared; deeper ones are [`CompareResult::Truncated`].
pub const MAX_DEPTH: usize = 100;

/// How an answer was masked. Equal values look alike exactly when both the key and the masking rules are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Masking<'a> {
    /// Identifier of the key.
    pub key_id: &'a str,
    /// Version of the masking rules.
    pub ruleset: &'a str,
}

/// Compares two answers masked alike.
pub fn compare(route: &str, primary: &Response, candidate: &Response, rules: &Rules, at: Timestamp) -> Comparison {
    compare_masked(route, (primary, Masking::default()), (candidate, Masking::default()), rules, at)
}

/// Compares two answers, each with how it was masked. Masked differently, equal values look different, so then only the
/// status is compared. `at` is when the candidate was asked: until then expected changes must not have expired.
pub fn compare_masked(
    route: &str,
    (primary, primary_masking): (&Response, Masking<'_>),
    (candidate, candidate_masking): (&Response, Masking<'_>),
    rules: &Rules,
    at: Timestamp,
) -> Comparison {
    let _ = at;
    let mut findings = Findings::new(route);
    status(primary, candidate, &mut findings);
    if primary_masking != candidate_masking {
        return findings.conclude(CompareResult::Incomparable);
    }
    for name in rules.headers(route) {
        header(name, primary, candidate, &mut findings);
    }
    let result = body(route, primary, candidate, rules, &mut findings);
    findings.conclude(result)
}

fn status(primary: &Response, candidate: &Response, findings: &mut Findings<'_>) {
    if primary.status != candidate.status {
        let transition = format!("{}->{}", primary.status, candidate.status);
        let found = Found { place: "status", example: "status", kind: DifferenceKind::Status, transition };
        findings.add(found, || (primary.status.to_string(), candidate.status.to_string()));
    }
}

fn header(name: &str, primary: &Response, candidate: &Response, findings: &mut Findings<'_>) {
    let (ours, theirs) = (header_values(primary, name), header_values(candidate, name));
    if ours == theirs {
        return;
    }
    let transition = match (ours.is_empty(), theirs.is_empty()) {
        (true, _) => "absent->present",
        (_, true) => "present->absent",
        _ => "changed",
    };
    let place = format!("header:{name}");
    let found =
        Found { place: &place, example: &place, kind: DifferenceKind::Header, transition: transition.to_owned() };
    findings.add(found, || excerpt::around(&ours.join(", "), &theirs.join(", ")));
}

/// The values of a header in order; media types without regard to case and spaces, which mean nothing there.
fn header_values(response: &Response, name: &str) -> Vec<String> {
    let values = response.headers.iter().filter(|h| h.name == name).map(|h| h.value.trim());
    if name == "content-type" {
        return values
            .map(|v| v.to_ascii_lowercase().split(';').map(str::trim).collect::<Vec<_>>().join(";"))
            .collect();
    }
    values.map(str::to_owned).collect()
}

fn body(
    route: &str,
    primary: &Response,
    candidate: &Response,
    rules: &Rules,
    findings: &mut Findings<'_>,
) -> CompareResult {
    let scope = rules.scope(route);
    let (Body { content: ours, .. }, Body { content: theirs, .. }) = (&primary.body, &candidate.body);
    if scope.ignored() {
        return CompareResult::Matched;
    }
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return digests(&primary.body, &candidate.body) };
    if ours == theirs {
        return CompareResult::Matched;
    }
    match (Content::read(primary, ours), Content::read(candidate, theirs)) {
        (Content::TooLarge, _) | (_, Content::TooLarge) => return CompareResult::Truncated,
        (Content::Document(a, ours), Content::Document(b, theirs)) if a == b => {
            if [&ours, &theirs].iter().any(|side| side.ambiguous()) {
                return CompareResult::Incomparable;
            }
            match (Node::of(&ours, 0, &scope), Node::of(&theirs, 0, &scope)) {
                (Some(a), Some(b)) => walk(&a, &b, &mut Place::root(), findings),
                _ => unreachable!("the root is not ignored"),
            }
        }
        (a, b) => {
            let kind = match (a.name(), b.name()) {
                (_, "absent") => DifferenceKind::Missing,
                ("absent", _) => DifferenceKind::Added,
                (a, b) if a == b => DifferenceKind::Value,
                _ => DifferenceKind::Type,
            };
            let changed = kind == DifferenceKind::Value;
            let transition = if changed { "changed".to_owned() } else { format!("{}->{}", a.name(), b.name()) };
            add_body(kind, transition, ours, theirs, findings);
        }
    }
    CompareResult::Matched
}

/// At least one content is unknown: equal digests under one key mean equal contents, and unequal ones say nothing about
/// how they differ.
fn digests(primary: &Body, candidate: &Body) -> CompareResult {
    if primary.digest == candidate.digest && primary.length == candidate.length && !primary.digest.is_empty() {
        CompareResult::Matched
    } else {
        CompareResult::Incomparable
    }
}

fn add_body(kind: DifferenceKind, transition: String, ours: &[u8], theirs: &[u8], findings: &mut Findings<'_>) {
    let found = Found { place: "body", example: "body", kind, transition };
    findings.add(found, || match (std::str::from_utf8(ours), std::str::from_utf8(theirs)) {
        (Ok(ours), Ok(theirs)) => excerpt::around(ours, theirs),
        _ => (format!("{} bytes", ours.len()), format!("{} bytes", theirs.len())),
    });
}
