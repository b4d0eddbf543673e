//! Masking of JSON bodies against `serde_json` parsing to `Value` and writing back, in the same run.
//!
//! `cargo bench -p shadow-mask`. The two are timed in turns, batch by batch, so that a change of clock speed or load meets both;
//! the ratio is that of the fastest batches, which noise can only lengthen.
#![allow(clippy::print_stdout)] // its output is its purpose

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use shadow_mask::{MaskKey, Masker, RawBody, RawResponse, Ruleset};
use shadow_record::RouteTable;

const ROUNDS: usize = 200;

fn main() {
    // Without it, as `cargo test --benches` runs this, one round shows that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    println!("{:>8} {:>9} {:>12} {:>12} {:>7}", "bytes", "rules", "mask MB/s", "serde MB/s", "ratio");
    let rules = "[[rule]]\nstrategy = \"keep\"\njson = [\"$.orders[*].status\", \"$..currency\"]\n\
        [[rule]]\nstrategy = \"token\"\njson = [\"$..total\"]\n";
    let parse = |rules: &str| Ruleset::parse(rules).expect("valid rules");
    for (name, ruleset) in
        [("strict", Ruleset::default()), ("3 paths", parse(rules)), ("detect", parse("profile = \"detect\""))]
    {
        let key = MaskKey::parse("a benchmark's key of 32 characters").expect("a valid key");
        let masker = Masker::new(key, ruleset, RouteTable::default());
        for orders in [1, 5, 149] {
            let body = Bytes::from(document(orders));
            let (mask, serde) = race(rounds, 2_000_000 / body.len(), || mask(&masker, &body), || roundtrip(&body));
            let rate = |time: Duration| body.len() as f64 / time.as_secs_f64() / 1e6;
            let ratio = serde.as_secs_f64() / mask.as_secs_f64();
            println!("{:>8} {name:>9} {:>12.0} {:>12.0} {ratio:>7.2}", body.len(), rate(mask), rate(serde));
        }
    }
}

/// Everything that is done to a response with this body, keyed digest included.
fn mask(masker: &Masker, body: &Bytes) -> usize {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    let raw = RawResponse { status: 200, headers, body: RawBody::Whole(body.clone()) };
    masker.response("GET", "/orders", raw).body.content.expect("the document is valid").len()
}

fn roundtrip(body: &Bytes) -> usize {
    let value: serde_json::Value = serde_json::from_slice(body).expect("the document is valid");
    serde_json::to_vec(&value).expect("a value can be written").len()
}

/// The fastest time of each for one body, out of `rounds` batches in turns.
fn race(rounds: usize, batch: usize, a: impl Fn() -> usize, b: impl Fn() -> usize) -> (Duration, Duration) {
    let time = |run: &dyn Fn() -> usize| {
        let start = Instant::now();
        for _ in 0..batch.div_ceil(20) {
            black_box(run());
        }
        start.elapsed() / batch.div_ceil(20) as u32
    };
    (0..rounds).fold((Duration::MAX, Duration::MAX), |(x, y), _| (x.min(time(&a)), y.min(time(&b))))
}

/// Orders as a shop's API lists them: about half names and punctuation, a quarter private strings, the rest numbers and shapes.
fn document(orders: usize) -> String {
    let order = |i: usize| {
        format!(
            r#"{{"id":{},"uuid":"0190a6f2-7c1e-7abc-8def-{i:012}","created_at":"2024-05-{:02}T08:30:00Z","status":"shipped","currency":"EUR","total":{}.95,"customer":{{"id":{},"name":"Alice Example {i}","email":"alice.{i}@example.com","phone":"+49 30 {:07}","vip":false}},"items":[{{"sku":"SKU-{i}-A","title":"A chair, oak, \"classic\"","quantity":2,"price":49.5,"discount":null}},{{"sku":"SKU-{i}-B","title":"A table","quantity":1,"price":320,"discount":0.15}}],"note":null}}"#,
            1000 + i,
            i % 28 + 1,
            100 + i,
            77 + i,
            1_000_000 + i
        )
    };
    let list: Vec<_> = (0..orders).map(order).collect();
    format!(r#"{{"orders":[{}],"page":1,"next":"/orders?page=2"}}"#, list.join(","))
}
