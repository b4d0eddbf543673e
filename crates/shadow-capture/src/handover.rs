//! The one step between the hot path and everything behind it: a single non-blocking `try_send` into a bounded queue.
//!
//! Guarantee: handing over never waits. A full queue is a counted drop.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::ledger::DropReason;
use crate::observe::RawExchange;

/// The hot path's end of the queue.
#[derive(Clone)]
pub struct Handover(Sender<RawExchange>);

/// A queue of at most `capacity` exchanges. It ends when every [`Handover`] is gone and it is drained.
pub fn queue(capacity: usize) -> (Handover, Receiver<RawExchange>) {
    let (sender, receiver) = bounded(capacity);
    (Handover(sender), receiver)
}

impl Handover {
    /// Passes the exchange on, or counts it as dropped.
    pub fn offer(&self, exchange: RawExchange) {
        match self.0.try_send(exchange) {
            Ok(()) => {}
            Err(TrySendError::Full(exchange)) => exchange.ticket.dropped(DropReason::QueueFull),
            Err(TrySendError::Disconnected(exchange)) => exchange.ticket.dropped(DropReason::Stopped),
        }
    }
}
