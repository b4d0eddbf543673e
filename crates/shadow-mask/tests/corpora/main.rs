//! How much each detector finds, and how much of what it finds is what it looks for, on generated corpora.
//!
//! The generator (`generate.rs`) writes values in every format their standard allows, and look-alikes; it shares no code with the
//! detectors. Here a small run is asserted; the full one, 100,000 values and as many look-alikes for each class, prints its figures:
//! `cargo test --release -p shadow-mask --test corpora -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and the full run prints")]

mod generate;
mod random;

use bytes::Bytes;
use generate::{Corpus, corpora};
use http::{HeaderMap, HeaderValue};
use random::Random;
use shadow_mask::{MaskKey, Masker, RawBody, RawResponse, Ruleset};
use shadow_record::RouteTable;

/// Values masked in one message.
const BATCH: usize = 500;

fn masker(rules: &str) -> Masker {
    let key = MaskKey::parse("a key for corpora of 32 characters").unwrap();
    Masker::new(key, Ruleset::parse(rules).unwrap(), RouteTable::default())
}

/// The values after masking, each under the same name in a JSON object.
fn masked(masker: &Masker, name: &str, values: &[String]) -> Vec<String> {
    let body: Vec<_> = values.iter().map(|value| serde_json::json!({ name: value })).collect();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let body = RawBody::Whole(Bytes::from(serde_json::to_vec(&body).unwrap()));
    let content = masker.response("GET", "/", RawResponse { status: 200, headers, body }).body.content.unwrap();
    let objects: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_slice(&content).unwrap();
    objects.iter().map(|object| object[name].as_str().unwrap().to_owned()).collect()
}

/// Shares of 1: found of what is there, and there of what was found.
#[derive(Debug)]
struct Figures {
    recall: f64,
    precision: f64,
}

fn measure(corpus: &Corpus, name: &str, rules: &str, count: usize) -> Figures {
    let (masker, mut random) = (masker(rules), Random::new(42));
    let (mut found, mut mistaken, mut shown) = (0, 0, 0);
    for start in (0..count).step_by(BATCH) {
        let batch = BATCH.min(count - start);
        let private: Vec<String> = (0..batch).map(|_| (corpus.private)(&mut random)).collect();
        let texts: Vec<String> = private.iter().map(|value| around(&mut random, value)).collect();
        for ((private, text), masked) in private.iter().zip(&texts).zip(masked(&masker, name, &texts)) {
            let is_found = !masked.contains(private.as_str()) && masked != *text;
            found += usize::from(is_found);
            if !is_found && shown < 5 && std::env::var_os("SHOW").is_some() {
                println!("missed {text} -> {masked}");
                shown += 1;
            }
        }
        let others: Vec<String> = (0..batch).map(|_| (corpus.look_alike)(&mut random)).collect();
        let texts: Vec<String> = others.iter().map(|value| around(&mut random, value)).collect();
        for (text, masked) in texts.iter().zip(masked(&masker, name, &texts)) {
            mistaken += usize::from(masked != *text);
            if masked != *text && shown < 10 && std::env::var_os("SHOW").is_some() {
                println!("mistaken {text} -> {masked}");
                shown += 1;
            }
        }
    }
    Figures {
        recall: found as f64 / count as f64,
        precision: if found == 0 { 0.0 } else { found as f64 / (found + mistaken) as f64 },
    }
}

/// Half of the values stand by themselves, the others in a sentence.
fn around(random: &mut Random, value: &str) -> String {
    match random.below(6) {
        0 => format!("please see {value}, thank you"),
        1 => format!("{value} was what he said"),
        2 => format!("it is ({value})."),
        _ => value.to_owned(),
    }
}

fn rules(class: &str) -> String {
    format!("profile = \"detect\"\ndetectors = [\"{class}\"]\nphone_regions = [\"US\", \"GB\", \"DE\", \"FR\"]\n")
}

#[test]
fn detectors_find_what_they_look_for_and_little_else() {
    for corpus in corpora() {
        for (name, least) in corpus.least {
            let figures = measure(&corpus, name, &rules(corpus.class), 2_000);
            assert!(
                figures.recall >= least.0 && figures.precision >= least.1,
                "{} under the name {name}: {figures:?}, at least {least:?} expected",
                corpus.class
            );
        }
    }
}

#[test]
fn strict_lets_no_value_of_any_class_out() {
    for corpus in corpora() {
        let figures = measure(&corpus, "note", "", 2_000);
        assert!(figures.recall == 1.0, "{}: {figures:?}", corpus.class);
    }
}

#[test]
#[ignore = "the full corpora take a minute; run them with --ignored --nocapture"]
fn full_figures() {
    println!("{:<16} {:<12} {:>9} {:>11} {:>14}", "class", "name", "recall %", "precision %", "strict recall %");
    for corpus in corpora() {
        for (name, _) in corpus.least {
            let figures = measure(&corpus, name, &rules(corpus.class), 100_000);
            let strict = measure(&corpus, name, "", 100_000);
            let percent = |share: f64| share * 100.0;
            println!(
                "{:<16} {name:<12} {:>9.3} {:>11.3} {:>14.3}",
                corpus.class,
                percent(figures.recall),
                percent(figures.precision),
                percent(strict.recall)
            );
            assert!(strict.recall == 1.0);
        }
    }
}
