//! Bodies of every format that nobody meant well: whatever stands in them, comparing ends, says the same from both sides, and
//! finds a body equal to itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;
use prost_reflect::DescriptorPool;
use shadow_diff::rules::inline_descriptors;
use shadow_diff::{CompareResult, Comparison, Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp};

const TYPES: &[&str] = &[
    "application/json",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "application/xml",
    "text/html; charset=iso-8859-1",
    "text/plain; charset=utf-16le",
    "application/x-protobuf",
    "application/octet-stream",
    "",
];

fn answer(media: &str, body: &[u8]) -> Response {
    let content = Bytes::copy_from_slice(body);
    let headers = if media.is_empty() { Vec::new() } else { vec![Header::of("content-type", media)] };
    Response {
        status: 200,
        headers,
        body: Body { length: body.len() as i64, content: Some(content), digest: Bytes::new(), withheld: None },
    }
}

/// Descriptors are read once.
static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let text = "[[unordered]]\njson = [\"$.u\"]\n[[tolerance]]\njson = [\"$..t\"]\nabsolute = 1\n\
        [[protobuf]]\nmessage = \"google.protobuf.FileDescriptorProto\"\ndescriptor_file = \"descriptor.bin\"\n";
    Rules::parse(&inline_descriptors(text, |_| Ok(DescriptorPool::global().encode_to_vec())).unwrap()).unwrap()
});

fn compared(media: &str, a: &[u8], b: &[u8]) -> Comparison {
    compare("GET /", &answer(media, a), &answer(media, b), &RULES, Timestamp(0))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        r#"[\[\]{},:"0-9a-e.\\tu \n-]{0,40}"#.prop_map(String::into_bytes),
        r#"(<[a-c/!?][a-c:= '"x/]{0,6}>|[a-c &;#]{0,4}|<!\[CDATA\[|\]\]>|</[a-c]>){0,12}"#.prop_map(String::into_bytes),
        r#"([a-c%+=&0-9]|%[0-9a-f]{2}){0,30}"#.prop_map(String::into_bytes),
        // Field 1 is text, 4 a message and 11 a list of numbers.
        prop::collection::vec(prop_oneof![Just(0x0a), Just(0x22), Just(0x52), Just(0x5a), 0u8..6], 0..40),
    ]
}

proptest! {
    #[test]
    fn any_two_bodies_are_compared_alike_from_both_sides(media in prop::sample::select(TYPES), a in body(), b in body()) {
        prop_assert_eq!(compared(media, &a, &a).result, CompareResult::Matched);
        prop_assert_eq!(compared(media, &a, &b).result, compared(media, &b, &a).result);
    }
}

/// Anything quadratic in these takes 10^10 steps and more, so this test would not end.
#[test]
fn large_bodies_that_aim_at_a_weakness_are_not_quadratic() {
    const MANY: usize = 100_000;
    let each = |write: &dyn Fn(usize) -> String| (0..MANY).map(write).collect::<String>();
    let cases = [
        ("application/xml", format!("<a {}/>", each(&|at| format!(" x{at}='1'")))),
        ("application/xml", format!("<a>{}</a>", each(&|at| format!("<b{at}/>")))),
        ("application/xml", format!("<a>{}</a>", "x<b/>".repeat(MANY))),
        ("application/xml", format!("{}{}", each(&|at| format!("<a xmlns:p{at}='u'>")), "</a>".repeat(MANY))),
        ("application/xml", format!("<a>{}", "<b>".repeat(MANY))),
        ("application/xml", format!("<a>{}</a>", "&amp;".repeat(MANY))),
        ("application/x-www-form-urlencoded", each(&|at| format!("x{at}=1&"))),
        ("application/x-www-form-urlencoded", "x=1&".repeat(MANY)),
        ("application/x-ndjson", each(&|at| format!("{{\"x{at}\":{at}}}\n"))),
        ("application/json", "[".repeat(MANY)),
        ("text/plain", each(&|at| format!("line {at}\n"))),
        ("application/x-protobuf", "\x22\x00".repeat(MANY)),
    ];
    for (media, body) in cases {
        let mut other = body.clone().into_bytes();
        let middle = other.len() / 2;
        other[middle] = if other[middle] == b'1' { b'2' } else { b'1' };
        let comparison = compared(media, body.as_bytes(), &other);
        assert_ne!(comparison.result, CompareResult::Matched, "{media}: {}", &body[..40]);
    }
}
