//! Truth: pairs of answers made by mutators that know what they broke, against what the comparison says.
//!
//! Generators, mutators and writers share no code with the engine. Every planted fault must be found at its place with its
//! kind, nothing else may be reported, and no equivalent pair may be flagged. Here a bounded run is asserted; the full one,
//! 100,000 pairs for each mutator, prints its figures:
//! `cargo test --release -p shadow-diff --test truth -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and the full run prints")]

mod document;
mod faults;
mod formats;
mod pairs;
mod random;
mod rules;
mod shapes;
mod write;

use std::collections::BTreeSet;

use faults::Label;
use pairs::{Answer, Mutator, Pair};
use random::Random;
use shadow_diff::{CompareResult, Difference, Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp};

/// Pairs of each mutator in a normal run.
const BOUNDED: usize = 1_000;
const FULL: usize = 100_000;
/// When every candidate was asked: 2025-02-01T10:00:00Z.
const AT: Timestamp = Timestamp(1_738_404_000_000_000);

/// What became of the pairs of one mutator.
#[derive(Debug, Default)]
struct Figures {
    pairs: usize,
    planted: usize,
    found: usize,
    /// Reported and not planted.
    false_alarms: usize,
    /// The first pairs that went wrong.
    wrong: Vec<String>,
}

fn response(answer: &Answer) -> Response {
    let content = bytes::Bytes::from(answer.body.clone());
    Response {
        status: answer.status,
        headers: answer.headers.iter().map(|(name, value)| Header::of(name.as_str(), value.as_str())).collect(),
        body: Body {
            length: content.len() as i64,
            content: Some(content),
            digest: bytes::Bytes::new(),
            withheld: None,
        },
    }
}

fn measure(mutator: &Mutator, count: usize) -> Figures {
    let (mut random, mut figures) = (Random::new(42), Figures::default());
    for _ in 0..count {
        let pair = (mutator.make)(&mut random);
        judge(&pair, &mut figures);
    }
    figures
}

fn judge(pair: &Pair, figures: &mut Figures) {
    let rules = Rules::parse(&pair.rules).unwrap();
    let comparison = compare("GET /orders/{id}", &response(&pair.primary), &response(&pair.candidate), &rules, AT);
    let said: BTreeSet<(&str, &str)> =
        comparison.differences.iter().map(|found| (found.kind.as_str(), found.place.as_str())).collect();
    let planted: BTreeSet<(&str, &str)> = pair.faults.iter().map(|fault| (fault.kind, fault.place.as_str())).collect();
    let is_found = |label: &&Label| {
        let at = |found: &Difference| {
            let example = label.example.as_ref().filter(|_| pair.faults.len() == 1);
            (found.kind.as_str(), &found.place) == (label.kind, &label.place)
                && example.is_none_or(|example| *example == found.example)
                && found.expected.as_deref() == label.expected
        };
        comparison.differences.iter().any(at)
    };
    let found = pair.faults.iter().filter(is_found).count();
    let false_alarms = said.difference(&planted).count();
    figures.pairs += 1;
    figures.planted += pair.faults.len();
    figures.found += found;
    figures.false_alarms += false_alarms;
    let result = match &pair.faults[..] {
        [] => CompareResult::Matched,
        faults if faults.iter().all(|fault| fault.expected.is_some()) => CompareResult::Expected,
        _ => CompareResult::Differing,
    };
    let right = found == pair.faults.len() && false_alarms == 0 && comparison.result == result;
    if !right && figures.wrong.len() < 3 {
        let body = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
        figures.wrong.push(format!(
            "rules {}\nprimary {}\ncandidate {}\nplanted {:?}\nsaid {} {said:?}",
            pair.rules,
            body(&pair.primary),
            body(&pair.candidate),
            pair.faults,
            comparison.result.as_str()
        ));
    }
}

fn check(mutators: &[Mutator], count: usize) {
    for mutator in mutators {
        let Figures { pairs, planted, found, false_alarms, wrong } = measure(mutator, count);
        println!("{:<28} {pairs:>9} {planted:>9} {found:>9} {false_alarms:>13}", mutator.name);
        assert!(wrong.is_empty(), "{}: {}", mutator.name, wrong.join("\n\n"));
        assert_eq!((pairs, found, false_alarms), (count, planted, 0), "{}", mutator.name);
    }
}

#[test]
fn every_fault_planted_in_json_is_found_in_its_place_and_nothing_else_is_reported() {
    check(pairs::JSON, BOUNDED);
}

#[test]
fn every_fault_planted_in_another_format_is_found_in_its_place_and_nothing_else_is_reported() {
    check(formats::FORMATS, BOUNDED);
}

#[test]
fn what_the_rules_allow_is_not_flagged_and_what_they_do_not_is_found() {
    check(rules::RULES, BOUNDED);
}

#[test]
fn a_miss_and_a_false_alarm_are_noticed() {
    let pair = (pairs::JSON[0].make)(&mut Random::new(1));
    let mut missed = pair.clone();
    missed.candidate.body = missed.primary.body.clone();
    let mut unplanted = pair.clone();
    unplanted.faults.clear();
    let mut misplaced = pair;
    misplaced.faults[0].place.push_str(".elsewhere");
    for wrong in [missed, unplanted, misplaced] {
        let mut figures = Figures::default();
        judge(&wrong, &mut figures);
        assert_eq!(figures.wrong.len(), 1, "{figures:?}");
    }
}

#[test]
#[ignore = "100,000 pairs for each mutator take minutes; run them with --ignored --nocapture"]
fn full_figures() {
    println!("{:<28} {:>9} {:>9} {:>9} {:>13}", "mutator", "pairs", "planted", "found", "false alarms");
    for mutators in [pairs::JSON, formats::FORMATS, rules::RULES] {
        check(mutators, FULL);
    }
}
