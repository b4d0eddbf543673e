//! Which requests are under way, so that a call that the primary makes can be told whose it is.
//!
//! A call tells by what the service passes on: the trace, else the client's own request ID. What ended a moment ago is still known, because
//! services finish work after they have answered. Without either, a call belongs to the request that is
//! under way alone, if none has ended a moment ago.
//!
//! Guarantee: nothing is guessed. What fits several requests fits none; among several of one trace the one that is still under way is
//! meant. The memory is bounded: requests beyond it are counted, but not told by trace or ID.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderName;
use shadow_control::TraceId;
use shadow_record::{CorrelatedBy, RequestId};

use crate::head::RequestHead;
use crate::mask::CORRELATION;

/// How long a request is known after its end.
const LINGER: Duration = Duration::from_secs(5);
/// Most requests known at a time.
const MOST: usize = 1 << 16;
/// Most requests of one trace that are told apart.
const ALIKE: usize = 8;
/// Longest request ID of a client that is believed to be one.
const LONGEST: usize = 200;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static(CORRELATION);

/// What a message says of whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its trace.
    pub(crate) trace: Option<TraceId>,
    /// The client's request ID.
    pub(crate) client: Option<Box<[u8]>>,
}

impl Told {
    /// By a request's head.
    pub(crate) fn by(head: &impl RequestHead) -> Self {
        let (traceparent, request_id) = (TRACEPARENT, REQUEST_ID);
        let trace = head.values(&traceparent).next().and_then(|value| std::str::from_utf8(value).ok());
        let client = head.values(&request_id).next().filter(|id| !id.is_empty() && id.len() <= LONGEST);
        Self { trace: trace.and_then(TraceId::of_traceparent), client: client.map(Into::into) }
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let trace = self.trace.map(Key::Trace);
        trace.into_iter().chain(self.client.clone().map(Key::Client))
    }
}

/// Whose a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A captured request's.
    Request(RequestId, CorrelatedBy),
    /// That of a request that is not captured.
    Uncaptured,
    /// Nothing tells.
    Unknown,
}

/// The requests that are under way, and those that ended a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<State>);

/// A request is under way until this is dropped.
#[derive(Debug)]
pub struct UnderWay {
    requests: Arc<Requests>,
    /// `None`: it is counted only.
    place: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    known: HashMap<u64, Known>,
    by: HashMap<Key, Holders>,
    open: BTreeSet<u64>,
    /// In the order in which they ended.
    ended: VecDeque<(Instant, u64)>,
    /// Of those that are known.
    captured: usize,
    /// Under way, and not known.
    counted: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Trace(TraceId),
    Client(Box<[u8]>),
}

#[derive(Debug)]
struct Known {
    /// `None`: it is not captured.
    id: Option<RequestId>,
    told: Told,
}

/// The requests of one trace.
#[derive(Debug, Default)]
struct Holders {
    places: Vec<u64>,
    /// Others, beyond those.
    more: usize,
}

impl Requests {
    /// A request begins; `id` if it is captured.
    pub(crate) fn begin(self: &Arc<Self>, head: &impl RequestHead, id: Option<RequestId>) -> UnderWay {
        let told = Told::by(head);
        let place = self.lock().begin(Known { id, told }, Instant::now());
        UnderWay { requests: self.clone(), place }
    }

    /// Whose a call is that tells this.
    pub(crate) fn whose(&self, told: &Told) -> Whose {
        self.lock().whose(told, Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.requests.lock().end(self.place, Instant::now());
    }
}

impl State {
    fn begin(&mut self, request: Known, now: Instant) -> Option<u64> {
        self.forget(now);
        if self.known.len() >= MOST && !self.forget_one() {
            self.counted += 1;
            return None;
        }
        let place = self.next;
        self.next += 1;
        for key in request.told.keys() {
            self.by.entry(key).or_default().add(place);
        }
        self.captured += usize::from(request.id.is_some());
        self.known.insert(place, request);
        self.open.insert(place);
        Some(place)
    }

    fn end(&mut self, place: Option<u64>, now: Instant) {
        match place {
            None => self.counted -= 1,
            Some(place) => {
                self.open.remove(&place);
                self.ended.push_back((now, place));
            }
        }
    }

    fn whose(&mut self, told: &Told, now: Instant) -> Whose {
        self.forget(now);
        let by_trace = told.trace.and_then(|trace| self.holder(&Key::Trace(trace)));
        let by_client = || told.client.clone().and_then(|id| self.holder(&Key::Client(id)));
        let found = by_trace.map(|request| (request, CorrelatedBy::Trace));
        let found = found.or_else(|| by_client().map(|request| (request, CorrelatedBy::CorrelationId)));
        match found {
            Some((Known { id: Some(id), .. }, by)) => Whose::Request(*id, by),
            Some((Known { id: None, .. }, _)) => Whose::Uncaptured,
            None => self.alone(told),
        }
    }

    /// Whose a call is that its own words do not tell: of the only request known, unless the call says otherwise. One that has ended a
    /// moment ago may still be at work.
    fn alone(&self, told: &Told) -> Whose {
        if self.counted > 0 || self.open.is_empty() {
            return Whose::Unknown;
        }
        let silent = *told == Told::default();
        if self.captured == 0 && silent {
            return Whose::Uncaptured;
        }
        let mut known = self.known.values();
        let (Some(only), None) = (known.next(), known.next()) else { return Whose::Unknown };
        let fits = (told.trace.is_none() || told.trace == only.told.trace)
            && (told.client.is_none() || told.client == only.told.client);
        match only.id {
            _ if !fits => Whose::Unknown,
            Some(id) => Whose::Request(id, CorrelatedBy::Alone),
            None => Whose::Uncaptured,
        }
    }

    fn holder(&self, key: &Key) -> Option<&Known> {
        let Holders { places, more: 0 } = self.by.get(key)? else { return None };
        let mut open = places.iter().filter(|place| self.open.contains(place));
        let place = match (open.next(), open.next(), &places[..]) {
            (Some(place), None, _) | (None, _, [place]) => place,
            _ => return None,
        };
        self.known.get(place)
    }

    fn forget(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|(ended, _)| now.saturating_duration_since(*ended) >= LINGER) {
            self.forget_one();
        }
    }

    /// Forgets the request that ended first; whether there was one.
    fn forget_one(&mut self) -> bool {
        let Some((_, place)) = self.ended.pop_front() else { return false };
        let known = self.known.remove(&place);
        self.captured -= usize::from(known.as_ref().is_some_and(|known| known.id.is_some()));
        for key in known.iter().flat_map(|known| known.told.keys()) {
            if let Some(holders) = self.by.get_mut(&key)
                && holders.remove(place)
            {
                self.by.remove(&key);
            }
        }
        true
    }
}

impl Holders {
    fn add(&mut self, place: u64) {
        if self.places.len() < ALIKE { self.places.push(place) } else { self.more += 1 }
    }

    /// Whether nobody is left.
    fn remove(&mut self, place: u64) -> bool {
        match self.places.iter().position(|held| *held == place) {
            Some(at) => drop(self.places.swap_remove(at)),
            None => self.more -= 1,
        }
        self.places.is_empty() && self.more == 0
    }
}

#[cfg(test)]
mod tests;
