//! How far reading has come, in each partition. Pure.

use shadow_record::Timestamp;

/// How far reading has come.
#[derive(Debug)]
pub(crate) struct Position {
    /// Everything appended from here on is read.
    from: Timestamp,
    partitions: Vec<Partition>,
    /// The last look at the partitions' ends, and when that was.
    ends: Option<(Timestamp, Vec<i64>)>,
}

#[derive(Debug)]
struct Partition {
    /// The next offset.
    next: i64,
    /// When the last record read was appended.
    appended: Timestamp,
    /// Whether retention may have taken what should come first.
    shortened: bool,
}

impl Position {
    /// Before the offsets `next`, the first that were appended at or after `from`, or earlier ones; `shortened` says in which partitions
    /// nothing earlier is left.
    pub(crate) fn new(from: Timestamp, next: Vec<i64>, shortened: Vec<bool>) -> Self {
        let partitions = next.into_iter().zip(shortened);
        let partitions =
            partitions.map(|(next, shortened)| Partition { next, appended: Timestamp(i64::MIN), shortened }).collect();
        Self { from, partitions, ends: None }
    }

    /// A record was read. Returns what it shows to be the first that is left, where earlier ones should have come.
    pub(crate) fn passed(&mut self, partition: i32, offset: i64, appended: Timestamp) -> Option<Timestamp> {
        let state = self.partitions.get_mut(usize::try_from(partition).ok()?)?;
        (state.next, state.appended) = (offset + 1, state.appended.max(appended));
        let first_left = std::mem::take(&mut state.shortened) && appended > self.from;
        first_left.then_some(appended)
    }

    /// At `now`, the partitions ended there.
    pub(crate) fn ended(&mut self, now: Timestamp, ends: Vec<i64>) {
        self.ends = Some((now, ends));
    }

    /// Whether everything appended before `until` was read; `ends`, where known, are those of a moment after `until`. Without a look at them
    /// nothing is: partitions may have been added.
    pub(crate) fn has_reached(&self, until: Timestamp, ends: Option<&[i64]>) -> bool {
        // A later look tells of more than has to be read, but saves another one.
        let looked = self.ends.as_ref().filter(|(at, _)| until <= *at).map(|(_, ends)| ends.as_slice());
        [ends, looked].into_iter().flatten().any(|ends| self.passes(until, ends))
    }

    fn passes(&self, until: Timestamp, ends: &[i64]) -> bool {
        let read = |(state, end): (&Partition, &i64)| state.appended >= until || state.next >= *end;
        self.is_of(ends) && self.partitions.iter().zip(ends).all(read)
    }

    /// Whether these are the ends of the partitions that are read, and of no other.
    pub(crate) fn is_of(&self, ends: &[i64]) -> bool {
        ends.len() == self.partitions.len()
    }

    /// Where reading began.
    pub(crate) fn from(&self) -> Timestamp {
        self.from
    }

    /// The latest time that was read of.
    pub(crate) fn frontier(&self) -> Timestamp {
        let read = self.partitions.iter().map(|state| state.appended).max().unwrap_or(self.from);
        let looked = self.ends.as_ref().filter(|(_, ends)| self.passes(Timestamp(i64::MAX), ends)).map(|(at, _)| *at);
        self.from.max(read).max(looked.unwrap_or(self.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Position {
        Position::new(Timestamp(100), vec![5, 0], vec![false, false])
    }

    #[test]
    fn a_time_is_reached_when_each_partition_has_passed_it_or_its_end() {
        let mut position = two();
        position.passed(0, 5, Timestamp(200));
        assert!(!position.has_reached(Timestamp(150), None), "the other partition may hold something");
        assert!(position.has_reached(Timestamp(150), Some(&[9, 0])), "it holds nothing");
        assert!(!position.has_reached(Timestamp(201), Some(&[9, 0])), "the first one goes on");
        position.passed(0, 8, Timestamp(200));
        assert!(position.has_reached(Timestamp(201), Some(&[9, 0])));
    }

    #[test]
    fn no_time_is_reached_while_there_may_be_a_partition_that_is_not_read() {
        let mut position = two();
        position.passed(0, 5, Timestamp(200));
        position.passed(1, 0, Timestamp(200));
        assert!(position.has_reached(Timestamp(150), Some(&[9, 9])));
        assert!(!position.has_reached(Timestamp(150), None), "nobody has looked");
        assert!(!position.has_reached(Timestamp(150), Some(&[9, 9, 1])), "there is another one");
        position.ended(Timestamp(149), vec![9, 9]);
        assert!(!position.has_reached(Timestamp(150), None), "one may have been added since");
    }

    #[test]
    fn one_look_at_the_ends_answers_for_all_earlier_times_and_for_no_later_one() {
        let mut position = two();
        position.ended(Timestamp(300), vec![5, 0]);
        assert!(position.has_reached(Timestamp(300), None));
        assert!(!position.has_reached(Timestamp(301), None));
        assert_eq!(position.frontier(), Timestamp(300), "nothing is left to read up to there");
        let mut position = two();
        position.ended(Timestamp(300), vec![6, 0]);
        assert_eq!(position.frontier(), Timestamp(100));
    }

    #[test]
    fn what_retention_took_is_told_once_and_only_where_it_is_missing() {
        let shortened = || Position::new(Timestamp(100), vec![5, 7], vec![true, false]);
        let mut position = shortened();
        assert_eq!(position.passed(1, 7, Timestamp(150)), None);
        assert_eq!(position.passed(0, 5, Timestamp(150)), Some(Timestamp(150)));
        assert_eq!(position.passed(0, 6, Timestamp(160)), None);
        assert_eq!(shortened().passed(0, 5, Timestamp(99)), None, "what comes first is earlier than needed");
    }
}
