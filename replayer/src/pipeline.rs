//! One launch on this instance: consume -> guard -> order -> pace -> rewrite -> send -> publish, then commit.
//!
//! [`run`] reads the group's records into their partition's window and hands those that pass the guard to `turns`; from there
//! [`dispatch`] lets each leave in its session's order, at its intended time and from a place in flight; [`replay`] is the rest
//! of one record's way. The commit follows the windows from behind (`member`).
//!
//! Guarantees: nothing is committed before its outcome is acknowledged, and nothing beyond an offset that has none;
//! nothing is sent unless the gate lets it pass at that moment, and what is in flight when it shuts is cancelled and
//! recorded (not for a silent handshake, `handshake`); memory is bounded by the windows and by the room for outcomes
//! not yet acknowledged, however far the launch is behind; a panic costs its record an outcome of its own, or the
//! launch a new start from its last commit.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use shadow_control::{ControlState, Gate, Heart, Launch, Leg, Order};
use shadow_kafka::{Consumed, Event, KafkaConfig, KafkaError};
use shadow_mask::Masker;
use shadow_record::{
    CapturedExchange, ControlAnswer, FailureClass, Outcome, Request, RequestId, Response, SkipReason, Timestamp, decode,
};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::alone::Traffic;
use crate::control_leg::{self, Ended};
use crate::dispatch::{Departure, dispatch};
use crate::guard::{self, Account};
use crate::identity::Identities;
use crate::learn::Learned;
use crate::member::Member;
use crate::metrics::Ledger;
use crate::outgoing::{self, NotSent, Outgoing, To, outgoing, send_number};
use crate::pace::Pacer;
use crate::partition::Partition;
use crate::publish::{Attempt, Of, Place, Publisher, Times};
use crate::rewrite::Reveal;
use crate::room::Room;
use crate::send::Sender;
use crate::turns::Turns;
use crate::window::{Limits, Range};

/// Between looks at the windows: resuming, closing runs.
const TIDY: Duration = Duration::from_millis(50);
/// The part of the session limit that holds where sessions crowd a window.
const CROWDED: u32 = 10;

/// Why a launch's replay ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The captured topic is not there.
    #[error("topic {0} does not exist: no agent has captured this service yet, or the launch names another one")]
    NothingCaptured(String),
    /// The replayed topic does not fit beside the captured one.
    #[error("{replayed} must stand partition by partition beside {captured}: {cause}")]
    ReplayedTopic {
        /// The captured topic.
        captured: String,
        /// The replayed topic.
        replayed: String,
        /// What is wrong.
        cause: Box<KafkaError>,
    },
    /// A panic left an offset without an outcome, or ended the pacing.
    #[error("work on a record panicked; the launch begins again at its last commit")]
    Panicked,
    /// Kafka gave up.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// What every step of one launch's line shares.
pub(crate) struct Line {
    pub(crate) launch: watch::Receiver<Arc<Launch>>,
    pub(crate) control: watch::Receiver<Arc<ControlState>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) heart: Heart,
    pub(crate) kafka: KafkaConfig,
    pub(crate) masker: Arc<Masker>,
    pub(crate) reveal: Reveal,
    pub(crate) identities: Arc<Identities>,
    pub(crate) learned: Learned,
    pub(crate) sender: Sender,
    /// To the control, where the launch has one.
    pub(crate) control_leg: Option<control_leg::Control>,
    /// What is under way to either.
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) ledger: Ledger,
    pub(crate) unacknowledged: Room,
    pub(crate) window: Limits,
    pub(crate) drain: Duration,
}

impl Line {
    /// The launch as it is now. Nothing keeps the watch borrowed: what is put next would wait for it.
    pub(crate) fn launch(&self) -> Arc<Launch> {
        self.launch.borrow().clone()
    }

    /// Whether what was captured then is beyond the launch's maximum age by now.
    pub(crate) fn too_old(&self, captured_at: Timestamp) -> bool {
        let max_age = self.launch().replay.max_age();
        max_age.is_some_and(|max_age| Timestamp::now().since(captured_at) > max_age)
    }
}

/// A record on its way to the candidate.
pub(crate) struct Due {
    pub(crate) partition: Arc<Partition>,
    pub(crate) place: Place,
    /// Key of its record: requests of one session share it.
    pub(crate) key: Bytes,
    pub(crate) of: Of,
    pub(crate) route: String,
    pub(crate) request: Request,
    /// The primary's masked answer, if it gave one; only its status when the launch has nothing to learn.
    pub(crate) primary: Option<Response>,
    pub(crate) captured_at: Timestamp,
    pub(crate) ready: Instant,
    /// When its turn came in the schedule, if its session was busy then.
    pub(crate) passed_over: Option<Instant>,
}

/// Replays until `stop`, then drains.
pub(crate) async fn run(line: Arc<Line>, stop: CancellationToken) -> Result<(), PipelineError> {
    let mut member = Member::join(line.clone()).await?;
    let turns = Arc::new(Turns::default());
    let mut dispatcher = tokio::spawn(dispatch(line.clone(), turns.clone(), Pacer::new(member.pace())));
    let mut tidy = interval(TIDY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        let step = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            () = line.publisher.broken.cancelled() => break Err(PipelineError::Panicked),
            // It outlives this loop unless it panics.
            _ = &mut dispatcher => break Err(PipelineError::Panicked),
            event = member.recv() => match event {
                Ok(Event::Record(record)) => consume(&line, &mut member, &turns, record),
                Ok(Event::Assigned(assigned)) => member.start(assigned).await,
                Ok(Event::Revoked(_)) => member.release().await,
                Ok(Event::Expired { at, first, last }) => { member.expired(&at, first, last); Ok(()) }
                Err(error) => Err(error),
            },
            _ = tidy.tick() => {
                skip_stuck(&line, &turns, &member.crowded(&turns));
                member.tidy()
            }
        };
        if let Err(error) = step {
            break Err(error.into());
        }
    };
    member.leave().await;
    dispatcher.abort();
    ended
}

/// Takes one record in.
fn consume(line: &Line, member: &mut Member, turns: &Turns, record: Consumed) -> Result<(), KafkaError> {
    let number = record.partition;
    // Records of a partition that was given up may still come out of the client.
    let Some(partition) = member.partition(number) else { return Ok(()) };
    match decode::<CapturedExchange>(&record.payload) {
        Ok(exchange) => judge(line, &partition, turns, &record, exchange),
        Err(error) if partition.read(record.offset, record.payload.len()) => {
            let (launch, topic, offset) = (&line.publisher.launch, &record.topic, record.offset);
            tracing::warn!(%launch, %topic, partition = number, offset, %error, "unreadable record goes to the dead-letter topic");
            let own = partition.clone();
            partition.work(async move { own.dead_letter(record, error).await });
        }
        Err(_) => {}
    }
    member.pause_when_full(number)
}

/// On to the candidate, or the reason why not.
fn judge(line: &Line, partition: &Arc<Partition>, turns: &Turns, record: &Consumed, exchange: CapturedExchange) {
    let place = Place { partition: record.partition, offset: record.offset, appended_at: record.appended_at };
    let key = record.key.clone().unwrap_or_default();
    let launch = line.launch();
    let admitted = match guard::admit(&launch, &exchange, &key) {
        Ok(()) if line.too_old(exchange.captured_at) => Err(SkipReason::TooOld),
        admitted => admitted,
    };
    let CapturedExchange { request_id, route, captured_at, request, response: primary, .. } = exchange;
    match admitted {
        Err(reason) if guard::account(reason) == Account::Range => {
            if reason == SkipReason::TooOld && session(line, &key, &request_id).is_some() {
                outgoing::missed(line, &key, &route, primary.as_ref());
            }
            partition.skip(Range { first: place.offset, last: place.offset, reason });
        }
        _ if !partition.read(place.offset, record.payload.len()) => {}
        Err(reason) => {
            let of = Of { request_id, session: session(line, &key, &request_id) };
            let (own, skipped) = (partition.clone(), Attempt::none(Outcome::Skipped(reason)));
            partition.work(async move { own.settle(place, Some(of), skipped).await });
        }
        Ok(()) => {
            let of = Of { request_id, session: session(line, &key, &request_id) };
            let (partition, ready) = (partition.clone(), Instant::now());
            let primary = primary.map(|primary| if line.learned.is_idle() { status_of(primary) } else { primary });
            let due = Due { partition, place, key, of, route, request, primary, captured_at, ready, passed_over: None };
            turns.push(due, launch.replay.order == Order::Session);
        }
    }
}

/// What is left of an answer that nothing is learnt from.
fn status_of(mut primary: Response) -> Response {
    (primary.headers, primary.body.content) = (Vec::new(), None);
    primary
}

/// The session as records name it; `None` when the agent saw none, and made the key of the request's ID.
fn session(line: &Line, key: &[u8], id: &RequestId) -> Option<String> {
    const BYTES: usize = 8;
    let none = key.is_empty() || line.masker.record_key(id.0.as_bytes()) == key;
    (!none).then(|| key.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect())
}

/// What waited too long for the requests before it in its session is not sent. Where sessions keep a partition from being read on they
/// may wait a part of the limit only, so that few busy ones do not hold up all others. What is the next owner's is left to it.
fn skip_stuck(line: &Line, turns: &Turns, crowded: &BTreeSet<i32>) {
    let limit = line.launch().replay.session_limit();
    let stuck = turns.stuck(|partition| if crowded.contains(&partition) { limit / CROWDED } else { limit });
    for due in stuck {
        outgoing::miss(line, &due);
        let Due { partition, place, of, .. } = due;
        let (own, skipped) = (partition.clone(), Attempt::none(Outcome::Skipped(SkipReason::SessionStuck)));
        if !own.is_stopped() {
            partition.work(async move { own.settle(place, Some(of), skipped).await });
        }
    }
    line.ledger.session_waiting(turns.behind());
}

/// The rest of one record's way: rewrite, send, mask, publish.
pub(crate) async fn replay(line: Arc<Line>, due: Due, mut departure: Departure) {
    let mut times = Times { intended_at: Some(wall_clock(departure.intended)), ..Times::default() };
    let mut rewritten = Vec::new();
    let attempted = unless_panic(attempt(&line, &due, &mut times, &mut rewritten, &mut departure)).await;
    let (outcome, control) = match attempted {
        Ok(Some(both)) => both,
        Ok(None) => return due.partition.keeps_back(due.place.offset),
        Err(Panicked) => {
            let (launch, partition, offset) = (&line.publisher.launch, due.place.partition, due.place.offset);
            tracing::error!(%launch, partition, offset, "a panic while replaying; the request counts as failed");
            line.ledger.panicked();
            if times.total.is_none() {
                outgoing::miss(&line, &due);
            }
            (Outcome::Failed(FailureClass::Other), None)
        }
    };
    let held_by = departure.held_by.filter(|_| times.sent_at.is_some());
    let attempt = Attempt { control, held_by, rewritten, ..Attempt::of(times, outcome) };
    departure.turn = None;
    let sealed = due.partition.seal(due.place, Some(due.of), attempt);
    let share = line.unacknowledged.take(sealed.bytes()).await;
    drop(departure);
    due.partition.hand_in(sealed).await;
    drop(share);
}

/// Work on a record panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Keeps a panic to what it happened in.
pub(crate) async fn unless_panic<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Panicked)
}

/// Sends it, or gives `None` when its partition went to another member first.
async fn attempt(
    line: &Line,
    due: &Due,
    times: &mut Times,
    rewritten: &mut Vec<String>,
    departure: &mut Departure,
) -> Option<(Outcome, Option<ControlAnswer>)> {
    let send = send_number(&due.of.request_id);
    let (launch, out) = loop {
        // Isolation may have been withdrawn, or the write policy changed, since the guard admitted it.
        let launch = line.launch();
        let out = match outgoing(line, due, &launch, To { target: &launch.candidate, leg: Leg::Candidate, send }) {
            Ok(out) => out,
            Err(not_sent) => {
                if let NotSent::Skipped(_) = not_sent {
                    *times = Times::default();
                }
                return Some((not_sent.outcome(), None));
            }
        };
        if !due.is_given_up() && line.gate.pass() {
            break (launch, out);
        }
        tokio::select! { biased; () = due.partition.stopping() => return None, () = line.gate.opened() => {} }
    };
    let Outgoing { request, hidden, .. } = out;
    *rewritten = out.rewritten;
    let under_way = line.traffic.sets_out();
    (times.sent_at, times.send) = (Some(Timestamp::now()), Some(send));
    let (to_control, control_place) = control_leg::request(line, due, &launch, send).unzip();
    departure.control = control_place;
    departure.sent();
    let answered = CancellationToken::new();
    let candidate = async {
        let in_flight = line.ledger.sending(departure.intended.elapsed(), departure.held_by);
        let sent = tokio::select! {
            biased;
            () = line.gate.cancelling() => None,
            sent = line.sender.send(request, line.masker.digester()) => Some(sent),
        };
        drop(in_flight);
        answered.cancel();
        departure.answered(sent.as_ref(), due, !launch.replay.learn.is_empty());
        sent
    };
    // Nothing is masked before both have ended: the work on one answer must not show in the times of the other.
    let control = control_leg::send(line, due, to_control, &answered);
    let (sent, control) = if control_leg::goes_first(&due.of.request_id) {
        let (control, sent) = tokio::join!(control, candidate);
        (sent, control)
    } else {
        tokio::join!(candidate, control)
    };
    times.alone = under_way.is_alone();
    if sent.as_ref().is_some_and(|sent| sent.answer.is_ok()) && control.as_ref().is_none_or(Ended::is_answered) {
        under_way.answered();
    }
    let control = control_leg::mask(line, due, control).await;
    let Some(sent) = sent else {
        outgoing::miss(line, due);
        return Some((Outcome::Failed(FailureClass::Killed), control));
    };
    line.ledger.answered(sent.total);
    outgoing::learn(line, due, Leg::Candidate, sent.answer.as_ref().ok());
    *times = Times { sent_at: Some(sent.sent_at), first_byte: sent.first_byte, total: Some(sent.total), ..*times };
    let outcome = match sent.answer {
        Ok(answer) => {
            let Request { method, path, .. } = &due.request;
            Outcome::Completed(line.masker.response_hiding(method, path, answer, &hidden))
        }
        Err(class) => Outcome::Failed(class),
    };
    Some((outcome, control))
}

/// The wall clock's reading at `instant`.
fn wall_clock(instant: Instant) -> Timestamp {
    let (wall, now) = (Timestamp::now(), Instant::now());
    match instant.checked_duration_since(now) {
        Some(ahead) => wall.plus(ahead),
        None => Timestamp(wall.micros() - now.duration_since(instant).as_micros() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_goes_no_further() {
        assert_eq!(unless_panic::<()>(async { panic!("provoked") }).await, Err(Panicked));
        assert_eq!(unless_panic(async { 1 }).await, Ok(1));
    }
}
