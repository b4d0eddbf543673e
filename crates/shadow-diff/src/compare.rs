//! The comparison of two answers: status, chosen headers, body.

mod withheld;

use std::collections::BTreeSet;

use shadow_record::{Body, Response, Timestamp};

use crate::difference::{CompareResult, Comparison, DifferenceKind, Expecting, Findings, Found, FoundAll, Measured};
use crate::document::Document;
use crate::formats::{Content, Schema};
use crate::path::JsonPath;
use crate::rules::{Errors, Measure, Rule, Rules, Treatment};
use crate::scope::{MAX_WORK, Scope, Work};
use crate::walk::{Walk, Walked};
use crate::{excerpt, headers, measure};
use withheld::Certain;

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
/// status is compared.
///
/// `at` says whether expected changes have expired: when the candidate was asked, as its record has it, so that a record that is read
/// again is judged as before.
pub fn compare_masked(
    route: &str,
    (primary, primary_masking): (&Response, Masking<'_>),
    (candidate, candidate_masking): (&Response, Masking<'_>),
    rules: &Rules,
    at: Timestamp,
) -> Comparison {
    counted(route, (primary, primary_masking), (candidate, candidate_masking), rules, at, &Work::up_to(MAX_WORK))
}

fn counted(
    route: &str,
    (primary, primary_masking): (&Response, Masking<'_>),
    (candidate, candidate_masking): (&Response, Masking<'_>),
    rules: &Rules,
    at: Timestamp,
    work: &Work,
) -> Comparison {
    let mut pair = Pair {
        route,
        primary,
        candidate,
        rules,
        work,
        findings: Findings::new(route, Expecting::of(rules, route, at)),
        used: BTreeSet::new(),
        measured: None,
    };
    let errors = pair.errors();
    pair.status(errors);
    let looked_at = if primary_masking == candidate_masking {
        headers::compare(route, (primary, candidate), rules, &mut pair.findings, &mut pair.used);
        pair.body(errors)
    } else {
        CompareResult::Incomparable
    };
    pair.conclude(looked_at)
}

struct Pair<'a> {
    route: &'a str,
    primary: &'a Response,
    candidate: &'a Response,
    rules: &'a Rules,
    work: &'a Work,
    findings: Findings<'a>,
    used: BTreeSet<u16>,
    measured: Option<Measured>,
}

impl<'a> Pair<'a> {
    /// The rule for error answers, where both are.
    fn errors(&self) -> Option<(&'a Rule, &'a Errors)> {
        let both = self.primary.status >= 400 && self.candidate.status >= 400;
        let closest = self.rules.closest(self.route, |treatment| match treatment {
            Treatment::Errors(errors) => Some(errors),
            _ => None,
        });
        closest.filter(|_| both)
    }

    fn status(&mut self, errors: Option<(&Rule, &Errors)>) {
        let (ours, theirs) = (self.primary.status, self.candidate.status);
        if ours == theirs {
            return;
        }
        if let Some((rule, errors)) = errors
            && errors.status_by_class
            && ours / 100 == theirs / 100
        {
            self.used.insert(rule.index);
            return;
        }
        let transition = format!("{ours}->{theirs}");
        let found =
            Found { place: "status", example: "status", kind: DifferenceKind::Status, transition, shortened: false };
        self.findings.add(found, || (ours.to_string(), theirs.to_string()));
    }

    /// Compares the bodies, and says how far they could be looked at.
    fn body(&mut self, errors: Option<(&'a Rule, &'a Errors)>) -> CompareResult {
        let (Body { content: ours, .. }, Body { content: theirs, .. }) = (&self.primary.body, &self.candidate.body);
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return self.withheld(errors);
        };
        let same = ours == theirs;
        if same && self.measures().is_none() {
            return CompareResult::Matched;
        }
        let schema = self.schema();
        let read = Content::read(self.primary, ours, schema);
        if same {
            if let Some(document) = read.document() {
                self.measure(document, document);
            }
            return CompareResult::Matched;
        }
        let other = Content::read(self.candidate, theirs, schema);
        if let (Some(a), Some(b)) = (read.document(), other.document()) {
            self.measure(a, b);
            // Bodies that only are written differently need no rule.
            if read.name() == other.name() && a.hash(0) == b.hash(0) {
                return CompareResult::Matched;
            }
        }
        match (self.all_ignored(), errors) {
            (Some(rule), _) => self.decided(rule),
            (None, Some((rule, errors))) => self.error_members(rule, &errors.members, &read, &other),
            (None, None) => self.contents((&read, ours), (&other, theirs)),
        }
    }

    /// At least one of the bodies was withheld.
    fn withheld(&mut self, errors: Option<(&'a Rule, &'a Errors)>) -> CompareResult {
        if withheld::digests_agree(&self.primary.body, &self.candidate.body) {
            return CompareResult::Matched;
        }
        if let Some(rule) = self.all_ignored() {
            return self.decided(rule);
        }
        if let Some((rule, Errors { members, .. })) = errors
            && members.is_empty()
        {
            return self.decided(rule);
        }
        match withheld::certainly_differ(self.primary, self.candidate, self.schema()) {
            Some(certain) => self.certain(certain),
            None => CompareResult::Incomparable,
        }
    }

    /// One body is far longer than what is compared, and the other one is not.
    fn lengths(&mut self, transition: &str) -> CompareResult {
        self.certain(Certain { kind: DifferenceKind::Value, transition: transition.to_owned() })
    }

    fn certain(&mut self, Certain { kind, transition }: Certain) -> CompareResult {
        let lengths = [self.primary, self.candidate].map(|side| format!("{} bytes", side.body.length));
        let found = Found { place: "body", example: "body", kind, transition, shortened: false };
        self.findings.add(found, || lengths.into());
        CompareResult::Matched
    }

    fn contents(&mut self, (a, ours): (&Content, &[u8]), (b, theirs): (&Content, &[u8])) -> CompareResult {
        match (a, b) {
            (Content::TooLarge, Content::TooLarge) => CompareResult::Truncated,
            (Content::TooLarge, _) if withheld::far_longer(ours.len(), theirs.len()) => {
                self.lengths("too_large->whole")
            }
            (_, Content::TooLarge) if withheld::far_longer(theirs.len(), ours.len()) => {
                self.lengths("whole->too_large")
            }
            (Content::TooLarge, _) | (_, Content::TooLarge) => CompareResult::Truncated,
            (Content::Document(x, a), Content::Document(y, b)) if x == y => self.walk(a, b, None),
            _ => {
                let kind = match (a.name(), b.name()) {
                    (_, "absent") => DifferenceKind::Missing,
                    ("absent", _) => DifferenceKind::Added,
                    (a, b) if a == b => DifferenceKind::Value,
                    _ => DifferenceKind::Type,
                };
                let changed = kind == DifferenceKind::Value;
                let transition = if changed { "changed".to_owned() } else { format!("{}->{}", a.name(), b.name()) };
                let found = Found { place: "body", example: "body", kind, transition, shortened: false };
                self.findings.add(found, || match (std::str::from_utf8(ours), std::str::from_utf8(theirs)) {
                    (Ok(ours), Ok(theirs)) => excerpt::around(ours, theirs),
                    _ => (format!("{} bytes", ours.len()), format!("{} bytes", theirs.len())),
                });
                CompareResult::Matched
            }
        }
    }

    /// Compares only the members of two error answers that say what kind of error it is. A body that has none, or that was not read,
    /// is an error without a kind.
    fn error_members(&mut self, rule: &Rule, members: &[JsonPath], a: &Content, b: &Content) -> CompareResult {
        if matches!(a, Content::TooLarge) || matches!(b, Content::TooLarge) {
            return CompareResult::Truncated;
        }
        let nothing = Document::null();
        self.used.insert(rule.index);
        self.walk(a.document().unwrap_or(&nothing), b.document().unwrap_or(&nothing), Some(members))
    }

    /// Compares two documents: what stands at `members`, or everything.
    fn walk(&mut self, a: &Document, b: &Document, members: Option<&[JsonPath]>) -> CompareResult {
        let scope = Scope::new(self.rules, self.route, self.work);
        let mut walk = Walk::new((a, b), scope, self.work, &mut self.findings, &mut self.used);
        match members {
            Some(members) => members.iter().for_each(|member| walk.part(member)),
            None => walk.whole(),
        }
        match walk.finish() {
            Walked { truncated: true, .. } => CompareResult::Truncated,
            Walked { incomparable: true, .. } => CompareResult::Incomparable,
            Walked { .. } => CompareResult::Matched,
        }
    }

    /// The rule that leaves out whole bodies.
    fn all_ignored(&self) -> Option<&'a Rule> {
        let whole =
            |rule: &&Rule| matches!(rule.treatment, Treatment::Ignore) && rule.paths.iter().any(|p| p.0.is_empty());
        self.rules.of_route(self.route).find(whole)
    }

    fn decided(&mut self, rule: &Rule) -> CompareResult {
        self.used.insert(rule.index);
        CompareResult::Matched
    }

    fn schema(&self) -> Option<&'a Schema> {
        let closest = self.rules.closest(self.route, |treatment| match treatment {
            Treatment::Protobuf(schema) => Some(schema),
            _ => None,
        });
        closest.map(|(_, schema)| schema)
    }

    fn measures(&self) -> Option<(&'a Rule, &'a Measure)> {
        self.rules.closest(self.route, |treatment| match treatment {
            Treatment::Measure(measure) => Some(measure),
            _ => None,
        })
    }

    fn measure(&mut self, ours: &Document, theirs: &Document) {
        if let Some((rule, what)) = self.measures()
            && let Some(measured) = measure::measure(what, ours, theirs)
        {
            self.used.insert(rule.index);
            self.measured = Some(measured);
        }
    }

    fn conclude(mut self, looked_at: CompareResult) -> Comparison {
        let FoundAll { differences, omitted, unexpected, used } = self.findings.finish();
        self.used.extend(used);
        let result = match looked_at {
            _ if unexpected => CompareResult::Differing,
            CompareResult::Matched if !differences.is_empty() => CompareResult::Expected,
            looked_at => looked_at,
        };
        Comparison {
            result,
            without_differences: looked_at,
            differences,
            omitted,
            rules_used: self.used.into_iter().collect(),
            measured: self.measured,
        }
    }
}

#[cfg(test)]
mod cost;
