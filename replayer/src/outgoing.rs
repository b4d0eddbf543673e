//! One captured request as it leaves for one target: what the steps of rewriting make of it together, and what is learnt from the answer.
//!
//! In order: what the target issued in place of the primary's values (`learn`); what rules encrypted, for targets that may see it; the HTTP
//! request (`rewrite`); the dry run of the write policy (`writes`); the target's identity (`identity`); a trace of its own (`trace`).
//! Guarantee: it is decided and made at the moment of sending, from the launch as it is then, so that a withdrawn isolation, a changed policy
//! and a fresh token count.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use shadow_control::{Launch, Leg, MARK_HEADER, Mark, Sending};
use shadow_mask::RawResponse;
use shadow_record::{FailureClass, Outcome, RequestId, Response, SkipReason};
use url::Url;

use crate::pipeline::{Due, Line};
use crate::rewrite::{self, Unsendable};
use crate::{trace, writes};

/// A request on its way out.
pub(crate) struct Outgoing {
    pub(crate) request: reqwest::Request,
    /// What in it is not what was captured, by the names of the rules.
    pub(crate) rewritten: Vec<String>,
    /// Secrets in it, which an answer may repeat.
    pub(crate) hidden: Vec<Arc<str>>,
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub(crate) struct To<'a> {
    pub(crate) target: &'a Url,
    pub(crate) leg: Leg,
    /// The number of this send, the same for candidate and control.
    pub(crate) send: i64,
}

/// A number for one more send of the request, above 0, that no other send of it has.
pub(crate) fn send_number(of: &RequestId) -> i64 {
    // Keyed at random, as every process is anew: another owner of the partition, and this one after a crash, gives another number.
    (RandomState::new().hash_one(of.0) >> 1).max(1) as i64
}

/// Why there is nothing to send.
pub(crate) enum NotSent {
    Skipped(SkipReason),
    Unsendable,
}

impl NotSent {
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Skipped(reason) => Outcome::Skipped(*reason),
            Self::Unsendable => Outcome::Failed(FailureClass::RequestInvalid),
        }
    }
}

/// The request as it goes there now.
pub(crate) fn outgoing(line: &Line, due: &Due, launch: &Launch, to: To<'_>) -> Result<Outgoing, NotSent> {
    if line.learned.has_given_up(to.leg, &due.key) {
        return Err(NotSent::Skipped(SkipReason::SessionStuck));
    }
    let sending = launch.may_send(&due.request.method, &due.route).map_err(NotSent::Skipped)?;
    made(line, due, sending, to).map_err(|unsendable| {
        tracing::debug!(partition = due.place.partition, offset = due.place.offset, %unsendable, "not sent");
        NotSent::Unsendable
    })
}

fn made(line: &Line, due: &Due, sending: Sending<'_>, to: To<'_>) -> Result<Outgoing, Unsendable> {
    let To { target, leg, send } = to;
    let mark = Mark { launch: line.publisher.launch.clone(), request_id: due.of.request_id, attempt: 1, leg, send };
    let mut rewritten = Vec::new();
    let substituted = line.learned.substitute(leg, &due.key, &due.request);
    let captured = match &substituted {
        Some((request, rules)) => {
            rewritten.extend(rules.iter().map(|rule| format!("learned:{rule}")));
            if leg == Leg::Candidate {
                line.ledger.substituted();
            }
            request
        }
        None => &due.request,
    };
    let shown = line.reveal.for_target(target, captured);
    let sign = |text: &[u8]| line.masker.mark_tag(text);
    let mut request = rewrite::request(target, &shown, &mark, sign)?;
    if let Sending::DryRun(rule) = sending {
        writes::dry_run(rule, &mut request)?;
        rewritten.push(writes::DRY_RUN.to_owned());
    }
    // Without an answer nobody has said that the captured credentials were good: a client can make up a token and hang up.
    let accepted = due.primary.as_ref().is_some_and(|primary| primary.status != 401);
    let applied = line.identities.apply(target, &due.request, accepted, &mut request)?;
    rewritten.extend(applied.name);
    let headers = request.headers_mut();
    trace::begin(headers, &trace::ids(&mark, sign));
    if let Some(mark) = headers.get(MARK_HEADER).cloned() {
        trace::carry(headers, &mark);
    }
    Ok(Outgoing { request, rewritten, hidden: applied.hidden })
}

/// Remembers what the target issued in place of the primary. `answer` is `None` when it has not answered.
pub(crate) fn learn(line: &Line, due: &Due, leg: Leg, answer: Option<&RawResponse>) {
    if line.learned.is_idle() || due.of.session.is_none() {
        return;
    }
    match (answer, &due.primary) {
        (Some(answer), Some(primary)) => {
            let masked = |name: &str| line.masker.name(name);
            let learnt = line.learned.learn(leg, &due.key, &due.route, primary, answer, &masked);
            if leg == Leg::Candidate {
                line.ledger.learnt(learnt);
            }
        }
        (None, _) if leg == Leg::Control => line.learned.give_up(leg, &due.key),
        _ => {}
    }
}

/// The candidate was not asked, or its answer not waited for, and that is not its fault. If there was something to learn, the rest of the
/// session would fail for want of it: it is not sent.
pub(crate) fn miss(line: &Line, due: &Due) {
    if due.of.session.is_some() {
        missed(line, &due.key, &due.route, due.primary.as_ref());
    }
}

/// [`miss`] for a record of a session that has not come to wait.
pub(crate) fn missed(line: &Line, key: &Bytes, route: &str, primary: Option<&Response>) {
    let masked = |name: &str| line.masker.name(name);
    if !line.learned.is_idle() && primary.is_some_and(|primary| line.learned.is_taught_by(route, primary, &masked)) {
        line.learned.give_up(Leg::Candidate, key);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_sends_of_a_request_have_the_same_number() {
        let id = RequestId::generate();
        let numbers: BTreeSet<_> = (0..10_000).map(|_| send_number(&id)).collect();
        assert_eq!(numbers.len(), 10_000);
        assert!(numbers.first() > Some(&0));
    }
}
