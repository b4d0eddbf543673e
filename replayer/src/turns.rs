//! Between reading and leaving: records wait here until it is their turn.
//!
//! Guarantees: a [`Turn`] ends when it is dropped, however the work on its record ends, so that no session waits for ever; what is
//! still waiting when its partition is given up has no outcome and is the next owner's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::pace::Pacer;
use crate::pipeline::Due;
use crate::sessions::{SessionId, Sessions};

/// Between looks at the tempo while nothing is due by original timing.
const LOOK: Duration = Duration::from_millis(100);

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

    /// Lets the oldest go first, of whatever partition, or partitions take turns.
    pub(crate) fn oldest_first(&self, oldest: bool) {
        let captured_at: fn(&Due) -> i64 = |due| due.captured_at.micros();
        self.waiting().least_first(oldest.then_some(captured_at));
    }

    /// Waits until what would go next is due, so that what is freed meanwhile does not stand behind it.
    pub(crate) async fn ripe(&self, pacer: &mut Pacer) {
        loop {
            let next = match self.waiting().peek(Instant::now(), |due| due.pass_over(pacer)) {
                Some(due) if due.is_given_up() => return,
                Some(due) => Some((due.ready, due.captured_at)),
                None => None,
            };
            let look_again = Instant::now() + LOOK;
            let until = match next.map(|(ready, captured_at)| pacer.turn(ready, captured_at)) {
                Some(Some(turn)) if turn > Instant::now() => turn.min(look_again),
                Some(_) => return,
                None => look_again,
            };
            tokio::select! { () = sleep_until(until) => {} () = self.changed.notified() => {} }
        }
    }

    /// Takes out what has waited too long for its session.
    pub(crate) fn stuck(&self, limit: impl Fn(i32) -> Duration) -> Vec<Due> {
        self.waiting().stuck(Instant::now(), limit)
    }

    /// Records that wait for their session.
    pub(crate) fn behind(&self) -> usize {
        self.waiting().behind()
    }

    /// Those of one partition.
    pub(crate) fn behind_in(&self, partition: i32) -> usize {
        self.waiting().behind_in(partition)
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
