//! Answers a call of the shadow as the primary's was answered, so that both versions see the same world.
//!
//! ```text
//! call, masked -> of which request? -> the primary's effects of it (`shadow-effects`) -> the next that is like it (`sequence`, `asked`)
//! ```
//!
//! The primary's effects stand in the topic near the time at which the request was captured, which its ID tells. Guarantees: each send of a
//! request, to the candidate and to the control, is given the primary's answers from the beginning and each once; a call waits no longer than
//! the patience that is configured, but for the first of a launch, whose effects must be found; memory is bounded for each launch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shadow_control::Leg;
use shadow_effects::{Feed, Kept, Reached};
use shadow_kafka::KafkaConfig;
use shadow_record::{LaunchName, Request, RequestId, ServiceName, Side, SideEffect, Timestamp};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::correlate::Caller;
use crate::engine::Answer;
use crate::state::Aged;

mod asked;
mod sequence;

use asked::Asked;
use sequence::{Sequence, Taken};

/// Launches whose effects are held at a time.
const LAUNCHES: usize = 8;
/// Sends of one launch whose sequences are remembered.
const SENDS: usize = 20_000;
/// How far the clocks of agents and brokers may differ.
const CLOCKS: Duration = Duration::from_secs(10);
/// How much earlier reading begins than the first call needs: requests of other partitions may be somewhat older.
const EARLIER: Duration = Duration::from_secs(60);
/// Most requests are over by then, their effects recorded.
const SOON: Duration = Duration::from_secs(2);
/// From the beginning of a request until its last effect is recorded, at most. Longer requests find what was recorded by then.
const SPAN: Duration = Duration::from_secs(30);
/// An effect of this moment may be on its way.
const ON_ITS_WAY: Duration = Duration::from_millis(50);
/// For finding the place in the topic where reading begins.
const FIRST: Duration = Duration::from_secs(5);
/// Between two times that reading begins anew because what is needed was forgotten.
const ANEW: Duration = Duration::from_secs(30);
/// Where only the trace told the request, its sends cannot be told apart: one that rested so long is another one.
const REST: Duration = Duration::from_secs(10);

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mirrored {
    /// The primary asked for the same and was answered this.
    Equal(Answer),
    /// The primary asked in the same place, with another body, and was answered this, which repeats nothing that this call did not say.
    Alike(Answer),
    /// By its idempotency key, this send has been answered this before.
    Again(Answer),
    /// Not at all.
    Not(Why),
}

/// Why the primary's answer was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The primary made no such call, or no more of them.
    NoneLeft,
    /// The only ones left asked for something else, and their answers say so.
    Contradicts,
    /// The answer's body was not recorded.
    Withheld,
    /// The primary's effects were not read in time.
    Late,
    /// They were forgotten for want of memory.
    Forgotten,
}

impl Mirrored {
    /// As metrics spell it.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Equal(_) => "equal",
            Self::Alike(_) => "alike",
            Self::Again(_) => "again",
            Self::Not(Why::NoneLeft) => "none_left",
            Self::Not(Why::Contradicts) => "contradicts",
            Self::Not(Why::Withheld) => "withheld",
            Self::Not(Why::Late) => "late",
            Self::Not(Why::Forgotten) => "forgotten",
        }
    }
}

/// The primary's effects, launch by launch.
pub(crate) struct Mirror {
    kafka: KafkaConfig,
    service: ServiceName,
    patience: Duration,
    bytes: usize,
    stop: CancellationToken,
    launches: Mutex<Aged<LaunchName, Arc<OfLaunch>>>,
}

/// One launch's reading, and who was given what.
struct OfLaunch {
    reading: Mutex<Reading>,
    sends: Mutex<Aged<Send, Sequence>>,
}

/// A request sent once: its ID, whether to the control, the number of the send.
type Send = (RequestId, bool, Option<i64>);

struct Reading {
    feed: Feed,
    /// When the request of the last call was captured.
    near: Timestamp,
    /// From when on that part of the topic is read.
    from: Timestamp,
    /// Whether anything was reached since reading began there.
    found: bool,
    begun: Instant,
}

impl Mirror {
    /// Effects of `service`, at most `bytes` for each launch; a call waits `patience` for them.
    pub(crate) fn new(
        kafka: KafkaConfig,
        service: ServiceName,
        patience: Duration,
        bytes: usize,
        stop: CancellationToken,
    ) -> Self {
        Self { kafka, service, patience, bytes, stop, launches: Mutex::new(Aged::new(LAUNCHES)) }
    }

    /// The answer that the primary got to the call `request` of `destination`, which is masked. `key` tells a call that comes again.
    pub(crate) async fn answer(
        &self,
        caller: &Caller,
        destination: String,
        request: &Request,
        key: Option<&str>,
    ) -> Mirrored {
        let Some(captured) = captured_at(caller.request_id) else { return Mirrored::Not(Why::NoneLeft) };
        let asked = Asked::of(destination, request);
        let launch = self.of_launch(&caller.launch, captured);
        let (feed, from, patience) = self.feed(&launch, captured);
        let take = |alike| launch.take(caller, &asked, key, &feed.of(caller.request_id), alike);
        let now = Timestamp::now();
        let soon = captured.plus(SOON).min(now);
        // What is still on its way belongs to a request of this moment.
        let last = captured.plus(SPAN).min(now.plus(ON_ITS_WAY.min(self.patience / 2)));
        let until = tokio::time::Instant::now() + patience;
        for time in [None, Some(soon), Some(last)] {
            if let Some(time) = time {
                match timeout_at(until, feed.reach(from, time)).await {
                    Ok(Reached::Complete) => launch.reading().found = true,
                    Ok(Reached::NoTopic | Reached::Stopped) => return Mirrored::Not(Why::NoneLeft),
                    Err(_) => return take(false).unwrap_or(Mirrored::Not(Why::Late)),
                }
            }
            if let Some(mirrored) = take(false) {
                return mirrored;
            }
        }
        match take(true) {
            Some(mirrored) => mirrored,
            None if feed.complete_from() > before(captured, CLOCKS) => Mirrored::Not(Why::Forgotten),
            None => Mirrored::Not(Why::NoneLeft),
        }
    }

    /// Keeps an answer for a call of the same send that comes again under `key`.
    pub(crate) fn keep(&self, caller: &Caller, key: String, answer: &Answer) {
        let launch = self.launches().get(&caller.launch).cloned();
        if let Some(launch) = launch {
            let mut sends = launch.sends();
            let sequence = sends.entry(send(caller), Sequence::new);
            sequence.keep(key, answer.clone());
        }
    }

    fn of_launch(&self, name: &LaunchName, captured: Timestamp) -> Arc<OfLaunch> {
        let mut launches = self.launches();
        let make =
            || Arc::new(OfLaunch { reading: Mutex::new(self.begin(captured)), sends: Mutex::new(Aged::new(SENDS)) });
        launches.entry(name.clone(), make).clone()
    }

    fn begin(&self, captured: Timestamp) -> Reading {
        let primary = |effect: &mut SideEffect| effect.side == Side::Primary && effect.request_id.is_some();
        let feed = Feed::spawn(self.kafka.clone(), &self.service, primary, self.bytes, self.stop.clone());
        let from = before(captured, CLOCKS + EARLIER);
        Reading { feed, near: captured, from, found: false, begun: Instant::now() }
    }

    /// The launch's feed, from when on it is to read, and how long a call may wait for it. One that forgot what is needed, as when a launch is
    /// repeated, begins anew.
    fn feed(&self, launch: &OfLaunch, captured: Timestamp) -> (Feed, Timestamp, Duration) {
        let mut reading = launch.reading();
        let from = before(captured, CLOCKS);
        if reading.feed.complete_from() > from && reading.begun.elapsed() > ANEW {
            *reading = self.begin(captured);
        }
        let apart = captured.since(reading.near).max(reading.near.since(captured));
        if from < reading.from || apart > EARLIER {
            reading.from = before(captured, CLOCKS + EARLIER);
            reading.found = false;
        }
        reading.near = captured;
        let feed = reading.feed.clone();
        if reading.found { (feed, from, self.patience) } else { (feed, reading.from, self.patience.max(FIRST)) }
    }

    fn launches(&self) -> MutexGuard<'_, Aged<LaunchName, Arc<OfLaunch>>> {
        self.launches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfLaunch {
    /// The next of the primary's effects that the call is like, which no later call is given. `None` when there is none.
    fn take(
        &self,
        caller: &Caller,
        asked: &Asked,
        key: Option<&str>,
        effects: &[Arc<Kept>],
        alike: bool,
    ) -> Option<Mirrored> {
        let mut sends = self.sends();
        let sequence = sends.entry(send(caller), Sequence::new);
        if caller.send.is_none() && sequence.rested(REST) {
            *sequence = Sequence::new();
        }
        let again = key.and_then(|key| sequence.again(key));
        match (sequence.take(asked, key, effects, alike), again) {
            (Taken::Equal(answer), _) => Some(Mirrored::Equal(answer)),
            (Taken::Alike(answer), _) => Some(Mirrored::Alike(answer)),
            // The primary did not repeat it, as far as its calls are known by now.
            (_, Some(answer)) => Some(Mirrored::Again(answer)),
            (Taken::Withheld, None) => Some(Mirrored::Not(Why::Withheld)),
            (Taken::Contradicts, None) => Some(Mirrored::Not(Why::Contradicts)),
            (Taken::Nothing, None) => None,
        }
    }

    fn sends(&self) -> MutexGuard<'_, Aged<Send, Sequence>> {
        self.sends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(caller: &Caller) -> Send {
    (caller.request_id, caller.leg == Leg::Control, caller.send)
}

/// When the request began, by its ID.
fn captured_at(request: RequestId) -> Option<Timestamp> {
    let (seconds, nanos) = request.0.get_timestamp()?.to_unix();
    Some(Timestamp(i64::try_from(seconds).ok()?.checked_mul(1_000_000)? + i64::from(nanos / 1000)))
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.micros().saturating_sub(by.as_micros() as i64))
}
