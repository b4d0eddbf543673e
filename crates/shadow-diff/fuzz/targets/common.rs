//! What holds for every two bodies: comparing them never panics, a body equals itself, and swapping the sides changes no result.

use bytes::Bytes;
use shadow_diff::{CompareResult, Rules, compare};
use shadow_record::{Body, Header, Response, Timestamp};

fn answer(content_type: &str, body: &[u8]) -> Response {
    let content = Bytes::copy_from_slice(body);
    Response {
        status: 200,
        headers: vec![Header::of("content-type", content_type)],
        body: Body { length: body.len() as i64, content: Some(content), digest: Bytes::new(), withheld: None },
    }
}

/// The input is two bodies with a zero byte between them.
pub fn bodies(content_type: &str, input: &[u8], rules: &str) {
    let rules = Rules::parse(rules).expect("rules of a target are valid");
    let (primary, rest) = input.split_at(input.iter().position(|byte| *byte == 0).unwrap_or(input.len()));
    let (a, b) = (answer(content_type, primary), answer(content_type, rest.get(1..).unwrap_or_default()));
    let result = |a: &Response, b: &Response| compare("GET /", a, b, &rules, Timestamp(0)).result;
    assert_eq!(result(&a, &a), CompareResult::Matched);
    assert_eq!(result(&a, &b), result(&b, &a));
}
