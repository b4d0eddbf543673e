//! Whether a request is alone: no other one of its launch was under way from its sending to the end of its last answer, so that whatever
//! the shadow called meanwhile, it called for this one.
//!
//! Stands beside sending; what it finds goes into the outcome, for services that pass on nothing that tells. Guarantee: in doubt no request
//! is alone. There is doubt for as long as the launch's time-out
//!
//! - after a request that was not answered: the shadow may still be at work on it;
//! - after partitions were taken over: so may be what their last owner sent, when that crashed;
//! - after somebody else was seen who may send: a member that holds a partition, or another launch of the service;
//! - after this process stood still, for it may have lost its partitions without having heard of it;
//!
//! and always while this member does not hold every partition.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two looks at others, beyond which this process counts as having stood still: half of the time after which the group gives its
/// partitions to another.
const STILL: Duration = Duration::from_secs(5);

/// What is under way of one launch on this instance.
pub(crate) struct Traffic {
    patience: Duration,
    state: Mutex<State>,
}

struct State {
    under_way: usize,
    /// Grows with all that ends the solitude of whatever is under way.
    disturbances: u64,
    holds_all: bool,
    in_doubt_until: Instant,
    looked: Instant,
}

/// One exchange that is under way, to the candidate and perhaps to the control. Dropped without [`UnderWay::answered`] it may still keep
/// the shadow busy.
pub(crate) struct UnderWay {
    traffic: Arc<Traffic>,
    /// The disturbances up to its own, if it set out alone.
    alone: Option<u64>,
    answered: bool,
}

impl Traffic {
    /// Of a launch whose requests take at most `patience`. It begins without partitions.
    pub(crate) fn new(patience: Duration) -> Arc<Self> {
        let now = Instant::now();
        let state = State { under_way: 0, disturbances: 0, holds_all: false, in_doubt_until: now, looked: now };
        Arc::new(Self { patience, state: Mutex::new(state) })
    }

    /// A request leaves now.
    pub(crate) fn sets_out(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state();
        let solitary = state.under_way == 0 && state.holds_all && Instant::now() >= state.in_doubt_until;
        state.under_way += 1;
        state.disturbances += 1;
        UnderWay { traffic: self.clone(), alone: solitary.then_some(state.disturbances), answered: false }
    }

    /// This member's partitions have changed: now it holds so many of so many.
    pub(crate) fn holds(&self, held: usize, partitions: usize) {
        let mut state = self.state();
        state.holds_all = held == partitions;
        state.disturb(self.patience);
    }

    /// Somebody else was looked for who may send. To be called several times a second.
    pub(crate) fn looked(&self, found: bool) {
        let mut state = self.state();
        if found || state.stood_still() {
            state.disturb(self.patience);
        }
        state.looked = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn disturb(&mut self, patience: Duration) {
        self.disturbances += 1;
        self.in_doubt_until = Instant::now() + patience;
    }

    fn stood_still(&self) -> bool {
        self.looked.elapsed() > STILL
    }
}

impl UnderWay {
    /// Whether it has been alone until now.
    pub(crate) fn is_alone(&self) -> bool {
        let state = self.traffic.state();
        self.alone == Some(state.disturbances) && !state.stood_still()
    }

    /// Every answer has come in whole.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.traffic.state();
        state.under_way -= 1;
        if !self.answered {
            state.disturb(self.traffic.patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME_OUT: Duration = Duration::from_secs(2);

    /// A member that has held every partition for long enough.
    async fn settled() -> Arc<Traffic> {
        let traffic = Traffic::new(TIME_OUT);
        traffic.holds(3, 3);
        pass(&traffic).await;
        traffic
    }

    async fn pass(traffic: &Traffic) {
        tokio::time::advance(TIME_OUT).await;
        traffic.looked(false);
    }

    /// Whether a request that is answered at once is alone.
    fn is_alone(traffic: &Arc<Traffic>) -> bool {
        let request = traffic.sets_out();
        let alone = request.is_alone();
        request.answered();
        alone
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_is_alone_and_two_at_a_time_are_not() {
        let traffic = settled().await;
        assert!(is_alone(&traffic) && is_alone(&traffic));
        let first = traffic.sets_out();
        let second = traffic.sets_out();
        assert!(!first.is_alone() && !second.is_alone());
        second.answered();
        assert!(!first.is_alone(), "the other one was under way, if no longer");
        first.answered();
        assert!(is_alone(&traffic));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_request_without_an_answer_none_is_alone_for_the_time_out() {
        let traffic = settled().await;
        let unanswered = traffic.sets_out();
        assert!(unanswered.is_alone(), "its own time was its own");
        drop(unanswered);
        assert!(!is_alone(&traffic));
        tokio::time::advance(TIME_OUT - Duration::from_millis(1)).await;
        assert!(!is_alone(&traffic));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(is_alone(&traffic));
    }

    #[tokio::test(start_paused = true)]
    async fn without_every_partition_none_is_alone_nor_soon_after_they_were_taken_over() {
        let traffic = Traffic::new(TIME_OUT);
        assert!(!is_alone(&traffic));
        traffic.holds(2, 3);
        pass(&traffic).await;
        assert!(!is_alone(&traffic));
        traffic.holds(3, 3);
        assert!(!is_alone(&traffic));
        pass(&traffic).await;
        let request = traffic.sets_out();
        assert!(request.is_alone());
        traffic.holds(0, 3);
        traffic.holds(3, 3);
        assert!(!request.is_alone());
    }

    #[tokio::test(start_paused = true)]
    async fn who_else_may_send_leaves_none_alone() {
        let traffic = settled().await;
        let request = traffic.sets_out();
        traffic.looked(false);
        assert!(request.is_alone());
        traffic.looked(true);
        traffic.looked(false);
        assert!(!request.is_alone());
        request.answered();
        assert!(!is_alone(&traffic));
        pass(&traffic).await;
        assert!(is_alone(&traffic));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_believes_in_no_solitude() {
        let traffic = settled().await;
        let request = traffic.sets_out();
        tokio::time::advance(STILL + Duration::from_millis(1)).await;
        assert!(!request.is_alone(), "before anybody has looked");
        traffic.looked(false);
        assert!(!request.is_alone(), "and afterwards");
        request.answered();
        assert!(!is_alone(&traffic));
        pass(&traffic).await;
        assert!(is_alone(&traffic));
    }
}
