//! The kill switch's last link: an atomic gate before every send.
//!
//! Guarantee: a send passes only while no [`Cause`] holds the gate shut, and whoever is waiting for an answer learns at once
//! that it shut.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use shadow_record::{LaunchName, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ControlState;

/// Why a gate is shut. Any one suffices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The control topic has not been read to its end yet.
    Starting = 1,
    /// The control topic says so.
    Control = 2,
    /// The admin endpoint of this instance says so.
    Admin = 4,
    /// This instance could not read back its own heartbeat in time.
    Lease = 8,
    /// The target may not be sent to.
    Target = 16,
    /// The target did not answer when it was asked who it is. Nothing more is sent; what is in flight ends by itself, for a target
    /// that hangs is to be seen hanging.
    Silent = 32,
}

/// Lets requests of one launch on one instance pass, or not.
#[derive(Debug)]
pub struct Gate {
    causes: watch::Sender<u8>,
    born: Instant,
    /// End of the lease in microseconds since `born`. Checked at every send, so that a process that was stopped and goes on
    /// does not send before its timers have run.
    leased_until: AtomicU64,
    last_send: AtomicI64,
    version: AtomicI64,
    heard_at: AtomicI64,
}

const NEVER: i64 = i64::MIN;

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A gate that is shut until control was read and the lease is held.
    pub fn new() -> Self {
        Self {
            causes: watch::Sender::new(Cause::Starting as u8 | Cause::Lease as u8),
            born: Instant::now(),
            leased_until: AtomicU64::new(u64::MAX),
            last_send: AtomicI64::new(NEVER),
            version: AtomicI64::new(-1),
            heard_at: AtomicI64::new(NEVER),
        }
    }

    /// Shuts it for `cause`.
    pub fn shut(&self, cause: Cause) {
        self.set(|causes| causes | cause as u8);
    }

    /// Takes `cause` away; it opens when none is left.
    pub fn release(&self, cause: Cause) {
        self.set(|causes| causes & !(cause as u8));
    }

    /// Holds the lease until then.
    pub fn lease(&self, until: Instant) {
        let micros = until.saturating_duration_since(self.born).as_micros();
        self.leased_until.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::SeqCst);
        self.release(Cause::Lease);
    }

    fn is_leased(&self) -> bool {
        self.born.elapsed().as_micros() < u128::from(self.leased_until.load(Ordering::SeqCst))
    }

    fn set(&self, change: impl Fn(u8) -> u8) {
        self.causes.send_if_modified(|causes| {
            let changed = change(*causes);
            std::mem::replace(causes, changed) != changed
        });
    }

    /// Does what the control topic says, and remembers which version of it.
    pub fn follow(&self, state: &ControlState, launch: &LaunchName, instance: &str) {
        let paused = state.is_paused(launch, instance);
        let starting = !state.caught_up;
        self.set(|mut causes| {
            causes = if paused { causes | Cause::Control as u8 } else { causes & !(Cause::Control as u8) };
            if starting { causes | Cause::Starting as u8 } else { causes & !(Cause::Starting as u8) }
        });
        if self.version.swap(state.version, Ordering::SeqCst) != state.version {
            let heard_at = state.heard_at.unwrap_or_else(Timestamp::now);
            self.heard_at.store(heard_at.micros(), Ordering::SeqCst);
        }
    }

    /// Whether requests pass.
    pub fn is_open(&self) -> bool {
        *self.causes.borrow() == 0
    }

    /// Whether `cause` holds it shut.
    pub fn is_shut_by(&self, cause: Cause) -> bool {
        *self.causes.borrow() & cause as u8 != 0
    }

    /// Called immediately before a send: whether it may go out. If so, this is the last send so far.
    #[must_use]
    pub fn pass(&self) -> bool {
        let causes = self.causes.borrow();
        let open = *causes == 0 && self.is_leased();
        // Holding the borrow keeps `shut` waiting, so the stamp is never later than the shutting.
        if open {
            self.last_send.fetch_max(Timestamp::now().micros(), Ordering::SeqCst);
        }
        open
    }

    /// Resolves when the gate is open.
    pub async fn opened(&self) {
        let mut causes = self.causes.subscribe();
        if causes.wait_for(|causes| *causes == 0).await.is_err() {
            unreachable!("the sender lives in self");
        }
    }

    /// Resolves when the gate is shut.
    pub async fn shutting(&self) {
        let mut causes = self.causes.subscribe();
        if causes.wait_for(|causes| *causes != 0).await.is_err() {
            unreachable!("the sender lives in self");
        }
    }

    /// Resolves when what is in flight is to be cancelled: the gate is shut for more than [`Cause::Silent`].
    pub async fn cancelling(&self) {
        let mut causes = self.causes.subscribe();
        if causes.wait_for(|causes| causes & !(Cause::Silent as u8) != 0).await.is_err() {
            unreachable!("the sender lives in self");
        }
    }

    /// Resolves when nothing but the target's own causes, if any, holds it shut.
    pub async fn free_but_for_target(&self) {
        let of_target = Cause::Target as u8 | Cause::Silent as u8;
        let mut causes = self.causes.subscribe();
        if causes.wait_for(|causes| causes & !of_target == 0).await.is_err() {
            unreachable!("the sender lives in self");
        }
    }

    /// When a request last passed.
    pub fn last_send(&self) -> Option<Timestamp> {
        stamp(&self.last_send)
    }

    /// The newest control version it follows, -1 for none.
    pub fn version(&self) -> i64 {
        self.version.load(Ordering::SeqCst)
    }

    /// When this instance read that version.
    pub fn heard_at(&self) -> Option<Timestamp> {
        stamp(&self.heard_at)
    }
}

fn stamp(at: &AtomicI64) -> Option<Timestamp> {
    let at = at.load(Ordering::SeqCst);
    (at != NEVER).then_some(Timestamp(at))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_gate_opens_only_when_no_cause_is_left() {
        let gate = Gate::new();
        gate.release(Cause::Starting);
        assert!(!gate.is_open() && !gate.pass() && gate.last_send().is_none());
        gate.shut(Cause::Admin);
        gate.release(Cause::Lease);
        assert!(!gate.pass() && gate.is_shut_by(Cause::Admin));
        gate.release(Cause::Admin);
        assert!(gate.pass() && gate.last_send().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_out_shuts_the_gate_before_any_timer_has_run() {
        let gate = Gate::new();
        gate.release(Cause::Starting);
        gate.lease(Instant::now() + Duration::from_secs(3));
        assert!(gate.pass());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(!gate.pass());
        gate.lease(Instant::now() + Duration::from_secs(3));
        assert!(gate.pass());
    }

    #[tokio::test]
    async fn a_silent_target_gets_nothing_more_but_is_waited_for() {
        let gate = Gate::new();
        gate.release(Cause::Starting);
        gate.release(Cause::Lease);
        gate.shut(Cause::Silent);
        gate.shutting().await;
        assert!(!gate.pass());
        tokio::select! { biased; () = gate.cancelling() => panic!("silence cancels nothing"), () = async {} => {} }
        gate.shut(Cause::Control);
        gate.cancelling().await;
    }

    #[tokio::test]
    async fn whoever_holds_it_learns_that_nobody_else_does() {
        let gate = std::sync::Arc::new(Gate::new());
        gate.shut(Cause::Target);
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.free_but_for_target().await }
        });
        gate.release(Cause::Starting);
        gate.release(Cause::Lease);
        waiting.await.unwrap();
        assert!(gate.is_shut_by(Cause::Target));
    }

    #[tokio::test]
    async fn whoever_waits_learns_that_it_shut() {
        let gate = std::sync::Arc::new(Gate::new());
        gate.release(Cause::Starting);
        gate.release(Cause::Lease);
        gate.opened().await;
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.shutting().await }
        });
        gate.shut(Cause::Control);
        waiting.await.unwrap();
    }
}
