//! The primary's outbound calls, seen beside its exchanges: the same bounded copies, hand-over, masking and publishing, into
//! `shadow.effects.<service>`.
//!
//! ```text
//! egress            where the calls pass
//!   | Effects::see  not the shadow's; whose it is (`requests`); one raw exchange when all has passed
//!   v handover      one try_send; full = counted drop
//! seal -> publish   a thread of lower priority
//! ```
//!
//! Guarantees: a call waits for nothing in here and is broken by nothing in here; a call that a shadow makes is told apart before a byte
//! of it is forwarded; every call is accounted for exactly once ([`Calls`]).

mod requests;
mod seal;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use http::HeaderName;
use shadow_control::{Mark, TraceId, in_baggage};
use shadow_record::{CorrelatedBy, RequestId, Timestamp};

use crate::handover::Handover;
use crate::head::RequestHead;
use crate::ledger::{Account, DropReason, Exclusion, Ledger, Settlement};
use crate::observe::{Observation, RawHead};
use crate::pause::{Alarm, Pause};
use crate::tee::Limits;
pub(crate) use requests::Requests;
pub use requests::UnderWay;
use requests::{Told, Whose};
pub(crate) use seal::SealEffect;

const MARK: HeaderName = HeaderName::from_static(shadow_control::MARK_HEADER);
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// By what calls were told, in the order of the counters.
const TOLD_BY: [CorrelatedBy; 4] =
    [CorrelatedBy::Trace, CorrelatedBy::CorrelationId, CorrelatedBy::Alone, CorrelatedBy::None];

/// Another agent takes calls too: the one before this.
const FROM_THE_OLD: u8 = 1;
/// The one after it.
const WITH_THE_NEXT: u8 = 2;

/// Whom a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host, and the port where the scheme does not imply it.
    pub host: String,
}

/// What is known of a call besides its messages.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    to: Destination,
    request: Option<RequestId>,
    by: CorrelatedBy,
    trace: Option<TraceId>,
}

/// The call bears the mark of a replayed request: it must not go any further.
#[derive(Debug, PartialEq, Eq)]
pub struct Marked;

/// Sees every call on its way out.
pub struct Effects {
    /// The account of every call.
    pub(crate) calls: Arc<Calls>,
    /// Bounds of the copies; its masker knows the routes of destinations.
    pub(crate) limits: Limits,
    /// The way off the hot path.
    pub(crate) handover: Handover,
    /// Capturing may be paused.
    pub(crate) pause: Arc<Pause>,
    /// Rings when the shadow has reached production.
    pub(crate) alarm: Alarm,
    /// Which requests are under way.
    pub(crate) requests: Arc<Requests>,
}

impl Effects {
    /// Bounds of the copies.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The account of every call.
    pub fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// A request begins; `observation` if it is captured.
    pub(crate) fn begin(&self, head: &impl RequestHead, observation: Option<&Observation>) -> Option<UnderWay> {
        let id = observation.and_then(Observation::id);
        catch_unwind(AssertUnwindSafe(|| self.requests.begin(head, id))).ok()
    }

    /// Enters a call into the account. `Ok(None)`: it passes, already settled.
    ///
    /// # Errors
    /// [`Marked`]; then it must be refused.
    pub fn see(&self, head: &impl RequestHead, to: Destination) -> Result<Option<Arc<Observation>>, Marked> {
        let ticket = self.calls.ledger.see();
        let arrived = (Instant::now(), Timestamp::now());
        match catch_unwind(AssertUnwindSafe(|| self.judge(head, to))) {
            Err(_) => ticket.dropped(DropReason::CapturePanic),
            Ok(Err(settlement)) => {
                ticket.settle(settlement);
                if settlement == Settlement::Excluded(Exclusion::Replayed) {
                    return Err(Marked);
                }
            }
            Ok(Ok(head)) => {
                let (budget, handover) = (self.limits.budget.clone(), self.handover.clone());
                return Ok(Some(Arc::new(Observation::begin(head, arrived, ticket, budget, handover))));
            }
        }
        Ok(None)
    }

    /// Whether a call that is not recorded itself, such as the request for a tunnel, may go on.
    ///
    /// # Errors
    /// [`Marked`], in the account.
    pub fn check(&self, head: &impl RequestHead) -> Result<(), Marked> {
        self.refuse_marked(head).map_err(|settlement| {
            self.calls.ledger.see().settle(settlement);
            Marked
        })
    }

    /// Enters a call that goes no further, for another reason.
    pub fn see_refused(&self) {
        self.calls.ledger.see().settle(Settlement::Excluded(Exclusion::Refused));
    }

    fn judge(&self, head: &impl RequestHead, to: Destination) -> Result<RawHead, Settlement> {
        self.refuse_marked(head)?;
        if let Some(why) = self.pause.why() {
            return Err(Settlement::Excluded(why));
        }
        let told = Told::by(head);
        let (request, by) = match self.requests.whose(&told) {
            // Of several agents none knows who is alone.
            Whose::Request(_, CorrelatedBy::Alone) if self.calls.is_shared() => (None, CorrelatedBy::None),
            Whose::Request(id, by) => (Some(id), by),
            Whose::Uncaptured => return Err(Settlement::SampledOut),
            Whose::Unknown => (None, CorrelatedBy::None),
        };
        let mut lease = self.limits.budget.lease();
        lease.grow(head.size()).map_err(|_| Settlement::Dropped(DropReason::Budget))?;
        self.calls.told(by);
        let outbound = Outbound { to, request, by, trace: told.trace };
        let id = request.unwrap_or_else(RequestId::generate);
        Ok(RawHead::of_call(id, head.copy(), Box::new(outbound), lease))
    }

    /// A mark that does not verify is passed on like anything else: anyone can send one, and must not stop the primary's calls.
    fn refuse_marked(&self, head: &impl RequestHead) -> Result<(), Settlement> {
        let (mark, baggage) = (MARK, BAGGAGE);
        let text = |value| std::str::from_utf8(value).ok();
        let passed_on = head.values(&baggage).filter_map(text).flat_map(in_baggage);
        let mut marks = head.values(&mark).filter_map(text).map(str::to_owned).chain(passed_on);
        let masker = &self.limits.masker;
        if !marks.any(|mark| masker.mark_signers().any(|sign| Mark::verify(&mark, sign).is_some())) {
            return Ok(());
        }
        self.alarm.ring();
        Err(Settlement::Excluded(Exclusion::Replayed))
    }
}

/// What was lost while a request was under way.
#[derive(Debug)]
pub(crate) struct Meanwhile {
    calls: Arc<Calls>,
    /// When it began.
    dropped: u64,
    unseen: u64,
    /// When it had ended.
    unseen_by_then: u64,
}

impl Meanwhile {
    /// The request begins.
    pub(crate) fn begin(calls: &Arc<Calls>) -> Self {
        let (dropped, unseen) = (calls.ledger.unrecorded(), calls.unseen());
        Self { calls: calls.clone(), dropped, unseen, unseen_by_then: unseen }
    }

    /// It has ended.
    pub(crate) fn end(&mut self) {
        self.unseen_by_then = self.calls.unseen();
    }

    /// Whether, as far as is known by now, every call was recorded. Its own may be dropped after it has ended, while they wait.
    pub(crate) fn all_recorded(&self) -> bool {
        self.unseen == self.unseen_by_then && self.dropped == self.calls.ledger.unrecorded()
    }
}

/// The account of every call.
#[derive(Debug)]
pub struct Calls {
    ledger: Arc<Ledger>,
    told: [AtomicU64; TOLD_BY.len()],
    unseen: AtomicU64,
    /// Another agent takes calls too.
    shared: AtomicU8,
}

impl Calls {
    /// An empty one, in memory.
    pub(crate) fn open() -> Arc<Self> {
        Arc::new(Self {
            ledger: Ledger::open(),
            told: Default::default(),
            unseen: AtomicU64::new(0),
            shared: AtomicU8::new(0),
        })
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Something passed that cannot be recorded: bytes in a tunnel, of whatever calls.
    pub fn passed_unseen(&self) {
        self.unseen.fetch_add(1, Ordering::Relaxed);
    }

    /// From here on another agent takes calls of this one's requests: they are recorded there, and whose they are is not known.
    pub fn share(&self) {
        self.shared.fetch_or(FROM_THE_OLD, Ordering::Relaxed);
    }

    /// That other agent has ended.
    pub fn unshare(&self) {
        self.shared.fetch_and(!FROM_THE_OLD, Ordering::Relaxed);
    }

    /// As [`share`](Self::share), with an agent that stays.
    pub fn share_for_good(&self) {
        self.shared.fetch_or(WITH_THE_NEXT, Ordering::Relaxed);
    }

    fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed) != 0
    }

    /// The account now.
    pub fn account(&self) -> Account {
        self.ledger.account()
    }

    /// How often something passed that cannot be recorded. While another agent takes calls too, never the same twice.
    fn unseen(&self) -> u64 {
        if self.is_shared() {
            self.passed_unseen();
        }
        self.unseen.load(Ordering::Relaxed)
    }

    fn told(&self, by: CorrelatedBy) {
        if let Some(at) = TOLD_BY.iter().position(|known| *known == by) {
            self.told[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many calls were told by what.
    pub(crate) fn told_by(&self) -> impl Iterator<Item = (&'static str, i64)> {
        TOLD_BY.iter().map(|by| by.as_str()).zip(self.told.iter().map(|count| count.load(Ordering::Relaxed) as i64))
    }

    /// As heartbeats carry it.
    pub(crate) fn counters(&self) -> BTreeMap<String, i64> {
        let account = self.account().counters().into_iter().map(|(name, count)| (format!("effects.{name}"), count));
        let told = self.told_by().map(|(by, count)| (format!("effects.told.{by}"), count));
        account.chain(told).collect()
    }
}

#[cfg(test)]
mod tests;
