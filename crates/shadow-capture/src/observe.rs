//! Watches one exchange pass and puts it together when it is over.
//!
//! An [`Observation`] is shared by the handler and the tees of both bodies. When the last of them lets go, because the bodies
//! ended, or the primary failed, or the client went away and the HTTP library dropped everything, its `Drop` assembles the
//! [`RawExchange`] and offers it to the hand-over.
//!
//! Guarantee: every request that was seen is accounted for exactly once, on whatever path it ends. A panic in here costs one
//! exchange of the record, never a request of the client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::HeaderName;
use shadow_control::{Mark, in_baggage};
use shadow_record::{CaptureError, RequestId, Timestamp};

use crate::effects::{Effects, Meanwhile, Outbound, UnderWay};
use crate::handover::Handover;
use crate::head::{LinesCopy, RequestCopy, RequestHead, ResponseHead};
use crate::latency::Latency;
use crate::ledger::{DropReason, Exclusion, Ledger, Settlement, Ticket};
use crate::pause::{Alarm, Pause};
use crate::sample::{Decision, Sampler};
use crate::tee::{Budget, Deposit, Exhausted, Lease, Limits, Teed};

/// Header of a replayed request.
const MARK: HeaderName = HeaderName::from_static(shadow_control::MARK_HEADER);
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Sees every request on the hot path and decides what to do with it.
pub struct Observer {
    /// The account of every request.
    pub ledger: Arc<Ledger>,
    /// What to capture.
    pub sampler: Sampler,
    /// Bounds of the copies.
    pub limits: Limits,
    /// The way off the hot path.
    pub handover: Handover,
    /// Capturing may be paused.
    pub pause: Arc<Pause>,
    /// Rings when a replayed request comes in.
    pub alarm: Alarm,
    /// What the traffic feels of us; a runtime of the hot path tells its lag by [`crate::measure_lag`].
    pub latency: Arc<Latency>,
    /// Where the primary's calls are seen too.
    pub effects: Option<Arc<Effects>>,
}

impl Observer {
    /// Counts the time that was added to one request, captured or not.
    pub fn added(&self, time: Duration) {
        self.latency.added.record(time);
    }

    /// Enters a request into the account. `None`: it passes, already settled.
    pub fn see(&self, head: &impl RequestHead) -> Option<Arc<Observation>> {
        let ticket = self.ledger.see();
        let arrived = (Instant::now(), Timestamp::now());
        match catch_unwind(AssertUnwindSafe(|| self.judge(head))) {
            Err(_) => ticket.dropped(DropReason::CapturePanic),
            Ok(Err(settlement)) => ticket.settle(settlement),
            Ok(Ok(head)) => return Some(Arc::new(self.begin(head, arrived, ticket))),
        }
        None
    }

    /// The request is under way until what this gives is dropped: calls that the primary makes meanwhile may be its. `None` where
    /// nobody sees them.
    pub fn under_way(&self, head: &impl RequestHead, observation: Option<&Arc<Observation>>) -> Option<UnderWay> {
        self.effects.as_ref()?.begin(head, observation.map(AsRef::as_ref))
    }

    fn begin(&self, head: RawHead, arrived: (Instant, Timestamp), ticket: Ticket) -> Observation {
        Observation::begin(head, arrived, ticket, self.limits.budget.clone(), self.handover.clone())
    }

    /// Enters a request that is known to be for a tunnel: nothing in it can be captured.
    pub fn see_tunnel(&self) {
        self.ledger.see().settle(Settlement::Excluded(Exclusion::Tunnel));
    }

    /// Enters a request that goes no further, because it could be read in two ways or not at all.
    pub fn see_refused(&self) {
        self.ledger.see().settle(Settlement::Excluded(Exclusion::Refused));
    }

    fn judge(&self, head: &impl RequestHead) -> Result<RawHead, Settlement> {
        if let Some(value) = head.values(&MARK).next() {
            // Anyone can send the header; only the replayer can sign it.
            if std::str::from_utf8(value).is_ok_and(|mark| self.is_signed(mark)) {
                self.alarm.ring();
            }
            return Err(Settlement::Excluded(Exclusion::Replayed));
        }
        // A call that a shadow makes of its own does not bear the header, but may have passed the mark on.
        let passed_on = |value: &[u8]| {
            std::str::from_utf8(value).is_ok_and(|value| in_baggage(value).any(|mark| self.is_signed(&mark)))
        };
        if head.values(&BAGGAGE).any(passed_on) {
            self.alarm.ring();
            return Err(Settlement::Excluded(Exclusion::Replayed));
        }
        if let Some(why) = self.pause.why() {
            return Err(Settlement::Excluded(why));
        }
        let id = RequestId::generate();
        let session = match self.sampler.decide(head, id) {
            Decision::Capture(session) => session,
            Decision::Exclude(why) => return Err(Settlement::Excluded(why)),
            Decision::SampleOut => return Err(Settlement::SampledOut),
        };
        let mut lease = self.limits.budget.lease();
        lease.grow(head.size()).map_err(|_| Settlement::Dropped(DropReason::Budget))?;
        let meanwhile = self.effects.as_ref().map(|effects| Meanwhile::begin(effects.calls()));
        Ok(RawHead { id, session, copy: head.copy(), outbound: None, meanwhile, _lease: lease })
    }

    fn is_signed(&self, mark: &str) -> bool {
        self.limits.masker.mark_signers().any(|sign| Mark::verify(mark, sign).is_some())
    }
}

/// A request's head as it came.
#[derive(Debug)]
pub struct RawHead {
    /// Given here.
    pub id: RequestId,
    /// Value of the configured session cookie or header.
    pub session: Option<Vec<u8>>,
    /// The head itself.
    pub copy: RequestCopy,
    /// What else is known of a call that the primary made.
    pub(crate) outbound: Option<Box<Outbound>>,
    /// What was lost of those, where they are seen.
    pub(crate) meanwhile: Option<Meanwhile>,
    _lease: Lease,
}

impl RawHead {
    /// Of a call that the primary made.
    pub(crate) fn of_call(id: RequestId, copy: RequestCopy, outbound: Box<Outbound>, lease: Lease) -> Self {
        Self { id, session: None, copy, outbound: Some(outbound), meanwhile: None, _lease: lease }
    }
}

/// An exchange before masking. It must not leave the process.
#[derive(Debug)]
pub struct RawExchange {
    /// Its place in the account.
    pub ticket: Ticket,
    /// Arrival of the request.
    pub captured_at: Timestamp,
    /// The request's head.
    pub head: RawHead,
    /// The request's body.
    pub request_body: Teed,
    /// The primary's answer, if one came.
    pub response: Option<RawAnswer>,
    /// Why there is no answer, or no whole one.
    pub error: Option<CaptureError>,
    /// Arrival to the response's head.
    pub first_byte: Option<Duration>,
    /// Arrival to the end.
    pub total: Duration,
}

#[cfg(test)]
impl RawExchange {
    /// An exchange that got no answer.
    pub fn without_answer(ticket: Ticket, path: &str) -> Self {
        let head = RawHead {
            id: RequestId::generate(),
            session: None,
            copy: RequestCopy::Wire(format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes().into()),
            outbound: None,
            meanwhile: None,
            _lease: crate::tee::Budget::of(0).lease(),
        };
        Self {
            ticket,
            captured_at: Timestamp::now(),
            head,
            request_body: Teed::empty(),
            response: None,
            error: Some(CaptureError::Connect),
            first_byte: None,
            total: Duration::ZERO,
        }
    }
}

/// The primary's answer before masking.
#[derive(Debug)]
pub struct RawAnswer {
    /// Status code.
    pub status: u16,
    /// All header lines.
    pub lines: LinesCopy,
    /// The body.
    pub body: Teed,
    _lease: Lease,
}

/// One exchange while it passes.
pub struct Observation {
    open: Option<(RawHead, Ticket)>,
    started: Instant,
    captured_at: Timestamp,
    budget: Arc<Budget>,
    handover: Handover,
    request_body: OnceLock<Teed>,
    answer: OnceLock<AnswerHead>,
    response_body: OnceLock<Teed>,
    error: OnceLock<CaptureError>,
    ended: OnceLock<Duration>,
    instead: OnceLock<Settlement>,
}

impl Observation {
    pub(crate) fn begin(
        head: RawHead,
        arrived: (Instant, Timestamp),
        ticket: Ticket,
        budget: Arc<Budget>,
        handover: Handover,
    ) -> Self {
        Self {
            open: Some((head, ticket)),
            started: arrived.0,
            captured_at: arrived.1,
            budget,
            handover,
            request_body: OnceLock::new(),
            answer: OnceLock::new(),
            response_body: OnceLock::new(),
            error: OnceLock::new(),
            ended: OnceLock::new(),
            instead: OnceLock::new(),
        }
    }

    /// The request's ID.
    pub(crate) fn id(&self) -> Option<RequestId> {
        self.open.as_ref().map(|(head, _)| head.id)
    }

    /// The primary's response head has come. Without room for it the exchange will be a counted drop.
    pub fn answered(&self, head: &impl ResponseHead) {
        let first_byte = self.started.elapsed();
        let copied = catch_unwind(AssertUnwindSafe(|| {
            let mut lease = self.budget.lease();
            let lines = lease.grow(head.size()).map(|()| head.copy());
            let _ = self.answer.set(AnswerHead { status: head.status(), lines, first_byte, lease });
        }));
        if copied.is_err() {
            self.broken();
        }
    }

    /// The connection became a tunnel: nothing of it can be captured.
    pub fn tunnelled(&self) {
        let _ = self.instead.set(Settlement::Excluded(Exclusion::Tunnel));
    }

    /// Something panicked while it was observed: the request passes, its record is a counted drop.
    fn broken(&self) {
        let _ = self.instead.set(Settlement::Dropped(DropReason::CapturePanic));
    }

    /// The primary gave no response. The first reason stands.
    pub fn failed(&self, why: CaptureError) {
        let _ = self.error.set(why);
        let _ = self.ended.set(self.started.elapsed());
    }

    fn assemble(&mut self, mut head: RawHead) -> Result<Unsettled, Exhausted> {
        if let Some(meanwhile) = &mut head.meanwhile {
            meanwhile.end();
        }
        let answer = self.answer.take();
        // Nobody said how it ended: the handler was dropped because the client went away.
        let error = self.error.take().or_else(|| answer.is_none().then_some(CaptureError::ClientAborted));
        let first_byte = answer.as_ref().map(|answer| answer.first_byte);
        let response = match answer {
            None => None,
            Some(AnswerHead { status, lines, lease, .. }) => {
                let body = self.response_body.take().unwrap_or_else(Teed::empty);
                Some(RawAnswer { status, lines: lines?, body, _lease: lease })
            }
        };
        Ok(Unsettled {
            head,
            request_body: self.request_body.take().unwrap_or_else(Teed::empty),
            response,
            error,
            first_byte,
            total: self.ended.take().unwrap_or_else(|| self.started.elapsed()),
        })
    }
}

/// The response's head as it came; no lines when the budget had no room for them.
struct AnswerHead {
    status: u16,
    lines: Result<LinesCopy, Exhausted>,
    first_byte: Duration,
    lease: Lease,
}

/// All of a [`RawExchange`] but its ticket, so that a panic while it is made leaves the ticket to be settled rightly.
struct Unsettled {
    head: RawHead,
    request_body: Teed,
    response: Option<RawAnswer>,
    error: Option<CaptureError>,
    first_byte: Option<Duration>,
    total: Duration,
}

impl Drop for Observation {
    fn drop(&mut self) {
        let Some((head, ticket)) = self.open.take() else { return };
        if let Some(settlement) = self.instead.take() {
            return ticket.settle(settlement);
        }
        match catch_unwind(AssertUnwindSafe(|| self.assemble(head))) {
            Err(_) => ticket.dropped(DropReason::CapturePanic),
            Ok(Err(Exhausted)) => ticket.dropped(DropReason::Budget),
            Ok(Ok(Unsettled { head, request_body, response, error, first_byte, total })) => {
                let captured_at = self.captured_at;
                self.handover.offer(RawExchange {
                    ticket,
                    captured_at,
                    head,
                    request_body,
                    response,
                    error,
                    first_byte,
                    total,
                });
            }
        }
    }
}

/// Receives the request's body.
pub struct RequestSide(pub Arc<Observation>);

impl Deposit for RequestSide {
    fn ended(&mut self, body: Teed) {
        let _ = self.0.request_body.set(body);
    }

    /// Whatever kept the body from coming, it was on the client's side.
    fn failed(&mut self, body: Teed, _: CaptureError) {
        let _ = self.0.error.set(CaptureError::ClientAborted);
        self.ended(body);
    }

    /// The primary did not want the rest: no fault of the exchange, but the body is not whole.
    fn abandoned(&mut self, body: Teed) {
        self.ended(body);
    }

    fn broken(&mut self) {
        self.0.broken();
    }
}

/// Receives the response's body.
pub struct ResponseSide(pub Arc<Observation>);

impl Deposit for ResponseSide {
    fn ended(&mut self, body: Teed) {
        let _ = self.0.response_body.set(body);
        let _ = self.0.ended.set(self.0.started.elapsed());
    }

    fn failed(&mut self, body: Teed, why: CaptureError) {
        let _ = self.0.error.set(why);
        self.ended(body);
    }

    fn abandoned(&mut self, body: Teed) {
        let _ = self.0.error.set(CaptureError::ClientAborted);
        self.ended(body);
    }

    fn broken(&mut self) {
        self.0.broken();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_head_counts_against_the_budget_or_the_exchange_is_dropped() {
        let (parts, ()) = http::Response::builder().header("x", "a".repeat(99)).body(()).unwrap().into_parts();
        for (room, handed_over) in [(99, 0), (100, 1)] {
            let (ledger, budget) = (Ledger::open(), Budget::of(room));
            let (handover, queue) = crate::handover::queue(1);
            let RawExchange { head, ticket, .. } = RawExchange::without_answer(ledger.see(), "/");
            let arrived = (Instant::now(), Timestamp::now());
            let observation = Observation::begin(head, arrived, ticket, budget.clone(), handover);
            observation.answered(&parts);
            assert_eq!(budget.used(), handed_over * 100);
            drop(observation);
            assert_eq!(queue.try_iter().count(), handed_over);
            let account = ledger.account();
            assert_eq!(account.dropped_for(DropReason::Budget), 1 - handed_over as i64, "{account:?}");
            assert_eq!(budget.used(), 0);
        }
    }
}
