//! Outcomes and skipped ranges on their way to the replayed topic.
//!
//! Guarantee: [`Publisher::until_acknowledged`] returns only when the broker has the record. One that is rejected or in doubt
//! is published again; the duplicate this may leave resolves first-wins on (launch, partition, offset).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shadow_kafka::{Consumed, Delivery, Outgoing, Producer, dead_letter};
use shadow_record::{
    ControlAnswer, DecodeError, HeldBy, LaunchName, Outcome, ReplayedExchange, RequestId, Response, SkippedRange,
    Timestamp, Withheld, encode,
};
use shadow_runtime::telemetry::traces;
use tokio_util::sync::CancellationToken;

use crate::metrics::Ledger;
use crate::window::Range;

/// Encoded records beyond this lose their body: under the broker's limit of 4 MiB, with room for batch headers.
const LARGEST: usize = 3 << 20;
/// First pause before publishing again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The captured record that an outcome speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its partition; the outcome stands in the same one.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When the broker appended it.
    pub appended_at: Timestamp,
}

/// The captured request that an outcome speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Of {
    /// Its ID.
    pub request_id: RequestId,
    /// Its session, as records name it; `None` when it belongs to none.
    pub session: Option<String>,
}

/// When the request was to be sent, was sent and was answered, and which of its sends that was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// When the pacer meant it.
    pub intended_at: Option<Timestamp>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// From then to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// From then to the end.
    pub total: Option<Duration>,
    /// The number of this send, as its mark has it.
    pub send: Option<i64>,
    /// Whether nothing else of the launch was under way meanwhile.
    pub alone: bool,
}

/// What became of one captured record.
#[derive(Debug)]
pub struct Attempt {
    /// When it was sent; all `None` when it was not.
    pub times: Times,
    /// How that ended.
    pub outcome: Outcome,
    /// What the control did with it, if it was in the control's sample.
    pub control: Option<ControlAnswer>,
    /// What made it leave later than it was meant to.
    pub held_by: Option<HeldBy>,
    /// What in the request is not what was captured, by the names of the rules.
    pub rewritten: Vec<String>,
}

impl Attempt {
    /// An outcome without sending.
    pub fn none(outcome: Outcome) -> Self {
        Self::of(Times::default(), outcome)
    }

    /// An outcome at those times, and nothing else to be said.
    pub fn of(times: Times, outcome: Outcome) -> Self {
        Self { times, outcome, control: None, held_by: None, rewritten: Vec::new() }
    }
}

/// Publishes the records of one launch.
pub struct Publisher {
    pub(crate) producer: Producer,
    pub(crate) topic: String,
    pub(crate) launch: LaunchName,
    pub(crate) instance: String,
    pub(crate) ruleset: String,
    pub(crate) key_id: String,
    pub(crate) ledger: Ledger,
    pub(crate) failing: AtomicBool,
    /// Cancelled when work on a record panicked where it leaves no outcome.
    pub(crate) broken: CancellationToken,
}

impl Publisher {
    /// The record of an outcome. `attempt` is 0 when nothing was to be sent.
    pub fn outcome(&self, place: Place, low_watermark: i64, of: Option<Of>, attempt: Attempt) -> Bytes {
        let (request_id, session) = of.map_or((None, None), |of| (Some(of.request_id), of.session));
        let Attempt { times, outcome, control, held_by, rewritten } = attempt;
        let record = ReplayedExchange {
            launch: self.launch.clone(),
            partition: place.partition,
            offset: place.offset,
            low_watermark,
            appended_at: place.appended_at,
            request_id,
            replayer: self.instance.clone(),
            attempt: i32::from(times.intended_at.is_some()),
            intended_at: times.intended_at,
            sent_at: times.sent_at,
            first_byte_us: times.first_byte.map(micros),
            total_us: times.total.map(micros),
            outcome,
            control,
            session,
            held_by,
            rewritten,
            ruleset: self.ruleset.clone(),
            key_id: self.key_id.clone(),
            send: times.send,
            alone: times.alone,
        };
        traces::replayed(&record);
        fitting(record)
    }

    /// The record of a skipped range.
    pub fn range(&self, partition: i32, low_watermark: i64, range: Range) -> Bytes {
        encode(&SkippedRange {
            launch: self.launch.clone(),
            partition,
            first: range.first,
            last: range.last,
            low_watermark,
            reason: range.reason,
            replayer: self.instance.clone(),
            at: Timestamp::now(),
        })
    }

    /// Publishes until the broker has it.
    pub async fn until_acknowledged(&self, partition: i32, payload: &[u8]) {
        let mut pause = FIRST_PAUSE;
        let record = Outgoing { topic: &self.topic, partition: Some(partition), key: None, payload };
        while let Some(why) = refusal(self.producer.publish(record).await) {
            self.wait(&mut pause, &why).await;
        }
        self.acknowledged();
    }

    /// Files an unreadable record in the dead-letter topic until the broker has it.
    pub async fn dead_letter(&self, record: &Consumed, error: &DecodeError) {
        let mut pause = FIRST_PAUSE;
        let (reason, detail) = (error.reason(), error.to_string());
        while let Some(why) = refusal(dead_letter(&self.producer, record, reason, &detail, &self.instance).await) {
            self.wait(&mut pause, &why).await;
        }
        self.acknowledged();
    }

    /// Says once that it waits, however many outcomes do.
    async fn wait(&self, pause: &mut Duration, why: &str) {
        self.ledger.published_again();
        if !self.failing.swap(true, Ordering::Relaxed) {
            let (launch, topic) = (&self.launch, &self.topic);
            tracing::warn!(%launch, topic, why, "outcomes are not acknowledged; publishing again until they are");
        }
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
    }

    fn acknowledged(&self) {
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(launch = %self.launch, topic = self.topic, "outcomes are acknowledged again");
        }
    }
}

/// Microseconds, as records carry durations.
pub(crate) fn micros(duration: Duration) -> i64 {
    duration.as_micros() as i64
}

/// Encodes a record such that the broker takes it. The candidate's answer is what the launch is about, so the body of the control's
/// is the first to go.
fn fitting(mut record: ReplayedExchange) -> Bytes {
    let encoded = encode(&record);
    if encoded.len() <= LARGEST {
        return encoded;
    }
    if let Some(ControlAnswer { answer: Ok(response), .. }) = &mut record.control {
        withhold_body(response);
        let encoded = encode(&record);
        if encoded.len() <= LARGEST {
            return encoded;
        }
    }
    if let Outcome::Completed(response) = &mut record.outcome {
        withhold_body(response);
    }
    encode(&record)
}

/// Leaves digest and length of the body, and headers only where they are no hoard.
fn withhold_body(response: &mut Response) {
    (response.body.content, response.body.withheld) = (None, Some(Withheld::Truncated));
    if response.headers.iter().map(|h| h.name.len() + h.value.len()).sum::<usize>() > LARGEST / 2 {
        response.headers.clear();
    }
}

fn refusal(delivery: Delivery) -> Option<String> {
    match delivery {
        Delivery::Acknowledged { .. } => None,
        Delivery::Rejected(why) | Delivery::InDoubt(why) => Some(why),
    }
}

#[cfg(test)]
mod tests {
    use shadow_record::{Body, Header, decode};

    use super::*;

    fn answer(bytes: usize) -> Response {
        let content = Some(Bytes::from(vec![b'x'; bytes]));
        let body = Body { content, length: bytes as i64, digest: Bytes::from_static(b"digest"), withheld: None };
        Response { status: 200, headers: vec![Header::of("content-type", "text/plain")], body }
    }

    /// Whether the bodies of candidate and control are left in the record.
    fn kept(of_candidate: usize, of_control: usize) -> (bool, bool) {
        let control = ControlAnswer {
            sent_at: Timestamp(1),
            first_byte_us: Some(1),
            total_us: Some(2),
            answer: Ok(answer(of_control)),
        };
        let encoded = fitting(ReplayedExchange {
            launch: "v2".parse().unwrap(),
            partition: 0,
            offset: 0,
            low_watermark: 0,
            appended_at: Timestamp(1),
            request_id: None,
            replayer: "r1".to_owned(),
            attempt: 1,
            intended_at: None,
            sent_at: None,
            first_byte_us: None,
            total_us: None,
            outcome: Outcome::Completed(answer(of_candidate)),
            control: Some(control),
            session: None,
            held_by: None,
            rewritten: Vec::new(),
            ruleset: "1".to_owned(),
            key_id: "k".to_owned(),
            send: None,
            alone: false,
        });
        assert!(encoded.len() <= LARGEST);
        let record: ReplayedExchange = decode(&encoded).unwrap();
        let Outcome::Completed(candidate) = record.outcome else { panic!("{:?}", record.outcome) };
        let control = record.control.unwrap().answer.unwrap();
        for response in [&candidate, &control] {
            assert_eq!((response.status, response.headers.len(), response.body.digest.len()), (200, 1, 6));
            assert_eq!(response.body.content.is_none(), response.body.withheld == Some(Withheld::Truncated));
        }
        (candidate.body.content.is_some(), control.body.content.is_some())
    }

    #[test]
    fn a_record_too_large_for_the_broker_loses_the_controls_body_first() {
        assert_eq!(kept(1 << 20, 1 << 20), (true, true));
        assert_eq!(kept(2 << 20, 2 << 20), (true, false));
        assert_eq!(kept(1 << 20, 4 << 20), (true, false));
        assert_eq!(kept(4 << 20, 1 << 20), (false, false));
    }
}
