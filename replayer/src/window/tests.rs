use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { records: 4, bytes: 100 };

fn range(first: i64, last: i64, reason: SkipReason) -> Range {
    Range { first, last, reason }
}

#[test]
fn the_watermark_waits_for_the_oldest_outcome() {
    let now = Instant::now();
    let mut window = Window::new(10, LIMITS);
    for offset in 10..13 {
        assert_eq!(window.read(offset, 1, now), []);
    }
    window.acknowledge(11);
    window.acknowledge(12);
    assert_eq!((window.low_watermark(), window.to_commit()), (10, None));
    assert_eq!((window.unfinished(), window.held()), (1, 3));
    window.acknowledge(10);
    assert_eq!((window.low_watermark(), window.to_commit()), (13, Some(13)));
    window.committed(13);
    assert_eq!(window.to_commit(), None);
}

#[test]
fn a_gap_and_a_run_become_ranges_when_another_kind_of_record_follows() {
    let now = Instant::now();
    let mut window = Window::new(0, LIMITS);
    assert_eq!(window.skip(range(0, 0, SkipReason::SampledOut), now), []);
    assert_eq!(window.skip(range(1, 1, SkipReason::SampledOut), now), []);
    assert_eq!(window.skip(range(2, 2, SkipReason::Filtered), now), [range(0, 1, SkipReason::SampledOut)]);
    let closed = window.read(6, 1, now);
    assert_eq!(closed, [range(2, 2, SkipReason::Filtered), range(3, 5, SkipReason::NoRecord)]);
    assert_eq!(window.low_watermark(), 0);
    for first in [0, 2, 3, 6] {
        window.acknowledge(first);
    }
    assert_eq!(window.to_commit(), Some(7));
}

#[test]
fn an_open_run_holds_the_watermark_until_it_is_old_or_long() {
    let start = Instant::now();
    let mut window = Window::new(0, LIMITS);
    window.skip(range(0, 0, SkipReason::SampledOut), start);
    assert_eq!(window.close_old_run(start), None);
    assert_eq!(window.low_watermark(), 0);
    let closed = window.close_old_run(start + OLDEST_RUN);
    assert_eq!(closed, Some(range(0, 0, SkipReason::SampledOut)));
    let long = range(1, LONGEST_RUN, SkipReason::SampledOut);
    assert_eq!(window.skip(long, start), [long]);
}

#[test]
fn reading_pauses_at_either_limit_and_resumes_below_half() {
    let now = Instant::now();
    let mut window = Window::new(0, LIMITS);
    for offset in 0..4 {
        assert!(!window.is_full());
        window.read(offset, 1, now);
    }
    assert!(window.is_full());
    window.acknowledge(0);
    assert!(!window.is_full() && !window.has_room());
    window.acknowledge(1);
    assert!(window.has_room());
    window.read(4, 98, now);
    assert!(window.is_full() && !window.has_room());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read { gap: i64, bytes: usize },
    Skip { gap: i64, length: i64, reason: SkipReason },
    Acknowledge(prop::sample::Index),
    Wait(u64),
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    let gap = || prop_oneof![8 => Just(0i64), 1 => 1..5i64];
    let reason = prop_oneof![Just(SkipReason::SampledOut), Just(SkipReason::Filtered), Just(SkipReason::Expired)];
    let length = prop_oneof![8 => 1..4i64, 1 => 9_000..12_000i64];
    prop_oneof![
        4 => (gap(), 0..50usize).prop_map(|(gap, bytes)| Step::Read { gap, bytes }),
        3 => (gap(), length, reason).prop_map(|(gap, length, reason)| Step::Skip { gap, length, reason }),
        5 => any::<prop::sample::Index>().prop_map(Step::Acknowledge),
        1 => (0..600u64).prop_map(Step::Wait),
        1 => Just(Step::Commit),
    ]
}

/// What the outside world knows: every offset's one cover, and which covers are acknowledged.
#[derive(Default)]
struct Account {
    covers: BTreeMap<i64, i64>,
    outstanding: BTreeSet<i64>,
}

impl Account {
    fn publish(&mut self, first: i64, last: i64) {
        assert!(self.covers.insert(first, last).is_none(), "{first} was covered before");
        self.outstanding.insert(first);
    }
}

proptest! {
    #[test]
    fn every_offset_is_covered_once_and_commits_never_pass_what_is_outstanding(
        start in 0..1000i64, steps in prop::collection::vec(step(), 1..200)
    ) {
        let mut now = Instant::now();
        let mut window = Window::new(start, LIMITS);
        let mut account = Account::default();
        let (mut next, mut committed) = (start, start);
        for step in steps {
            let closed = match step {
                Step::Read { gap, bytes } => {
                    let offset = next + gap;
                    next = offset + 1;
                    let closed = window.read(offset, bytes, now);
                    account.publish(offset, offset);
                    closed
                }
                Step::Skip { gap, length, reason } => {
                    let skipped = range(next + gap, next + gap + length - 1, reason);
                    next = skipped.last + 1;
                    window.skip(skipped, now)
                }
                Step::Acknowledge(index) if !account.outstanding.is_empty() => {
                    let at = index.index(account.outstanding.len());
                    let first = *account.outstanding.iter().nth(at).expect("the index is in range");
                    account.outstanding.remove(&first);
                    window.acknowledge(first);
                    Vec::new()
                }
                Step::Acknowledge(_) => Vec::new(),
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    window.close_old_run(now).into_iter().collect()
                }
                Step::Commit => {
                    if let Some(position) = window.to_commit() {
                        prop_assert!(position > committed);
                        window.committed(position);
                        committed = position;
                    }
                    Vec::new()
                }
            };
            closed.into_iter().for_each(|range| account.publish(range.first, range.last));

            let low = window.low_watermark();
            let unpublished = account.covers.last_key_value().map_or(start, |(_, last)| last + 1);
            let truth = account.outstanding.first().copied().unwrap_or(unpublished.min(next));
            prop_assert_eq!(low, truth, "the watermark is the lowest offset without an acknowledged outcome");
            prop_assert!(committed <= low);
        }

        account.covers.extend(window.close_run().map(|range| (range.first, range.last)));
        let mut covered = start;
        for (first, last) in &account.covers {
            prop_assert_eq!(*first, covered, "covers follow one another without gap or overlap");
            covered = last + 1;
        }
        prop_assert_eq!(covered, next);
    }
}
