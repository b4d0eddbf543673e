//! The control leg: the same request to a second copy of the live build, at the same moment as to the candidate.
//!
//! Stands beside sending, under the same pass of the gate. Guarantees: whatever the control does, the candidate's outcome and its
//! times stay what they were, and so does the rate: the control has places of its own, the candidate's is free again once the
//! candidate has answered, and without a free place the control is not asked. The kill switch cancels it like the candidate's
//! request. It never outlasts the launch's time-out, nor the candidate's answer by more than a quarter of that, or a control that
//! hangs would hold up the window; a partition that is to be given up waits for it no longer than half of the drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shadow_control::{Launch, Leg};
use shadow_record::{ControlAnswer, FailureClass, RequestId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::outgoing::{self, Outgoing, To, outgoing};
use crate::pipeline::{Due, Line, unless_panic};
use crate::publish::micros;
use crate::send::{Sender, Sent};

/// Places of the control, as a multiple of its share of the candidate's: enough for one that is half as fast.
const ROOM: f64 = 2.0;
/// The part of the launch's time-out that the control may take longer than the candidate.
const PATIENCE: u32 = 4;

/// How a line reaches its launch's control.
pub(crate) struct Control {
    sender: Sender,
    places: Arc<Semaphore>,
}

impl Control {
    /// Through `sender`, for a sample of a launch that may have so many requests in flight to the candidate.
    pub(crate) fn new(sender: Sender, sample: f64, max_in_flight: usize) -> Self {
        let most = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let places = ((most as f64 * sample * ROOM).ceil() as usize).clamp(1, most);
        Self { sender, places: Arc::new(Semaphore::new(places)) }
    }
}

/// A request to the control.
pub(crate) struct Asked<'a> {
    out: Outgoing,
    sender: &'a Sender,
}

/// What came of the control's request.
pub(crate) struct Ended {
    sent_at: Timestamp,
    answer: Answer,
    /// Secrets that were sent.
    hidden: Vec<Arc<str>>,
}

enum Answer {
    Sent(Sent),
    /// It took too much longer than the candidate; how long it was waited for.
    TooLate(Duration),
    Cancelled,
}

impl Ended {
    /// Whether it was answered in whole.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(&self.answer, Answer::Sent(sent) if sent.answer.is_ok())
    }
}

/// The request and its place, when the exchange is in the control's sample and a place is free. It has the candidate's number
/// (`send`). The place is to be held until the outcome has room on its way to the broker.
pub(crate) fn request<'a>(
    line: &'a Line,
    due: &Due,
    launch: &Launch,
    send: i64,
) -> Option<(Asked<'a>, OwnedSemaphorePermit)> {
    let target = launch.control_of(&due.of.request_id, &due.key)?;
    let Control { sender, places } = line.control_leg.as_ref()?;
    if line.learned.has_given_up(Leg::Control, &due.key) {
        return None;
    }
    let Ok(place) = places.clone().try_acquire_owned() else {
        line.ledger.control_crowded();
        outgoing::learn(line, due, Leg::Control, None);
        return None;
    };
    // What cannot be sent to one target cannot be sent to the other either; the candidate's outcome says so.
    let out = outgoing(line, due, launch, To { target, leg: Leg::Control, send }).ok()?;
    Some((Asked { out, sender }, place))
}

/// Whether the control's request leaves before the candidate's: it does for every other one by chance. On a busy host whoever
/// leaves second waits behind the other, which must not count for or against the candidate.
pub(crate) fn goes_first(id: &RequestId) -> bool {
    // The end of a UUIDv7 is random.
    id.0.as_bytes()[15] & 1 == 1
}

/// Sends it once and waits for the whole answer. `answered` is cancelled when the candidate's request has ended.
pub(crate) async fn send(
    line: &Line,
    due: &Due,
    asked: Option<Asked<'_>>,
    answered: &CancellationToken,
) -> Option<Ended> {
    let Asked { out: Outgoing { request, hidden, .. }, sender } = asked?;
    let patience = line.launch().limits.timeout() / PATIENCE;
    let too_late = async {
        answered.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    let given_up = async {
        answered.cancelled().await;
        due.partition.stopping().await;
        // The rest of the drain is for publishing what the candidate has answered.
        tokio::time::sleep(line.drain / 2).await;
    };
    line.ledger.sending_to_control();
    let (sent_at, start) = (Timestamp::now(), Instant::now());
    let answer = tokio::select! {
        biased;
        () = line.gate.cancelling() => Answer::Cancelled,
        () = given_up => Answer::Cancelled,
        sent = sender.send(request, line.masker.digester()) => Answer::Sent(sent),
        () = too_late => Answer::TooLate(start.elapsed()),
    };
    Some(Ended { sent_at, answer, hidden })
}

/// The answer as it is recorded. A panic while masking it costs the control's answer, not the candidate's.
pub(crate) async fn mask(line: &Line, due: &Due, ended: Option<Ended>) -> Option<ControlAnswer> {
    let Ended { sent_at, answer, hidden } = ended?;
    let raw = if let Answer::Sent(Sent { answer: Ok(raw), .. }) = &answer { Some(raw) } else { None };
    outgoing::learn(line, due, Leg::Control, raw);
    let none = |class, total_us| {
        line.ledger.control_ended(Some(class));
        Some(ControlAnswer { sent_at, first_byte_us: None, total_us, answer: Err(class) })
    };
    let sent = match answer {
        Answer::Sent(sent) => sent,
        Answer::TooLate(after) => return none(FailureClass::Timeout, Some(micros(after))),
        Answer::Cancelled => return none(FailureClass::Killed, None),
    };
    let (method, path) = (&due.request.method, &due.request.path);
    let answer = match sent.answer {
        Ok(raw) => unless_panic(async { line.masker.response_hiding(method, path, raw, &hidden) })
            .await
            .map_err(|_| FailureClass::Other),
        Err(class) => Err(class),
    };
    line.ledger.control_ended(answer.as_ref().err().copied());
    Some(ControlAnswer {
        sent_at: sent.sent_at,
        first_byte_us: sent.first_byte.map(micros),
        total_us: Some(micros(sent.total)),
        answer,
    })
}
