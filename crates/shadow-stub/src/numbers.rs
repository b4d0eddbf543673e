//! Which call of its place it is in its send, and the seed that follows from that. Pure but for the clock.
//!
//! Guarantee: candidate, control and a resend that make the same calls get the same seeds, and so the same identifiers and faults of rules; memory is
//! bounded, the oldest are forgotten.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use shadow_control::Leg;
use shadow_record::{LaunchName, RequestId};

use crate::correlate::Caller;
use crate::request::Call;
use crate::state::Aged;

/// Places of sends that are remembered.
const MOST: usize = 100_000;
/// Where only the trace told the request, its sends cannot be told apart: one that rested so long is another one.
const REST: Duration = Duration::from_secs(10);

/// Method, destination and path of a call for a request, as a seed.
type Place = u64;
/// A request sent once, and a place that it calls.
type OfSend = (LaunchName, RequestId, bool, Option<i64>, Place);

/// How often each place was called.
pub(crate) struct Numbers(Mutex<Aged<OfSend, (u64, Instant)>>);

impl Numbers {
    /// Nothing called yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Aged::new(MOST)))
    }

    /// The seed of the next call of this caller to this place.
    pub(crate) fn seed(&self, caller: &Caller, call: &Call) -> u64 {
        let request = caller.request_id.0;
        let place =
            hash(&[request.as_bytes(), call.method.as_bytes(), call.destination().as_bytes(), call.path.as_bytes()]);
        let of = (caller.launch.clone(), caller.request_id, caller.leg == Leg::Control, caller.send, place);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, last) = counted.entry(of, || (0, Instant::now()));
        if caller.send.is_none() && last.elapsed() > REST {
            *number = 0;
        }
        (*number, *last) = (*number + 1, Instant::now());
        hash(&[&place.to_be_bytes(), &number.to_be_bytes()])
    }
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use shadow_record::CorrelatedBy;

    use super::*;
    use crate::request::tests::call;

    #[test]
    fn candidate_control_and_resends_get_the_same_seeds_for_the_same_calls() {
        let (numbers, request_id) = (Numbers::new(), RequestId::generate());
        let caller = |request_id, leg, send| Caller {
            by: CorrelatedBy::Mark,
            launch: "v2".parse().unwrap(),
            leg,
            attempt: 1,
            send: Some(send),
            request_id,
        };
        let of = |caller: Caller| {
            [("POST", "/a"), ("POST", "/a"), ("GET", "/a"), ("POST", "/b")]
                .map(|(method, path)| numbers.seed(&caller, &call(method, path, "", "")))
        };
        let first = of(caller(request_id, Leg::Candidate, 1));
        assert_eq!(of(caller(request_id, Leg::Control, 1)), first);
        assert_eq!(of(caller(request_id, Leg::Candidate, 2)), first);
        let mut all = [first, of(caller(RequestId::generate(), Leg::Candidate, 1))].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8, "each call of each request has its own");
    }
}
