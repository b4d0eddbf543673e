//! Shares of a topic's rate: which part of it each captured partition may use in one launch.
//!
//! Pure data and the rule by which one record follows another. A partition has one owner at a time, so shares that belong to
//! partitions cannot be spent twice. What a record allows is the lesser of `before` and `weights`: a change of weights is written as
//! what was and what shall be, cuts by itself, and raises nothing until a second record, written when everybody follows the first,
//! has the new weights on both sides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shadow_record::LaunchName;

use crate::record::Change;

/// Shares may sum to this much more than 1 by rounding.
const ROUNDING: f64 = 1e-9;

/// How the rate of one launch is shared among the partitions of its captured topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// The launch.
    pub launch: LaunchName,
    /// The part of the rate that is each partition's, 0 to 1, in sum at most 1.
    pub weights: BTreeMap<i32, f64>,
    /// The parts that held before; equal to `weights` when everybody follows.
    pub before: BTreeMap<i32, f64>,
    /// Control version of the shares this was written after; -1 for none. A record that does not know the newest is refused, so that
    /// two writers cannot build on the same one.
    pub after: i64,
    /// Which replayer wrote it, when and why.
    pub change: Change,
}

/// Shares that cannot be used; every partition has the same share until others are written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SharesError {
    /// More than the whole.
    #[error("the shares sum to {0}, more than 1")]
    TooMuch(f64),
    /// Not a share.
    #[error("the share of partition {0} is not a number from 0 to 1")]
    NotAShare(i32),
    /// Not a partition of the topic.
    #[error("there is no partition {0}")]
    NoSuchPartition(i32),
}

impl Shares {
    /// Both sides as lists by partition number: what held before, and what shall hold. Partitions not named have none.
    ///
    /// # Errors
    /// [`SharesError`].
    pub fn by_partition(&self, partitions: usize) -> Result<(Vec<f64>, Vec<f64>), SharesError> {
        Ok((list(&self.before, partitions)?, list(&self.weights, partitions)?))
    }
}

fn list(shares: &BTreeMap<i32, f64>, partitions: usize) -> Result<Vec<f64>, SharesError> {
    let mut list = vec![0.0; partitions];
    for (&partition, &share) in shares {
        let place = usize::try_from(partition).ok().and_then(|at| list.get_mut(at));
        *place.ok_or(SharesError::NoSuchPartition(partition))? = share;
        if !(0.0..=1.0 + ROUNDING).contains(&share) {
            return Err(SharesError::NotAShare(partition));
        }
    }
    let sum: f64 = list.iter().sum();
    if sum > 1.0 + ROUNDING { Err(SharesError::TooMuch(sum)) } else { Ok(list) }
}

/// The shares that hold, and the control version that brought them.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Offset of the record.
    pub version: i64,
    /// The record.
    pub shares: Shares,
    /// Whether a later record was passed over. Compaction would keep only that one, so these are to be written once more.
    pub passed_over: bool,
}

impl Standing {
    /// Takes the record at `version`, if it was written knowing the one that stands.
    pub(crate) fn take(all: &mut BTreeMap<LaunchName, Self>, version: i64, shares: Shares) {
        match all.get_mut(&shares.launch) {
            Some(standing) if shares.after < standing.version => standing.passed_over = true,
            _ => drop(all.insert(shares.launch.clone(), Self { version, shares, passed_over: false })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ControlRecord, ControlState};

    fn shares(weights: &[(i32, f64)], after: i64) -> Shares {
        let weights: BTreeMap<_, _> = weights.iter().copied().collect();
        let change = Change::by("r1", "backlog");
        Shares { launch: "v2".parse().unwrap(), before: weights.clone(), weights, after, change }
    }

    #[test]
    fn what_is_not_a_division_of_the_whole_is_refused() {
        let of = |weights: &[(i32, f64)]| shares(weights, -1).by_partition(2).map(|(_, now)| now);
        assert_eq!(of(&[(0, 0.25), (1, 0.75)]), Ok(vec![0.25, 0.75]));
        assert_eq!(of(&[(1, 0.5)]), Ok(vec![0.0, 0.5]));
        assert_eq!(of(&[(0, 0.5), (1, 0.75)]), Err(SharesError::TooMuch(1.25)));
        assert_eq!(of(&[(2, 0.5)]), Err(SharesError::NoSuchPartition(2)));
        assert_eq!(of(&[(-1, 0.5)]), Err(SharesError::NoSuchPartition(-1)));
        assert_eq!(of(&[(0, -0.5)]), Err(SharesError::NotAShare(0)));
        assert_eq!(of(&[(0, f64::NAN)]), Err(SharesError::NotAShare(0)));
    }

    #[test]
    fn a_record_that_does_not_know_the_newest_is_passed_over() {
        let mut state = ControlState::empty();
        let mut put = |offset: i64, weight: f64, after: i64| {
            let record = ControlRecord::Shares(shares(&[(0, weight)], after));
            state.apply(offset, &record.key(), &record.encode()).unwrap();
            state.shares.values().next().map(|s| (s.version, s.shares.weights[&0], s.passed_over))
        };
        assert_eq!(put(3, 0.1, -1), Some((3, 0.1, false)));
        assert_eq!(put(5, 0.2, -1), Some((3, 0.1, true)), "written beside 3");
        assert_eq!(put(6, 0.3, 3), Some((6, 0.3, false)));
        assert_eq!(put(9, 0.4, 6), Some((9, 0.4, false)));
    }

    #[test]
    fn shares_that_cannot_be_read_are_forgotten_and_pause_nothing() {
        let mut state = ControlState::empty();
        let launch = crate::Launch::of(
            "v2".parse().unwrap(),
            "shop".parse().unwrap(),
            "http://127.0.0.1:1".parse().unwrap(),
            Change::by("test", "test"),
        );
        let name = launch.name.clone();
        for (offset, record) in
            [ControlRecord::Launch(Box::new(launch)), ControlRecord::Shares(shares(&[(0, 1.0)], -1))].iter().enumerate()
        {
            state.apply(offset as i64, &record.key(), &record.encode()).unwrap();
        }
        assert!(state.apply(2, "shares/v2", br#"{"format":3,"record":{"shares":{"weights":{"0":"all"}}}}"#).is_err());
        assert!(state.shares.is_empty() && !state.is_paused(&name, "r1"));
        let record = ControlRecord::Shares(shares(&[(0, 0.5)], -1));
        state.apply(3, &record.key(), &record.encode()).unwrap();
        assert_eq!(state.shares[&name].version, 3);
        state.apply(4, "shares/v2", b"").unwrap();
        assert!(state.shares.is_empty());
    }
}
