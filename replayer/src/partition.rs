//! One captured partition while it is this member's: its window, and the tasks that work on its records.
//!
//! Guarantees: an offset counts as covered only when its outcome is acknowledged; after [`Partition::stop`] nothing
//! more is sent but what was overtaken, after [`Partition::abandon`] nothing more is published either, and what has no
//! outcome by then is the next owner's.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt as _;
use shadow_kafka::{Consumed, Started};
use shadow_record::{DecodeError, Outcome, SkipReason};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Ledger;
use crate::publish::{Attempt, Of, Place, Publisher};
use crate::window::{Limits, Range, Window};

/// One assigned partition.
pub(crate) struct Partition {
    number: i32,
    publisher: Arc<Publisher>,
    window: Mutex<Window>,
    stopped: CancellationToken,
    abandoned: CancellationToken,
    tasks: TaskTracker,
    /// The furthest offset that has left; `i64::MIN` when no more may leave.
    furthest: AtomicI64,
    acknowledged: Notify,
}

/// The encoded outcome of one record.
pub(crate) struct Sealed {
    offset: i64,
    labels: (&'static str, &'static str),
    payload: Bytes,
}

impl Sealed {
    /// What it holds until it is acknowledged.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len()
    }
}

impl Partition {
    /// Takes over the partition where the group left it; what retention took becomes a range at once.
    pub(crate) fn take_over(started: &Started, limits: Limits, publisher: Arc<Publisher>) -> Arc<Self> {
        let start = started.expired.map_or(started.position, |(first, _)| first);
        let partition = Arc::new(Self {
            number: started.at.partition,
            publisher,
            window: Mutex::new(Window::new(start, limits)),
            stopped: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            tasks: TaskTracker::new(),
            furthest: AtomicI64::new(i64::MIN),
            acknowledged: Notify::new(),
        });
        if let Some((first, last)) = started.expired {
            partition.skip(Range { first, last, reason: SkipReason::Expired });
        }
        partition
    }

    /// Its window, for a moment.
    pub(crate) fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether sends for it may start.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_cancelled()
    }

    /// Resolves when sends for it may no longer start.
    pub(crate) async fn stopping(&self) {
        self.stopped.cancelled().await;
    }

    /// Begins work on a record: its offset stays uncovered until [`Partition::settle`]. False when it was read before.
    pub(crate) fn read(self: &Arc<Self>, offset: i64, bytes: usize) -> bool {
        let mut window = self.window();
        if window.has_read(offset) {
            return false;
        }
        let closed = window.read(offset, bytes, Instant::now());
        drop(window);
        self.publish_ranges(closed);
        true
    }

    /// Skips offsets that get no outcome of their own.
    pub(crate) fn skip(self: &Arc<Self>, range: Range) {
        let mut window = self.window();
        if window.has_read(range.first) {
            return;
        }
        let closed = window.skip(range, Instant::now());
        drop(window);
        self.publish_ranges(closed);
    }

    /// Skips a record that was read and has waited for its turn.
    pub(crate) fn skip_waiting(self: &Arc<Self>, offset: i64, reason: SkipReason) {
        if !self.is_stopped() {
            self.publish_ranges([Range { first: offset, last: offset, reason }]);
        }
    }

    /// Publishes a run of skipped offsets that has waited long enough.
    pub(crate) fn publish_old_run(self: &Arc<Self>) {
        let closed = self.window().close_old_run(Instant::now());
        self.publish_ranges(closed);
    }

    /// Runs work on one of its records, unless it is abandoned before that is done. A panic in it leaves the offset uncovered,
    /// so the line is given up as broken; its next run begins below that offset.
    pub(crate) fn work(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let (abandoned, broken) = (self.abandoned.clone(), self.publisher.broken.clone());
        self.tasks.spawn(async move {
            let task = AssertUnwindSafe(task).catch_unwind();
            let ended = tokio::select! { biased; () = abandoned.cancelled() => Ok(()), ended = task => ended };
            if ended.is_err() {
                broken.cancel();
            }
        });
    }

    /// Publishes the outcome of a record; its offset is covered when the broker has it.
    pub(crate) async fn settle(&self, place: Place, of: Option<Of>, attempt: Attempt) {
        self.hand_in(self.seal(place, of, attempt)).await;
    }

    /// Encodes the outcome of a record.
    pub(crate) fn seal(&self, place: Place, of: Option<Of>, attempt: Attempt) -> Sealed {
        let labels = Ledger::labels(&attempt.outcome);
        let low = self.window().low_watermark();
        Sealed { offset: place.offset, labels, payload: self.publisher.outcome(place, low, of, attempt) }
    }

    /// Publishes an encoded outcome; its offset is covered when the broker has it.
    pub(crate) async fn hand_in(&self, sealed: Sealed) {
        self.publish(sealed.offset, sealed.payload).await;
        self.publisher.ledger.acknowledged(sealed.labels, 1);
    }

    /// Files an unreadable record and publishes that outcome.
    pub(crate) async fn dead_letter(&self, record: Consumed, error: DecodeError) {
        self.publisher.dead_letter(&record, &error).await;
        let place = Place { partition: self.number, offset: record.offset, appended_at: record.appended_at };
        self.settle(place, None, Attempt::none(Outcome::DeadLettered)).await;
    }

    /// No send for it starts from now on, but of what was overtaken; the open run is published.
    pub(crate) fn stop(self: &Arc<Self>) {
        self.stopped.cancel();
        let closed = self.window().close_run();
        self.publish_ranges(closed);
        self.tasks.close();
    }

    /// The record leaves.
    pub(crate) fn leaves(&self, offset: i64) {
        self.furthest.fetch_max(offset, Ordering::SeqCst);
    }

    /// Whether a record may leave: any until the partition is stopped; then those that others have overtaken, or the next owner would
    /// send again what overtook them.
    pub(crate) fn lets_go(&self, offset: i64) -> bool {
        !self.is_stopped() || (!self.abandoned.is_cancelled() && offset <= self.furthest.load(Ordering::SeqCst))
    }

    /// Resolves when a record may no longer leave.
    pub(crate) async fn keeps(&self, offset: i64) {
        self.stopped.cancelled().await;
        if self.lets_go(offset) {
            self.abandoned.cancelled().await;
        }
    }

    /// The record stays behind. If others have overtaken it, so do all that are left: none may leave before those before it in its session.
    /// What nobody overtook stays behind alone: all after it in its session do so anyway.
    pub(crate) fn keeps_back(&self, offset: i64) {
        if offset <= self.furthest.load(Ordering::SeqCst) {
            self.furthest.store(i64::MIN, Ordering::SeqCst);
        }
        self.acknowledged.notify_one();
    }

    /// Resolves when all work on it is done, and on what was overtaken. For one caller, after it was stopped.
    pub(crate) async fn drained(&self) {
        loop {
            let low = self.window().low_watermark();
            if low > self.furthest.load(Ordering::SeqCst) {
                break;
            }
            self.acknowledged.notified().await;
        }
        self.tasks.wait().await;
    }

    /// Resolves when work on it goes on no longer.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Drops all work on it that is not done.
    pub(crate) fn abandon(&self) {
        self.abandoned.cancel();
    }

    fn publish_ranges(self: &Arc<Self>, ranges: impl IntoIterator<Item = Range>) {
        for range in ranges {
            let partition = self.clone();
            self.work(async move {
                let low = partition.window().low_watermark();
                let payload = partition.publisher.range(partition.number, low, range);
                partition.publish(range.first, payload).await;
                partition.publisher.ledger.skipped(range.reason, range.last - range.first + 1);
            });
        }
    }

    async fn publish(&self, first: i64, payload: Bytes) {
        self.publisher.until_acknowledged(self.number, &payload).await;
        self.window().acknowledge(first);
        self.acknowledged.notify_one();
    }
}
