//! The control leg: the same request to a second copy of the live build, at the same moment as to the candidate.
//!
//! Stands beside sending, under the same pass of the gate and the same place in flight. Guarantees: whatever the control does,
//! the candidate's outcome and its times stay what they were; the kill switch cancels it like the candidate's request; it never
//! outlasts the launch's time-out, and once the candidate has answered it holds up a partition that is to be given up for no more
//! than half of the drain.

use shadow_control::{Launch, Leg};
use shadow_record::{ControlAnswer, FailureClass, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::pipeline::{Due, Line, rewritten, unless_panic};
use crate::publish::micros;
use crate::send::Sent;

/// What came of the control's request.
pub(crate) struct Ended {
    sent_at: Timestamp,
    /// `None` when it was cancelled.
    sent: Option<Sent>,
}

/// The request, when the exchange is in the control's sample.
pub(crate) fn request(line: &Line, due: &Due, launch: &Launch) -> Option<reqwest::Request> {
    let target = launch.control_of(&due.request_id)?;
    // What cannot be sent to one target cannot be sent to the other either; the candidate's outcome says so.
    rewritten(line, due, target, Leg::Control).ok()
}

/// Sends it once and waits for the whole answer. `answered` is cancelled when the candidate's request has ended.
pub(crate) async fn send(
    line: &Line,
    due: &Due,
    request: Option<reqwest::Request>,
    answered: &CancellationToken,
) -> Option<Ended> {
    let (request, sender) = request.zip(line.control_sender.as_ref())?;
    let given_up = async {
        answered.cancelled().await;
        due.partition.stopping().await;
        // The rest of the drain is for publishing what the candidate has answered.
        tokio::time::sleep(line.drain / 2).await;
    };
    line.ledger.sending_to_control();
    let sent_at = Timestamp::now();
    let sent = tokio::select! {
        biased;
        () = line.gate.shutting() => None,
        () = given_up => None,
        sent = sender.send(request, line.masker.digester()) => Some(sent),
    };
    Some(Ended { sent_at, sent })
}

/// The answer as it is recorded. A panic while masking it costs the control's answer, not the candidate's.
pub(crate) async fn mask(line: &Line, due: &Due, ended: Option<Ended>) -> Option<ControlAnswer> {
    let Ended { sent_at, sent } = ended?;
    let Some(sent) = sent else {
        line.ledger.control_ended(Some(FailureClass::Killed));
        return Some(ControlAnswer { sent_at, first_byte_us: None, total_us: None, answer: Err(FailureClass::Killed) });
    };
    let answer = match sent.answer {
        Ok(raw) => unless_panic(async { line.masker.response(&due.request.method, &due.request.path, raw) })
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
