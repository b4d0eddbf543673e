//! One call's way through the stub: whose it is, what it is answered with, its record.
//!
//! Guarantee: a call that is complete is answered and recorded whether or not its caller waits for the answer, also at a stop. Only a caller who
//! gives up while [`MOST`] others are being answered was not heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use shadow_control::{ControlState, Leg};
use shadow_mask::Masker;
use shadow_record::{CorrelatedBy, Request, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::correlate::{Caller, correlate};
use crate::effect::{Recorder, Times, masked};
use crate::engine::{Answer, Circumstances, Decision, Engine};
use crate::metrics::Metrics;
use crate::mirror::{Mirror, Mirrored};
use crate::numbers::Numbers;
use crate::publish::Publisher;
use crate::request::Call;
use crate::rules::Fault;
use crate::serve::Answers;

/// Calls that are being answered at a time; further ones wait, with their callers.
const MOST: usize = 4096;

/// What all calls share.
pub(crate) struct Answering {
    pub(crate) engine: Engine,
    /// Without one the rules answer everything.
    pub(crate) mirror: Option<Mirror>,
    pub(crate) masker: Arc<Masker>,
    pub(crate) control: watch::Receiver<Arc<ControlState>>,
    pub(crate) recorder: Recorder,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
    pub(crate) sequence: AtomicI64,
    pub(crate) numbers: Numbers,
    /// Calls that are being answered, and records that are being made.
    pub(crate) under_way: UnderWay,
}

/// What goes on whether or not somebody waits for it.
pub(crate) struct UnderWay {
    tasks: TaskTracker,
    places: Arc<Semaphore>,
}

impl UnderWay {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { tasks: TaskTracker::new(), places: Arc::new(Semaphore::new(MOST)) }
    }
}

/// How a call was decided.
struct Decided {
    decision: Decision,
    route: String,
    answer: Answer,
    /// The call masked, where that was needed to decide.
    request: Option<Request>,
}

impl Answers for Arc<Answering> {
    async fn answer(&self, call: Call) -> Answer {
        // Never closed.
        let place = self.under_way.places.clone().acquire_owned().await.ok();
        let own = self.clone();
        let answered = self.under_way.tasks.spawn(async move {
            let _place = place;
            own.answered(call).await
        });
        answered.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call could not be answered; it is in no record");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Answer { status, headers: vec![], body: Bytes::new(), delay: Duration::ZERO, fault: Some(Fault::Close) }
        })
    }
}

impl Answering {
    async fn answered(self: Arc<Self>, call: Call) -> Answer {
        let (at, start) = (Timestamp::now(), Instant::now());
        let place = self.publisher.place().await;
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let control = self.control.borrow().clone();
        let own = control.launches.values().filter(|launch| launch.service == self.recorder.service);
        let caller = correlate(&call, &self.masker, own.map(|launch| &launch.name), at);
        let world = world(caller.as_ref(), &self.recorder);
        let seed = match &caller {
            Some(caller) => self.numbers.seed(caller, &call),
            None => (self.recorder.epoch.micros() as u64).wrapping_mul(31).wrapping_add(sequence as u64),
        };
        let now = at.micros() / 1_000_000;
        let Decided { decision, route, answer, request } =
            self.decide(&call, caller.as_ref(), Circumstances { world: &world, seed, now }).await;
        let took = start.elapsed();
        let by = caller.as_ref().map_or(CorrelatedBy::None, |caller| caller.by);
        self.metrics.called(&decision, by, took.as_secs_f64());
        let total_us = i64::try_from((took + answer.delay).as_micros()).unwrap_or(i64::MAX);
        let key = match &caller {
            Some(caller) => self.masker.record_key(caller.request_id.0.as_bytes()),
            None => self.masker.record_key(format!("{}/{sequence}", self.recorder.instance).as_bytes()),
        };
        // Masking is not the caller's to wait for.
        let (own, answered) = (self.clone(), answer.clone());
        self.under_way.tasks.spawn(async move {
            let times = Times { at, total_us };
            let request = request.unwrap_or_else(|| masked(&own.masker, &call));
            let told = (decision, route, answered);
            let record = own.recorder.record(&own.masker, sequence, (call, request), caller, told, times);
            own.publisher.publish(key, record, place);
        });
        answer
    }

    /// Waits until every call that came is recorded, at most `patience`; how many are not then. No call may come afterwards.
    pub(crate) async fn finish(&self, patience: Duration) -> usize {
        let until = Instant::now() + patience;
        self.under_way.tasks.close();
        drop(timeout_at(until, self.under_way.tasks.wait()).await);
        self.under_way.tasks.len() + self.publisher.finish(until).await
    }

    /// As the primary's call was answered, where that is known; by the rules otherwise.
    async fn decide(&self, call: &Call, caller: Option<&Caller>, at: Circumstances<'_>) -> Decided {
        let matching = self.engine.matching(call, at);
        let route = matching.route();
        let mirror = self.mirror.as_ref().filter(|_| call.scheme != "smtp" && matching.may_be_mirrored());
        let mut request = None;
        if let (Some(mirror), Some(caller)) = (mirror, caller) {
            let by_rule = self.engine.key(&matching);
            let key = by_rule.clone().or_else(|| by_header(call));
            let asked = request.insert(masked(&self.masker, call));
            let mirrored = mirror.answer(caller, call.destination(), asked, key.as_deref()).await;
            self.metrics.mirrored(&mirrored);
            match mirrored {
                Mirrored::Equal(answer) | Mirrored::Alike(answer) => {
                    if let Some(key) = key {
                        mirror.keep(caller, key, &answer);
                    }
                    self.engine.keep(&matching, &answer, by_rule, at);
                    return Decided { decision: Decision::Mirrored, route, answer, request };
                }
                Mirrored::Again(answer) => {
                    return Decided { decision: Decision::Again(None), route, answer, request };
                }
                Mirrored::Not(_) => {}
            }
        }
        let (decision, answer) = self.engine.carry_out(&matching, call, at);
        Decided { decision, route, answer, request }
    }
}

/// The key of a call that may come again to the same place, as most interfaces that have such keys take it.
fn by_header(call: &Call) -> Option<String> {
    let key = call.header("idempotency-key").filter(|key| !key.is_empty())?;
    Some(format!("{} {}{}\n{key}", call.method, call.destination(), call.path))
}

/// Whose objects the call sees.
fn world(caller: Option<&Caller>, recorder: &Recorder) -> String {
    match caller {
        Some(Caller { launch, leg: Leg::Control, .. }) => format!("{launch}/control"),
        Some(Caller { launch, .. }) => format!("{launch}/candidate"),
        None => recorder.launch.as_ref().map_or_else(|| "-".to_owned(), |launch| format!("{launch}/candidate")),
    }
}

#[cfg(test)]
mod tests;
