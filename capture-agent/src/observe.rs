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

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Uri, request, response};
use shadow_control::Mark;
use shadow_record::{CaptureError, RequestId, Timestamp};

use crate::fault;
use crate::handover::Handover;
use crate::ledger::{DropReason, Exclusion, Ledger, Settlement, Ticket};
use crate::pause::{Alarm, Pause};
use crate::proxy::UploadError;
use crate::sample::{Decision, Sampler};
use crate::tee::{Budget, Deposit, Exhausted, Lease, Limits, Teed};

/// Sees every request on the hot path and decides what to do with it.
pub(crate) struct Observer {
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
}

impl Observer {
    /// Enters a request into the account. `None`: it passes, already settled.
    pub(crate) fn see(&self, parts: &request::Parts, mark: &http::HeaderName) -> Option<Arc<Observation>> {
        let ticket = self.ledger.see();
        let arrived = (Instant::now(), Timestamp::now());
        match catch_unwind(AssertUnwindSafe(|| self.judge(parts, mark))) {
            Err(_) => ticket.dropped(DropReason::CapturePanic),
            Ok(Err(settlement)) => ticket.settle(settlement),
            Ok(Ok(head)) => return Some(Arc::new(self.begin(head, arrived, ticket))),
        }
        None
    }

    fn begin(&self, head: RawHead, arrived: (Instant, Timestamp), ticket: Ticket) -> Observation {
        Observation::begin(head, arrived, ticket, self.limits.budget.clone(), self.handover.clone())
    }

    /// Enters a request whose connection becomes a tunnel: nothing in it can be captured.
    pub(crate) fn see_tunnel(&self) {
        self.ledger.see().settle(Settlement::Excluded(Exclusion::Tunnel));
    }

    fn judge(&self, parts: &request::Parts, mark: &http::HeaderName) -> Result<RawHead, Settlement> {
        if let Some(value) = parts.headers.get(mark) {
            self.judge_mark(value);
            return Err(Settlement::Excluded(Exclusion::Replayed));
        }
        if self.pause.is_on() {
            return Err(Settlement::Excluded(Exclusion::Paused));
        }
        let id = RequestId::generate();
        let session = match self.sampler.decide(parts.method.as_str(), parts.uri.path(), &parts.headers, id) {
            Decision::Capture(session) => session,
            Decision::Exclude(why) => return Err(Settlement::Excluded(why)),
            Decision::SampleOut => return Err(Settlement::SampledOut),
        };
        let mut lease = self.limits.budget.lease();
        lease.grow(head_size(&parts.uri, &parts.headers)).map_err(|_| Settlement::Dropped(DropReason::Budget))?;
        Ok(RawHead {
            id,
            session,
            method: parts.method.as_str().to_owned(),
            authority: authority(&parts.uri, &parts.headers),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: detach(&parts.headers),
            _lease: lease,
        })
    }

    /// Anyone can send the header; only the replayer can sign it.
    fn judge_mark(&self, value: &HeaderValue) {
        let sign = |body: &[u8]| self.limits.masker.mark_tag(body);
        if value.to_str().is_ok_and(|value| Mark::verify(value, sign).is_some()) {
            self.alarm.ring();
        }
    }
}

/// A request's head as it came.
#[derive(Debug)]
pub(crate) struct RawHead {
    /// Given by the agent.
    pub id: RequestId,
    /// Value of the configured session cookie or header.
    pub session: Option<Vec<u8>>,
    /// As the client wrote it.
    pub method: String,
    /// Host the client asked for.
    pub authority: String,
    /// Raw, without the query.
    pub path: String,
    /// Raw.
    pub query: Option<String>,
    /// All header lines.
    pub headers: HeaderMap,
    _lease: Lease,
}

/// An exchange before masking. It must not leave the process.
#[derive(Debug)]
pub(crate) struct RawExchange {
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
    pub(crate) fn without_answer(ticket: Ticket, path: &str) -> Self {
        let head = RawHead {
            id: RequestId::generate(),
            session: None,
            method: "GET".into(),
            authority: String::new(),
            path: path.into(),
            query: None,
            headers: HeaderMap::new(),
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
pub(crate) struct RawAnswer {
    /// Status code.
    pub status: u16,
    /// All header lines.
    pub headers: HeaderMap,
    /// The body.
    pub body: Teed,
    _lease: Lease,
}

/// One exchange while it passes.
pub(crate) struct Observation {
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
}

impl Observation {
    fn begin(
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
        }
    }

    /// The primary's response head has come. Without room for it the exchange will be a counted drop.
    pub(crate) fn answered(&self, parts: &response::Parts) {
        let first_byte = self.started.elapsed();
        let mut lease = self.budget.lease();
        let headers = lease.grow(lines_size(&parts.headers)).map(|()| detach(&parts.headers));
        let _ = self.answer.set(AnswerHead { status: parts.status.as_u16(), headers, first_byte, lease });
    }

    /// The primary gave no response. The first reason stands.
    pub(crate) fn failed(&self, why: CaptureError) {
        let _ = self.error.set(why);
        let _ = self.ended.set(self.started.elapsed());
    }

    fn assemble(&mut self, head: RawHead) -> Result<Unsettled, Exhausted> {
        let answer = self.answer.take();
        // Nobody said how it ended: the handler was dropped because the client went away.
        let error = self.error.take().or_else(|| answer.is_none().then_some(CaptureError::ClientAborted));
        let first_byte = answer.as_ref().map(|answer| answer.first_byte);
        let response = match answer {
            None => None,
            Some(AnswerHead { status, headers, lease, .. }) => {
                let body = self.response_body.take().unwrap_or_else(Teed::empty);
                Some(RawAnswer { status, headers: headers?, body, _lease: lease })
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

/// The response's head as it came; no headers when the budget had no room for them.
struct AnswerHead {
    status: u16,
    headers: Result<HeaderMap, Exhausted>,
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
pub(crate) struct RequestSide(pub Arc<Observation>);

impl Deposit for RequestSide {
    fn ended(&mut self, body: Teed) {
        let _ = self.0.request_body.set(body);
    }

    fn failed(&mut self, body: Teed, error: &(dyn std::error::Error + 'static)) {
        if !matches!(error.downcast_ref(), Some(UploadError::NotWanted)) {
            let _ = self.0.error.set(CaptureError::ClientAborted);
        }
        self.ended(body);
    }

    /// The primary did not want the rest: no fault of the exchange, but the body is not whole.
    fn abandoned(&mut self, body: Teed) {
        self.ended(body);
    }
}

/// Receives the response's body.
pub(crate) struct ResponseSide(pub Arc<Observation>);

impl Deposit for ResponseSide {
    fn ended(&mut self, body: Teed) {
        let _ = self.0.response_body.set(body);
        let _ = self.0.ended.set(self.0.started.elapsed());
    }

    fn failed(&mut self, body: Teed, error: &(dyn std::error::Error + 'static)) {
        let _ = self.0.error.set(fault::classify(error));
        self.ended(body);
    }

    fn abandoned(&mut self, body: Teed) {
        let _ = self.0.error.set(CaptureError::ClientAborted);
        self.ended(body);
    }
}

/// Host the client asked for: of an absolute or HTTP/2 target, else the `Host` header.
fn authority(uri: &Uri, headers: &HeaderMap) -> String {
    match uri.authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned(),
    }
}

fn head_size(uri: &Uri, headers: &HeaderMap) -> usize {
    uri.path().len() + uri.query().map_or(0, str::len) + lines_size(headers)
}

fn lines_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// A copy that shares no memory with the connection's read buffer, which a shared header value would pin as a whole.
fn detach(headers: &HeaderMap) -> HeaderMap {
    let mut values = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    headers.values().for_each(|value| values.extend_from_slice(value.as_bytes()));
    let mut values = values.freeze();
    let mut copy = headers.clone();
    for value in copy.values_mut() {
        let own: Bytes = values.split_to(value.len());
        if let Ok(own) = HeaderValue::from_maybe_shared(own) {
            *value = own;
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detached_headers_equal_the_original_in_order_and_repetition() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", ""), ("a", "2"), ("c", "x y"), ("b", "3")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let copy = detach(&headers);
        assert_eq!(copy, headers);
        assert!(copy.iter().zip(&headers).all(|(a, b)| a == b));
    }

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
