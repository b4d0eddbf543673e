//! Comparison of two answers against merely parsing both bodies with `serde_json`, in the same run.
//!
//! `cargo bench -p shadow-diff`. Both are timed in turns, batch by batch, so that a change of clock speed or load meets both; the
//! ratio is that of the fastest batches, which noise can only lengthen. A ratio of 1 means that comparing a pair takes as long as
//! parsing it.
//!
//! The workspace builds `serde_json` with `arbitrary_precision` and `preserve_order`, which make it parse slower than it does without.
#![allow(clippy::print_stdout)] // its output is its purpose

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use shadow_diff::{CompareResult, Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp};

const ROUNDS: usize = 300;
/// Pairs in one batch.
const BATCH: usize = 200;

const RULES: &str = "[[ignore]]\njson = [\"$.generated_at\", \"$..trace\"]\n[[unordered]]\njson = [\"$.facets\"]\n\
    [[tolerance]]\njson = [\"$.items[*].score\"]\nabsolute = 0.01\n[[keyed]]\njson = [\"$.items\"]\nkey = \"id\"\n";

fn main() {
    // Without it, as `cargo test --benches` runs this, one round shows that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let document = document();
    let plain = document.to_string();
    println!("{:>24} {:>6} {:>12} {:>13} {:>13} {:>7}", "pair", "bytes", "rules", "compare/s", "parse both/s", "ratio");
    let mut changed = document.clone();
    changed["items"][5]["price"] = json!(49.95);
    let mut reordered = document.clone();
    reordered["items"].as_array_mut().expect("a list").reverse();
    let mut faults = document.clone();
    for item in faults["items"].as_array_mut().expect("a list") {
        item["price"] = json!(1);
    }
    let pairs = [
        ("identical bytes", plain.clone(), CompareResult::Matched),
        ("equal, other bytes", plain.replacen('{', "{ ", 1), CompareResult::Matched),
        ("one field", changed.to_string(), CompareResult::Differing),
        ("every element", faults.to_string(), CompareResult::Differing),
        ("members reordered", reversed(&document).to_string(), CompareResult::Matched),
        ("elements reordered", reordered.to_string(), CompareResult::Differing),
    ];
    let mut timed = Vec::new();
    for (rules_name, rules) in [("none", Rules::default()), ("four", Rules::parse(RULES).expect("valid rules"))] {
        for (name, other, result) in &pairs {
            let result = match (rules_name, *name) {
                ("four", "elements reordered") => CompareResult::Matched,
                _ => *result,
            };
            let (ours, theirs) = (answer(&plain), answer(other));
            let once = || compare("GET /items", &ours, &theirs, &rules, Timestamp(0));
            assert_eq!(once().result, result, "{name} under {rules_name}");
            let parse = || (parsed(&plain), parsed(other));
            let (compared, parsed) = race(rounds, || drop(black_box(once())), || drop(black_box(parse())));
            let (bytes, ratio) = (plain.len(), parsed.as_secs_f64() / compared.as_secs_f64());
            let rate = |time: Duration| 1.0 / time.as_secs_f64();
            timed.push(json!({
                "name": name, "rules": rules_name, "primary": plain, "candidate": other, "seconds": compared.as_secs_f64(),
            }));
            println!(
                "{name:>24} {bytes:>6} {rules_name:>12} {:>13.0} {:>13.0} {ratio:>7.2}",
                rate(compared),
                rate(parsed)
            );
        }
    }
    // For `against_deepdiff.py`, which times the same pairs.
    if let Some(file) = std::env::var_os("SHADOW_DIFF_PAIRS") {
        std::fs::write(file, Value::from(timed).to_string()).expect("the file of pairs can be written");
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("the document is valid")
}

/// The fastest time of each for one pair, out of `rounds` batches in turns.
fn race(rounds: usize, a: impl Fn(), b: impl Fn()) -> (Duration, Duration) {
    let time = |run: &dyn Fn()| {
        let start = Instant::now();
        (0..BATCH).for_each(|_| run());
        start.elapsed() / BATCH as u32
    };
    (0..rounds).fold((Duration::MAX, Duration::MAX), |(x, y), _| (x.min(time(&a)), y.min(time(&b))))
}

fn answer(body: &str) -> Response {
    Response {
        status: 200,
        headers: vec![
            Header::of("content-type", "application/json"),
            Header::of("date", "Wed, 01 May 2024 08:30:00 GMT"),
            Header::of("cache-control", "no-store"),
        ],
        body: Body {
            content: Some(Bytes::from(body.to_owned())),
            length: body.len() as i64,
            digest: Bytes::from_static(b"0123456789abcdef"),
            withheld: None,
        },
    }
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().rev().map(|(name, value)| (name.clone(), reversed(value))).collect(),
        Value::Array(items) => items.iter().map(reversed).collect(),
        other => other.clone(),
    }
}

/// A page of search results as an API answers it.
fn document() -> Value {
    let item = |i: usize| {
        json!({
            "id": 1000 + i,
            "uuid": format!("0190a6f2-7c1e-7abc-8def-{i:012}"),
            "title": format!("A chair, oak, no. {i}"),
            "price": 49.5 + i as f64,
            "currency": "EUR",
            "in_stock": i < 7,
            "score": 0.5 + i as f64 / 1000.0,
            "tags": ["oak", "chair", "indoor"],
            "rating": {"mean": 4.25, "votes": 12 + i},
            "trace": null
        })
    };
    json!({
        "generated_at": "2024-05-01T08:30:00Z",
        "page": 1,
        "facets": ["oak", "beech", "pine", "walnut"],
        "items": (0..10).map(item).collect::<Vec<_>>(),
        "next": "/items?page=2"
    })
}
