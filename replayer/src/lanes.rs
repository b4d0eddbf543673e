//! What waits for its turn: in order within a lane, turn by turn among lanes. Pure.
//!
//! A lane is a partition. Turns keep a partition with a long backlog from holding up the others, whose records would grow
//! stale and whose windows would stay full.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

/// Waiting items, by lane. A lane that is empty is gone.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: BTreeMap<i32, VecDeque<T>>,
    served: i32,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), served: i32::MIN }
    }
}

impl<T> Lanes<T> {
    /// Puts an item at the end of its lane.
    pub fn push(&mut self, lane: i32, item: T) {
        self.lanes.entry(lane).or_default().push_back(item);
    }

    /// The first item of the lane whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let behind = self.lanes.range((Excluded(self.served), Unbounded)).next();
        let (&lane, _) = behind.or_else(|| self.lanes.first_key_value())?;
        self.served = lane;
        let queue = self.lanes.get_mut(&lane)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_turns_and_keep_their_order() {
        let mut lanes = Lanes::default();
        for (lane, item) in [(0, "a1"), (0, "a2"), (0, "a3"), (1, "b1"), (2, "c1"), (2, "c2")] {
            lanes.push(lane, item);
        }
        let mut taken: Vec<_> = (0..4).map_while(|_| lanes.pop()).collect();
        lanes.push(1, "b2");
        taken.extend(std::iter::from_fn(|| lanes.pop()));
        assert_eq!(taken, ["a1", "b1", "c1", "a2", "b2", "c2", "a3"]);
    }
}
