//! One call's way through the stub: whose it is, what it is answered with, its record.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use shadow_control::{ControlState, Leg};
use shadow_mask::Masker;
use shadow_record::{CorrelatedBy, Timestamp, encode};
use tokio::sync::watch;

use crate::correlate::{Caller, correlate};
use crate::effect::{Recorder, Times};
use crate::engine::{Answer, Circumstances, Engine};
use crate::metrics::Metrics;
use crate::publish::Publisher;
use crate::request::Call;
use crate::serve::Answers;

/// What all calls share.
pub(crate) struct Answering {
    pub(crate) engine: Engine,
    pub(crate) masker: Arc<Masker>,
    pub(crate) control: watch::Receiver<Arc<ControlState>>,
    pub(crate) recorder: Recorder,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
    pub(crate) sequence: AtomicI64,
}

impl Answers for Arc<Answering> {
    async fn answer(&self, call: Call) -> Answer {
        let (at, start) = (Timestamp::now(), Instant::now());
        let place = self.publisher.place().await;
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let control = self.control.borrow().clone();
        let own = control.launches.values().filter(|launch| launch.service == self.recorder.service);
        let caller = correlate(&call, &self.masker, own.map(|launch| &launch.name), at);
        let world = world(caller.as_ref(), &self.recorder);
        let seed = (self.recorder.epoch.micros() as u64).wrapping_mul(31).wrapping_add(sequence as u64);
        let now = at.micros() / 1_000_000;
        let (decision, answer) = self.engine.answer(&call, Circumstances { world: &world, seed, now });
        let route = self.engine.route(&decision);
        let took = start.elapsed();
        let by = caller.as_ref().map_or(CorrelatedBy::None, |caller| caller.by);
        self.metrics.called(&decision, by, took.as_secs_f64());
        let total_us = i64::try_from((took + answer.delay).as_micros()).unwrap_or(i64::MAX);
        let key = match &caller {
            Some(caller) => self.masker.record_key(caller.request_id.0.as_bytes()),
            None => self.masker.record_key(format!("{}/{sequence}", self.recorder.instance).as_bytes()),
        };
        // Masking is not the caller's to wait for.
        let (own, told) = (self.clone(), (decision, route, answer.clone()));
        tokio::spawn(async move {
            let times = Times { at, total_us };
            let record = own.recorder.record(&own.masker, sequence, call, caller, told, times);
            own.publisher.publish(key, encode(&record), place);
        });
        answer
    }
}

/// Whose objects the call sees.
fn world(caller: Option<&Caller>, recorder: &Recorder) -> String {
    match caller {
        Some(Caller { launch, leg: Leg::Control, .. }) => format!("{launch}/control"),
        Some(Caller { launch, .. }) => format!("{launch}/candidate"),
        None => recorder.launch.as_ref().map_or_else(|| "-".to_owned(), |launch| format!("{launch}/candidate")),
    }
}
