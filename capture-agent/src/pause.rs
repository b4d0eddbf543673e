//! Two switches the hot path touches: capturing paused, and the alarm for replayed requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Capturing is paused: traffic flows, nothing is recorded. Set by the admin endpoint.
#[derive(Debug, Default)]
pub(crate) struct Pause(AtomicBool);

impl Pause {
    /// Whether capturing is paused.
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Pauses or resumes capturing.
    pub(crate) fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }
}

/// Rings when a replayed request reaches this agent, that is, when the shadow has reached production.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarm(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    rung: AtomicU64,
    notify: Notify,
}

impl Alarm {
    /// Rings; cheap, and never waits. Rings that nobody has answered yet are one.
    pub(crate) fn ring(&self) {
        self.0.rung.fetch_add(1, Ordering::Relaxed);
        self.0.notify.notify_one();
    }

    /// Waits for the next ring.
    pub(crate) async fn rung(&self) {
        self.0.notify.notified().await;
    }

    /// How often it rang.
    pub(crate) fn count(&self) -> u64 {
        self.0.rung.load(Ordering::Relaxed)
    }
}
