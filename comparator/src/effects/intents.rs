//! Which calls are compared: what a version meant to do, once. Pure.

use std::collections::HashSet;

use shadow_record::{Body, Decision, SideEffect};

/// Most calls of one side of an exchange that are compared; the order of all of them is looked at pair by pair.
pub const MOST_CALLS: usize = 500;
/// What the stub makes of mail. The primary's goes past the agent's proxy, so there is nothing to compare it with.
const MAIL: &str = "MAIL";
/// What the agent records of a tunnel that it cannot look into. Of requests during which something went up one, it says that not everything was
/// recorded.
const CONNECT: &str = "CONNECT";

/// Of these calls, those that are intents, in the order in which they were made. Left out are mail, tunnels, and repetitions: calls that carry the
/// idempotency key of an earlier equal one, or that were answered as an earlier one was. Where that one is not among these, it was another
/// send's or another request's, and the call is what this one meant to do.
pub fn intents<'a>(calls: impl IntoIterator<Item = &'a SideEffect>) -> Vec<&'a SideEffect> {
    let comparable = |call: &&SideEffect| {
        let method = call.request.method.as_str();
        method != MAIL && method != CONNECT
    };
    let mut calls: Vec<&SideEffect> = calls.into_iter().filter(comparable).collect();
    calls.sort_by_key(|call| (call.at, &call.instance, call.epoch, call.sequence));
    let (mut asked, mut keyed) = (HashSet::new(), HashSet::new());
    calls.retain(|call| {
        let key = call.request.header("idempotency-key");
        let is_new = asked.insert((key, Asked::of(call)));
        let is_first = keyed.insert((key, Asked::of(call).to));
        match (call.decision, key) {
            (Decision::Again, Some(_)) => is_first,
            (Decision::Again, None) | (_, Some(_)) => is_new,
            (_, None) => true,
        }
    });
    calls
}

/// What a call asked, to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked<'a> {
    to: (&'a str, &'a str, &'a str),
    path: &'a str,
    query: &'a str,
    media: &'a str,
    body: (Option<&'a [u8]>, &'a [u8]),
    masking: (&'a str, &'a str),
}

impl<'a> Asked<'a> {
    pub(super) fn of(call: &'a SideEffect) -> Self {
        let request = &call.request;
        let Body { content, digest, .. } = &request.body;
        Self {
            to: (&call.destination, &request.method, &call.route),
            path: &request.path,
            query: request.query.as_deref().unwrap_or_default(),
            media: request.header("content-type").unwrap_or_default(),
            // A digest stands only for content that is not there: it is of the original, which masking may have made equal.
            body: (content.as_deref(), if content.is_some() { &[] } else { digest }),
            masking: (&call.key_id, &call.ruleset),
        }
    }
}
