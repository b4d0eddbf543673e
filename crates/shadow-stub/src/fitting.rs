//! An effect as a record that its topic takes. Pure.
//!
//! Masking can make a body several times as long as it was. Guarantee: what was asked outlasts what was answered, and that there was a call,
//! whose, and where to, outlasts both.

use bytes::Bytes;
use shadow_record::{Body, SideEffect, Withheld, encode};

/// Longest record: under the topic's limit of 4 MiB, with room for batch headers.
pub(crate) const LARGEST: usize = 3 << 20;

/// Encodes an effect in at most `most` bytes: without the answer's body if it must be, then without the call's, then without their headers.
/// What is still longer then is given as it is.
pub(crate) fn fitting(mut effect: SideEffect, most: usize) -> Bytes {
    let steps: [fn(&mut SideEffect); 3] = [
        |effect| effect.response.iter_mut().for_each(|response| withhold(&mut response.body)),
        |effect| withhold(&mut effect.request.body),
        |effect| {
            effect.request.headers.clear();
            effect.response.iter_mut().for_each(|response| response.headers.clear());
        },
    ];
    let mut encoded = encode(&effect);
    for step in steps {
        if encoded.len() <= most {
            break;
        }
        step(&mut effect);
        encoded = encode(&effect);
    }
    encoded
}

/// Leaves length and digest. One that is withheld already keeps its reason.
fn withhold(body: &mut Body) {
    if body.content.take().is_some() {
        body.withheld = Some(Withheld::Truncated);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use shadow_record::{CorrelatedBy, Decision, Header, Request, RequestId, Response, Side, Timestamp, decode};

    use super::*;

    /// An effect whose bodies and headers have so many bytes.
    pub(crate) fn effect(asked: usize, answered: usize, headers: usize) -> SideEffect {
        let body = |length: usize| Body {
            content: Some(vec![b'x'; length].into()),
            length: length as i64,
            digest: Bytes::from_static(b"digest"),
            withheld: None,
        };
        let headers = vec![Header::of("x", "x".repeat(headers))];
        SideEffect {
            service: "checkout".parse().unwrap(),
            side: Side::Candidate,
            instance: "stub".to_owned(),
            epoch: 1,
            sequence: 1,
            at: Timestamp(1),
            total_us: 1,
            request_id: Some(RequestId::generate()),
            launch: None,
            attempt: 0,
            correlated_by: CorrelatedBy::Mark,
            trace_id: None,
            destination: "pay.example".to_owned(),
            route: "/charge".to_owned(),
            rule: None,
            decision: Decision::Answered,
            fault: None,
            request: Request {
                method: "POST".to_owned(),
                scheme: "https".to_owned(),
                authority: "pay.example".to_owned(),
                path: "/charge".to_owned(),
                query: None,
                headers: headers.clone(),
                body: body(asked),
            },
            response: Some(Response { status: 200, headers, body: body(answered) }),
            ruleset: String::new(),
            key_id: String::new(),
            send: None,
        }
    }

    #[test]
    fn a_record_beyond_the_limit_loses_the_answer_first_then_the_call_then_headers() {
        const MOST: usize = 10_000;
        for (asked, answered, headers, kept) in [
            (4_000, 4_000, 10, (true, true, true)),
            (4_000, 9_000, 10, (true, false, true)),
            (20_000, 10, 10, (false, false, true)),
            (20_000, 20_000, 20_000, (false, false, false)),
        ] {
            let encoded = fitting(effect(asked, answered, headers), MOST);
            assert!(encoded.len() <= MOST, "{}", encoded.len());
            let effect: SideEffect = decode(&encoded).unwrap();
            let response = effect.response.unwrap();
            for (body, length, kept) in [(&effect.request.body, asked, kept.0), (&response.body, answered, kept.1)] {
                assert_eq!(body.content.is_some(), kept);
                assert_eq!(body.withheld, (!kept).then_some(Withheld::Truncated));
                assert_eq!((body.length, &body.digest[..]), (length as i64, &b"digest"[..]));
            }
            assert_eq!((effect.request.headers.is_empty(), response.headers.is_empty()), (!kept.2, !kept.2));
        }
    }
}
