//! Between reading and leaving: records wait here until it is their turn.
//!
//! Guarantees: a [`Turn`] ends when it is dropped, however the work on its record ends, so that no session waits for ever; what is
//! still waiting when its partition is given up has no outcome and is the next owner's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::pipeline::Due;
use crate::sessions::{SessionId, Sessions};

/// The records of one launch that wait on this instance.
#[derive(Default)]
pub(crate) struct Turns {
    waiting: Mutex<Sessions<Due>>,
    changed: Notify,
}

/// A record's turn in its session: nothing else of that session leaves while this lives.
pub(crate) struct Turn(Option<(Arc<Turns>, SessionId)>);

impl Turns {
    /// Puts a record behind those of its partition, and of its session if `ordered`.
    pub(crate) fn push(&self, due: Due, ordered: bool) {
        let session = (ordered && due.of.session.is_some()).then(|| due.key.clone());
        self.waiting().push(due.place.partition, session, due);
        self.changed.notify_one();
    }

    /// Waits for a record that may go. `pass_over` is told of those whose turn it would be if their session were free. There is one
    /// caller at a time.
    pub(crate) async fn next(self: &Arc<Self>, mut pass_over: impl FnMut(&mut Due)) -> (Due, Turn) {
        loop {
            let next = self.waiting().pop(Instant::now(), &mut pass_over);
            if let Some((due, session)) = next {
                return (due, Turn(session.map(|session| (self.clone(), session))));
            }
            self.changed.notified().await;
        }
    }

    /// Takes out what has waited too long for its session.
    pub(crate) fn stuck(&self, limit: Duration) -> Vec<Due> {
        self.waiting().stuck(Instant::now(), limit)
    }

    /// Records that wait for their session.
    pub(crate) fn behind(&self) -> usize {
        self.waiting().behind()
    }

    fn waiting(&self) -> MutexGuard<'_, Sessions<Due>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Shows the record that goes next, when it was passed over already.
    pub(crate) fn successor(&self, show: impl FnOnce(&mut Due)) {
        if let Some((turns, session)) = &self.0 {
            turns.waiting().successor(session).map(show);
        }
    }

    /// The request leaves now.
    pub(crate) fn sent(&self) {
        if let Some((turns, session)) = &self.0 {
            turns.waiting().sent(session, Instant::now());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((turns, session)) = self.0.take() {
            turns.waiting().end(&session, Instant::now());
            turns.changed.notify_one();
        }
    }
}
