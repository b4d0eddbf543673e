//! Brings exchanges into the order in which they began, as far as a bounded window goes: recorders write many of them when they ended.
//!
//! Guarantee: holds at most [`ENTRIES`] exchanges and [`BYTES`] of bodies, and one more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shadow_mask::RawBody;
use shadow_record::Timestamp;

use super::exchange::Exchange;

/// Most exchanges held back.
const ENTRIES: usize = 4096;
/// Most bytes of bodies held back.
const BYTES: usize = 64 << 20;

/// An exchange with its place in the file.
pub(super) struct Placed {
    pub(super) index: usize,
    pub(super) exchange: Exchange,
}

impl Placed {
    fn order(&self) -> (Timestamp, usize) {
        (self.exchange.recorded.captured_at, self.index)
    }

    fn bytes(&self) -> usize {
        let length = |body: &RawBody| if let RawBody::Whole(bytes) = body { bytes.len() } else { 0 };
        let recorded = &self.exchange.recorded;
        length(&recorded.request.body) + recorded.response.as_ref().map_or(0, |answer| length(&answer.body))
    }
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Placed {}

impl PartialOrd for Placed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Placed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// What is held back.
#[derive(Default)]
pub(super) struct Window {
    held: BinaryHeap<Reverse<Placed>>,
    bytes: usize,
    last: Option<Timestamp>,
    /// Exchanges that began before one that had left already.
    pub(super) late: u64,
}

impl Window {
    /// Adds one; gives the earliest when the window is full.
    pub(super) fn push(&mut self, placed: Placed) -> Option<Placed> {
        self.bytes += placed.bytes();
        self.held.push(Reverse(placed));
        if self.held.len() > ENTRIES || self.bytes > BYTES { self.pop() } else { None }
    }

    /// The earliest of those that are held.
    pub(super) fn pop(&mut self) -> Option<Placed> {
        let Reverse(placed) = self.held.pop()?;
        self.bytes -= placed.bytes();
        let began = placed.exchange.recorded.captured_at;
        self.late += u64::from(self.last.is_some_and(|last| began < last));
        self.last = self.last.max(Some(began));
        Some(placed)
    }
}

#[cfg(test)]
mod tests {
    use shadow_capture::Recorded;

    use super::*;
    use crate::commands::import::exchange::target;

    fn at(index: usize, micros: i64) -> Placed {
        let (host, request) = target("GET", "http://h/").unwrap();
        let (captured_at, total) = (Timestamp(micros), std::time::Duration::ZERO);
        let recorded = Recorded { captured_at, request, response: None, error: None, first_byte: None, total };
        Placed { index, exchange: Exchange { host, recorded } }
    }

    fn drained(window: &mut Window) -> Vec<usize> {
        std::iter::from_fn(|| window.pop()).map(|placed| placed.index).collect()
    }

    #[test]
    fn exchanges_leave_in_the_order_in_which_they_began_and_equals_in_that_of_the_file() {
        let mut window = Window::default();
        for (index, micros) in [5, 3, 9, 3].into_iter().enumerate() {
            assert!(window.push(at(index, micros)).is_none());
        }
        assert_eq!((drained(&mut window), window.late), (vec![1, 3, 0, 2], 0));
    }

    #[test]
    fn beyond_the_window_an_exchange_leaves_late_and_is_counted() {
        let mut window = Window::default();
        let pushed: Vec<_> = (0..=ENTRIES).filter_map(|index| window.push(at(index, index as i64 + 10))).collect();
        assert_eq!(pushed.iter().map(|placed| placed.index).collect::<Vec<_>>(), [0]);
        assert_eq!(window.push(at(99_999, 1)).unwrap().index, 99_999);
        assert_eq!((window.late, drained(&mut window).len()), (1, ENTRIES));
    }
}
