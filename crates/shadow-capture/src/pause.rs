//! Two switches the hot path touches: capturing paused, and the alarm for whatever affects production.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::ledger::Exclusion;

/// Capturing is paused: traffic flows, nothing is recorded.
#[derive(Debug, Default)]
pub struct Pause {
    operator: AtomicBool,
    overload: AtomicBool,
    trips: AtomicU64,
}

impl Pause {
    /// Why requests are left out now, if they are.
    pub fn why(&self) -> Option<Exclusion> {
        if self.by_operator() { Some(Exclusion::Paused) } else { self.by_watchdog().then_some(Exclusion::Overload) }
    }

    /// Whether an operator has paused capturing, by the admin endpoint.
    pub fn by_operator(&self) -> bool {
        self.operator.load(Ordering::Relaxed)
    }

    /// An operator pauses or resumes.
    pub fn set_by_operator(&self, on: bool) {
        self.operator.store(on, Ordering::Relaxed);
    }

    /// Whether the watchdog has paused capturing, because the traffic was being felt.
    pub fn by_watchdog(&self) -> bool {
        self.overload.load(Ordering::Relaxed)
    }

    /// The watchdog pauses or resumes.
    pub fn set_by_watchdog(&self, on: bool) {
        if !self.overload.swap(on, Ordering::Relaxed) && on {
            self.trips.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often the watchdog has paused.
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }
}

/// Rings when production is affected: a replayed request has reached this agent, or the traffic is being felt.
#[derive(Clone, Debug, Default)]
pub struct Alarm(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    replayed: AtomicU64,
    /// What the watchdog found, until somebody has answered it.
    felt: Mutex<Option<String>>,
    notify: Notify,
}

impl Alarm {
    /// A replayed request came in: the shadow has reached production. Cheap, and never waits. Rings that nobody has answered yet
    /// are one.
    pub fn ring(&self) {
        self.0.replayed.fetch_add(1, Ordering::Relaxed);
        self.0.notify.notify_one();
    }

    /// The watchdog has tripped, for this reason. Not for the hot path.
    pub(crate) fn felt(&self, why: String) {
        self.0.felt.lock().unwrap_or_else(PoisonError::into_inner).replace(why);
        self.0.notify.notify_one();
    }

    /// Waits for the next ring.
    pub async fn rung(&self) {
        self.0.notify.notified().await;
    }

    /// What the watchdog found and nobody has answered yet.
    pub(crate) fn take_felt(&self) -> Option<String> {
        self.0.felt.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// How many replayed requests came in.
    pub fn count(&self) -> u64 {
        self.0.replayed.load(Ordering::Relaxed)
    }
}
