//! Bytes of outcomes on their way to the broker.
//!
//! Stands between an answer and its publishing. Guarantee: outcomes that wait for their acknowledgement hold at most as many
//! bytes as the room has, or one outcome; whoever finds no room keeps its place among the requests in flight, so that nothing
//! more is sent until the broker has caught up.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bounded number of bytes.
pub(crate) struct Room {
    free: Arc<Semaphore>,
    size: u32,
}

/// A part of the [`Room`], given back when dropped.
pub(crate) struct Share(#[allow(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Room {
    /// Room for `bytes`, at least one.
    pub(crate) fn of(bytes: usize) -> Self {
        let size = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        Self { free: Arc::new(Semaphore::new(size as usize)), size }
    }

    /// Waits for its turn and for room. What is larger than all of it takes all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.size);
        // It is never closed.
        Share(self.free.clone().acquire_many_owned(wanted).await.ok())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn what_finds_no_room_waits_and_what_is_too_large_goes_alone() {
        let room = Room::of(10);
        let small = room.take(4).now_or_never().unwrap();
        assert!(room.take(7).now_or_never().is_none());
        assert!(room.take(11).now_or_never().is_none());
        drop(small);
        let large = room.take(11).now_or_never().unwrap();
        assert!(room.take(1).now_or_never().is_none());
        drop(large);
        assert!(room.take(10).now_or_never().is_some());
    }
}
