//! Time of masking bodies that were made to be slow, at three sizes: it must grow as the size does.
//!
//! `cargo bench -p shadow-mask --bench linear`. Each factor is the time of a body over that of one half as long; 2 is linear.
#![allow(clippy::print_stdout)] // its output is its purpose

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use shadow_mask::{MaskKey, Masker, RawBody, RawResponse, Ruleset};
use shadow_record::RouteTable;

/// Pieces that are repeated, by content type.
const SLOW: &[(&str, &str)] = &[
    ("application/json", "["),
    ("application/json", "[\"@\","),
    ("application/json", "{\"value\":1,\"name\":\"pin\",\"a\":"),
    ("application/json", "\"\\ud800\\ud800"),
    ("application/x-www-form-urlencoded", "a=%&"),
    ("application/xml", "<a b=\"&amp;\">"),
    ("application/xml", "<a/>&lt;"),
    ("multipart/form-data; boundary=-----------x", "-----------"),
    ("text/event-stream", "data: {\n"),
    ("text/plain", "a@a."),
    ("text/plain", "@"),
    ("text/plain", "1 "),
    ("text/plain", "4111 "),
    ("text/plain", "+1-2"),
    ("text/plain", "DE89"),
    ("text/plain", "1.1."),
    ("text/plain", "a:b:"),
    ("text/plain", "ya29.x."),
    ("text/plain", "eyJ."),
    ("text/plain", "token='"),
    ("text/plain", "http://a:"),
    ("text/plain", "-----BEGIN "),
    ("text/plain", "msk_aaaa"),
];

fn main() {
    let sizes = if std::env::args().any(|argument| argument == "--bench") { 64 << 10 } else { 1 << 10 };
    println!("{:<45} {:<28} {:>8} {:>7} {:>7}", "type", "piece", "ns/byte", "factor", "factor");
    for profile in ["strict", "detect"] {
        let rules = format!(
            "profile = \"{profile}\"\nphone_regions = [\"US\", \"DE\"]\n[[rule]]\nstrategy = \"redact\"\ntext = [\"1 1\", \"[a-z]+9\"]\n"
        );
        let key = MaskKey::parse("a benchmark's key of 32 characters").expect("a valid key");
        let masker = Masker::new(key, Ruleset::parse(&rules).expect("valid rules"), RouteTable::default());
        for (content_type, piece) in SLOW {
            let times = [sizes, sizes * 2, sizes * 4]
                .map(|size| time(&masker, content_type, &piece.repeat(size / piece.len())));
            let factor = |a: Duration, b: Duration| b.as_secs_f64() / a.as_secs_f64();
            println!(
                "{:<45} {piece:<28?} {:>8.1} {:>7.2} {:>7.2}",
                format!("{profile} {content_type}"),
                times[2].as_nanos() as f64 / (sizes * 4) as f64,
                factor(times[0], times[1]),
                factor(times[1], times[2])
            );
        }
    }
}

/// The fastest of a few runs.
fn time(masker: &Masker, content_type: &'static str, body: &str) -> Duration {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let run = |_| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        let start = Instant::now();
        black_box(masker.response(
            "GET",
            "/",
            RawResponse { status: 200, headers, body: RawBody::Whole(body.clone()) },
        ));
        start.elapsed()
    };
    (0..5).map(run).min().unwrap_or_default()
}
