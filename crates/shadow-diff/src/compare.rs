//! The comparison of two answers: status, chosen headers, body.

use serde_json::Value;
use shadow_record::{Body, Response};

use crate::difference::{CompareResult, Comparison, DifferenceKind, Findings, Found};
use crate::excerpt;
use crate::path::Place;
use crate::repeated::repeats_a_member;
use crate::rules::Rules;
use crate::tree::Node;
use crate::walk::walk;

/// Deepest nesting of a JSON body that is compared; deeper ones are [`CompareResult::Truncated`].
pub const MAX_DEPTH: usize = 100;
/// Most values of a JSON body that are compared, about a hundred bytes of memory each; more are
/// [`CompareResult::Truncated`].
pub const MAX_NODES: usize = 200_000;

/// How an answer was masked. Equal values look alike exactly when both the key and the masking rules are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Masking<'a> {
    /// Identifier of the key.
    pub key_id: &'a str,
    /// Version of the masking rules.
    pub ruleset: &'a str,
}

/// Compares two answers masked alike.
pub fn compare(route: &str, primary: &Response, candidate: &Response, rules: &Rules) -> Comparison {
    compare_masked(route, (primary, Masking::default()), (candidate, Masking::default()), rules)
}

/// Compares two answers, each with how it was masked. Masked differently, equal values look different, so then only the
/// status is compared.
pub fn compare_masked(
    route: &str,
    (primary, primary_masking): (&Response, Masking<'_>),
    (candidate, candidate_masking): (&Response, Masking<'_>),
    rules: &Rules,
) -> Comparison {
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
    match (Content::of(primary, ours), Content::of(candidate, theirs)) {
        (Content::TooLarge, _) | (_, Content::TooLarge) => return CompareResult::Truncated,
        (Content::Ambiguous, _) | (_, Content::Ambiguous) => return CompareResult::Incomparable,
        (Content::Json(a), Content::Json(b)) => match (Node::of(a, &scope), Node::of(b, &scope)) {
            (Some(a), Some(b)) => walk(&a, &b, &mut Place::root(), findings),
            _ => unreachable!("the root is not ignored"),
        },
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

enum Content {
    Json(Value),
    /// Not JSON, with the word for it.
    Opaque(&'static str),
    /// JSON in which an object has two members of one name: which of them counts is up to who reads it.
    Ambiguous,
    TooLarge,
}

impl Content {
    fn of(response: &Response, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Opaque("absent");
        }
        if response.header("content-type").is_some_and(|media| !is_json(media)) {
            return Self::Opaque(if std::str::from_utf8(bytes).is_ok() { "text" } else { "bytes" });
        }
        if exceeds_bounds(bytes) {
            return Self::TooLarge;
        }
        match serde_json::from_slice(bytes) {
            Ok(_) if repeats_a_member(bytes) => Self::Ambiguous,
            Ok(value) => Self::Json(value),
            Err(_) => Self::Opaque(if std::str::from_utf8(bytes).is_ok() { "text" } else { "bytes" }),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Opaque(name) => name,
            Self::Ambiguous => "ambiguous",
            Self::TooLarge => "too_large",
        }
    }
}

fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Whether a JSON text nests deeper than [`MAX_DEPTH`] or may hold more than [`MAX_NODES`] values, told without parsing it.
fn exceeds_bounds(bytes: &[u8]) -> bool {
    let (mut depth, mut nodes, mut in_string, mut escaped) = (0usize, 1usize, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                nodes += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
    }
    nodes > MAX_NODES
}
