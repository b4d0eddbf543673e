//! Records and launches for this crate's tests.

use bytes::Bytes;
use shadow_control::{Change, Launch};
use shadow_record::{Body, CapturedExchange, Header, Request, RequestId, Source, Timestamp};
use uuid::Uuid;

/// A launch that replays everything.
pub(crate) fn launch(candidate: &str) -> Launch {
    let (name, service) = ("v2".parse().unwrap(), "shop".parse().unwrap());
    Launch::of(name, service, candidate.parse().unwrap(), Change::by("test", "test"))
}

/// A captured request without a body, always with the same ID.
pub(crate) fn captured(method: &str, path: &str) -> CapturedExchange {
    CapturedExchange {
        request_id: RequestId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_002a)),
        correlation_id: None,
        agent: "a1".to_owned(),
        epoch: 1,
        sequence: 0,
        service: "shop".parse().unwrap(),
        source: Source::Proxy,
        captured_at: Timestamp(1),
        route: format!("{method} {path}"),
        request: Request {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: "shop.example".to_owned(),
            path: path.to_owned(),
            query: None,
            headers: vec![Header::of("accept", "application/json")],
            body: Body { content: Some(Bytes::new()), length: 0, digest: Bytes::new(), withheld: None },
        },
        response: None,
        error: None,
        first_byte_us: None,
        total_us: 1,
        ruleset: "1".to_owned(),
        key_id: "k".to_owned(),
        sampling_rate: 1.0,
        effects_recorded: false,
    }
}
