//! Which calls are compared: what a version meant to do, once. Pure.

use std::collections::{HashMap, HashSet};

use shadow_record::{Body, Decision, SideEffect};

/// Most calls of one side of an exchange that are compared; the order of all of them is looked at pair by pair.
pub const MOST_CALLS: usize = 500;
/// What the stub makes of mail. The primary's goes past the agent's proxy, so there is nothing to compare it with.
const MAIL: &str = "MAIL";
/// What the agent records of a tunnel that it cannot look into. Of requests during which something went up one, it says that not everything was
/// recorded.
const CONNECT: &str = "CONNECT";

/// Of the primary's calls and another version's, those that are intents, in the order in which they were made. Left out are mail, tunnels, and
/// repetitions: calls that carry the idempotency key of an earlier one to the same place, on either side. The stub knows more repetitions than the
/// primary's calls show, by keys in bodies: what it answered as an equal earlier one counts only as often as the primary asked it. Where the
/// earlier one is not among these, it was another send's or another request's, and the call is what this one meant to do.
pub fn intents<'a>(
    primary: impl IntoIterator<Item = &'a SideEffect>,
    other: impl IntoIterator<Item = &'a SideEffect>,
) -> (Vec<&'a SideEffect>, Vec<&'a SideEffect>) {
    let (ours, mut theirs) = (once(primary), once(other));
    // How often the primary asked the same, less what the other version asked so far.
    let mut left: HashMap<Asked<'a>, i64> = HashMap::new();
    for call in &ours {
        *left.entry(Asked::of(call)).or_default() += 1;
    }
    let mut asked = HashSet::new();
    theirs.retain(|call| {
        let left = left.entry(Asked::of(call)).or_default();
        *left -= 1;
        let is_new = asked.insert(Asked::of(call));
        let repeats = call.decision == Decision::Again && key(call).is_none();
        !repeats || is_new || *left >= 0
    });
    (ours, theirs)
}

/// The calls of one side that can be compared, each key once for each place.
fn once<'a>(calls: impl IntoIterator<Item = &'a SideEffect>) -> Vec<&'a SideEffect> {
    let comparable = |call: &&SideEffect| is_comparable(call);
    let mut calls: Vec<&SideEffect> = calls.into_iter().filter(comparable).collect();
    calls.sort_by_key(|call| (call.at, &call.instance, call.epoch, call.sequence));
    let mut keyed = HashSet::new();
    calls.retain(|call| key(call).is_none_or(|key| keyed.insert((key, Asked::of(call).to))));
    calls
}

/// Whether both sides' calls of this kind can be recorded.
pub(super) fn is_comparable(call: &SideEffect) -> bool {
    let method = call.request.method.as_str();
    method != MAIL && method != CONNECT
}

fn key(call: &SideEffect) -> Option<&str> {
    call.request.header("idempotency-key")
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
