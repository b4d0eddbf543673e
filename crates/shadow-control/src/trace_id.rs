//! The trace ID that a replayed request is sent with, from which whoever knows the launches can tell the request.
//!
//! Services propagate `traceparent` where they propagate anything, so it is what outbound calls are most often told apart by. The ID is the
//! request's own, veiled by the launch and the leg: replays of one request in several launches are different traces, and nothing has to
//! be looked up. It hides nothing and proves nothing: a mark does that.

use std::time::Duration;

use shadow_record::{LaunchName, RequestId, Timestamp};
use uuid::Uuid;

use crate::Leg;

/// How far back a request may have been captured to be believed: longer than topics are kept.
const OLDEST: Duration = Duration::from_secs(400 * 24 * 3600);
/// How far clocks may be ahead.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// A W3C trace ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// Of a request's replay in a launch.
    pub fn of(request: &RequestId, launch: &LaunchName, leg: Leg) -> Self {
        Self(veil(*request.0.as_bytes(), launch, leg))
    }

    /// The request, if this is its trace ID in that launch. Another launch's, or a stranger's, is taken for one with a chance of less than
    /// one in ten million: version, variant and time must all be right.
    pub fn request(self, launch: &LaunchName, leg: Leg, now: Timestamp) -> Option<RequestId> {
        let id = Uuid::from_bytes(veil(self.0, launch, leg));
        let (seconds, nanos) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
        let right_variant = id.get_variant() == uuid::Variant::RFC4122;
        let captured = Timestamp(i64::try_from(seconds).ok()?.checked_mul(1_000_000)? + i64::from(nanos / 1000));
        let plausible = now.since(captured) <= OLDEST && captured.since(now) <= AHEAD;
        (right_variant && plausible).then_some(RequestId(id))
    }

    /// Reads the trace ID of a `traceparent` header.
    pub fn of_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
        let well_formed = version.len() == 2 && version != "ff" && trace.len() == 32 && parent.len() == 16;
        let lower = trace.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed || !lower {
            return None;
        }
        let id = u128::from_str_radix(trace, 16).ok()?;
        (id != 0).then(|| Self(id.to_be_bytes()))
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Its own inverse.
fn veil(mut id: [u8; 16], launch: &LaunchName, leg: Leg) -> [u8; 16] {
    let salt = match leg {
        Leg::Candidate => 0,
        Leg::Control => 1,
    };
    for (half, bytes) in id.chunks_exact_mut(8).enumerate() {
        let veil = crate::launch::hash([launch.as_str().as_bytes(), &[salt, half as u8]]).to_be_bytes();
        bytes.iter_mut().zip(veil).for_each(|(byte, veil)| *byte ^= veil);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_gives_its_request_to_who_knows_the_launch_and_to_nobody_else() {
        let (v2, v3): (LaunchName, LaunchName) = ("v2".parse().unwrap(), "v3".parse().unwrap());
        let now = Timestamp::now();
        for _ in 0..2000 {
            let id = RequestId::generate();
            let trace = TraceId::of(&id, &v2, Leg::Candidate);
            assert_eq!(trace.request(&v2, Leg::Candidate, now), Some(id));
            assert_eq!(trace.request(&v2, Leg::Control, now), None);
            assert_eq!(trace.request(&v3, Leg::Candidate, now), None);
            assert_eq!(TraceId(*RequestId::generate().0.as_bytes()).request(&v2, Leg::Candidate, now), None);
            let header = format!("00-{trace}-00f067aa0ba902b7-01");
            assert_eq!(TraceId::of_traceparent(&header), Some(trace));
        }
    }

    #[test]
    fn what_is_no_traceparent_has_no_trace_id() {
        let zero = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let upper = format!("00-{}-00f067aa0ba902b7-01", "A".repeat(32));
        for header in ["", "00", "00-abc-00f067aa0ba902b7-01", &zero, &upper, &zero.replacen("00", "ff", 1)] {
            assert_eq!(TraceId::of_traceparent(header), None, "{header}");
        }
    }
}
