//! The join against a model that reads both whole logs at once, under random logs, interleavings and crashes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Row = Settled<i64, u32, u8>;

#[derive(Clone, Debug)]
enum Log {
    Outcome { offset: i64, id: u32 },
    Range { first: i64, last: i64, reason: u8 },
    Unusable,
}

#[derive(Clone, Debug)]
struct World {
    start: i64,
    end: i64,
    captured: BTreeSet<i64>,
    replayed: Vec<(Log, i64)>,
}

/// A replayer that finishes in any order within a window, repeats itself after restarts, and whose records may rot.
fn world() -> impl Strategy<Value = World> {
    let step = (0u8..10, 0usize..6, any::<prop::sample::Index>());
    (0i64..3, 1i64..40, prop::collection::vec(any::<bool>(), 40), prop::collection::vec(step, 0..120), 0u8..4).prop_map(
        |(start, len, present, steps, rot)| {
            let end = start + len;
            let captured = (start..end).filter(|o| present[*o as usize % 40] || o % 8 > 5).collect();
            let mut replayed = Vec::new();
            let mut spoken: BTreeSet<i64> = BTreeSet::new();
            let low = |spoken: &BTreeSet<i64>| (start..=end).find(|o| !spoken.contains(o)).unwrap_or(end);
            let mut committed = start;
            for (number, (kind, reach, pick)) in steps.into_iter().enumerate() {
                let at = low(&spoken);
                if kind == 0 {
                    // A restart: it forgets what it did beyond what it committed.
                    spoken.retain(|o| *o < committed);
                    continue;
                }
                if kind == 1 {
                    committed = at;
                    continue;
                }
                let open: Vec<i64> = (at..(at + 6).min(end)).filter(|o| !spoken.contains(o)).collect();
                let Some(&first) = open.get(pick.index(open.len().max(1))) else { continue };
                let rotten = rot > 0 && number % 5 == 3;
                if kind < 4 {
                    let mut last = first;
                    while last - first < reach as i64 && last + 1 < end && !spoken.contains(&(last + 1)) {
                        last += 1;
                    }
                    let log = Log::Range { first, last, reason: number as u8 };
                    replayed.push((if rotten { Log::Unusable } else { log }, at));
                    spoken.extend(first..=last);
                } else {
                    let log = Log::Outcome { offset: first, id: number as u32 };
                    replayed.push((if rotten { Log::Unusable } else { log }, at));
                    spoken.insert(first);
                }
            }
            World { start, end, captured, replayed }
        },
    )
}

/// What each offset must come to, from both whole logs.
fn model(world: &World) -> BTreeMap<i64, (Option<i64>, String, i64)> {
    let mut told: BTreeMap<i64, (String, i64, bool)> = BTreeMap::new();
    for (at, (log, watermark)) in world.replayed.iter().enumerate() {
        let at = at as i64;
        let mut tell = |offset: i64, what: String, range: bool| {
            told.entry(offset).or_insert((what, at, range));
        };
        match log {
            Log::Unusable => continue,
            Log::Outcome { offset, id } => {
                (world.start..*watermark.min(offset)).for_each(|o| tell(o, "lost".into(), false));
                tell(*offset, format!("outcome {id}"), false);
            }
            Log::Range { first, last, reason } => {
                (world.start..*watermark.min(first)).for_each(|o| tell(o, "lost".into(), false));
                (*first..=*last).for_each(|o| tell(o, format!("range {reason}"), true));
            }
        }
    }
    told.into_iter()
        .map(|(offset, (what, at, range))| {
            let captured = (!range).then(|| world.captured.get(&offset).copied()).flatten();
            (offset, (captured, what, at))
        })
        .collect()
}

/// A table whose rows replace each other by identity; an overlap that is not a replacement is a defect.
#[derive(Default)]
struct Table {
    rows: BTreeMap<i64, (Option<i64>, String, i64)>,
    spans: BTreeMap<i64, i64>,
}

impl Table {
    fn insert(&mut self, row: Row) {
        match row {
            Settled::Pair { offset, captured, outcome, replayed_at } => {
                let what = outcome.map_or("lost".to_owned(), |id| format!("outcome {id}"));
                self.put(offset, (captured, what, replayed_at));
                assert_eq!(*self.spans.entry(offset).or_insert(offset), offset);
            }
            Settled::Skipped { first, last, range, replayed_at } => {
                (first..=last).for_each(|o| self.put(o, (None, format!("range {range}"), replayed_at)));
                assert_eq!(*self.spans.entry(first).or_insert(last), last, "the same range is cut alike");
            }
            Settled::Lost { first, last, replayed_at } => {
                (first..=last).for_each(|o| self.put(o, (None, "lost".to_owned(), replayed_at)));
                assert_eq!(*self.spans.entry(first).or_insert(last), last, "the same gap is cut alike");
            }
        }
    }

    fn put(&mut self, offset: i64, row: (Option<i64>, String, i64)) {
        let stored = self.rows.entry(offset).or_insert_with(|| row.clone());
        assert_eq!(*stored, row, "offset {offset} is stored again identically");
    }

    fn covered(&self) -> i64 {
        self.spans.iter().map(|(first, last)| last - first + 1).sum()
    }
}

/// The consumer: reads both logs in the order the choices say, stores and commits at some, dies at others.
fn consume(world: &World, choices: &[u8], limits: Limits) -> (Table, CommitPoint) {
    let mut table = Table::default();
    let mut committed = CommitPoint { captured: world.start, replayed: 0 };
    let captured: Vec<i64> = world.captured.iter().copied().collect();
    let mut choices = choices.iter().copied();
    'life: loop {
        let mut join: Join<i64, u32, u8> = Join::new(committed.captured, committed.replayed, limits);
        let mut next_captured = captured.partition_point(|o| *o < committed.captured);
        let mut next_replayed = committed.replayed as usize;
        loop {
            // The choices are finite, so both logs are read to their ends at last.
            let choice = choices.next().unwrap_or(2);
            let flow = join.flow();
            assert!(!(flow.hold_captured && flow.hold_replayed), "back-pressure must not stop both cursors");
            match choice % 8 {
                0 if choice < 64 => {
                    // It may die between storing and committing.
                    if choice < 48 {
                        join.take_settled().into_iter().for_each(|row| table.insert(row));
                    }
                    continue 'life;
                }
                0 | 1 => {
                    join.take_settled().into_iter().for_each(|row| table.insert(row));
                    if choice < 128 {
                        continue;
                    }
                    let point = join.commit_point();
                    assert!(point.captured >= committed.captured && point.replayed >= committed.replayed);
                    committed = point;
                }
                // The consumer's position moves over offsets that do not exist.
                turn if choice >= 128 && turn < 4 => {
                    let next = captured.get(next_captured).copied().unwrap_or(world.end);
                    let from = join.captured_next();
                    if from < next && !flow.hold_captured {
                        join.captured_gap(from + 1 + i64::from(choice) % (next - from));
                    }
                }
                turn => {
                    let (captured_end, replayed_end) =
                        (next_captured == captured.len(), next_replayed == world.replayed.len());
                    let can_captured = !captured_end && !flow.hold_captured;
                    let can_replayed = !replayed_end && !flow.hold_replayed;
                    if can_captured && (turn < 5 || !can_replayed) {
                        join.captured(captured[next_captured], captured[next_captured], 1);
                        next_captured += 1;
                    } else if can_replayed {
                        feed(&mut join, next_replayed as i64, &world.replayed[next_replayed]);
                        next_replayed += 1;
                    } else if captured_end && flow.hold_replayed {
                        join.captured_gap(world.end);
                    } else {
                        assert!(replayed_end, "only the end of the replayed log may stop the join");
                        join.captured_gap(if captured_end { world.end } else { 0 });
                        join.take_settled().into_iter().for_each(|row| table.insert(row));
                        return (table, join.commit_point());
                    }
                }
            }
        }
    }
}

fn feed(join: &mut Join<i64, u32, u8>, at: i64, (log, low_watermark): &(Log, i64)) {
    let record = Replayed { at, low_watermark: *low_watermark };
    match log {
        Log::Outcome { offset, id } => drop(join.outcome(record, *offset, *id, 1)),
        Log::Range { first, last, reason } => drop(join.skipped(record, *first, *last, reason)),
        Log::Unusable => join.unusable(at),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_interleaving_and_every_crash_stores_what_the_model_says(
        world in world(),
        choices in prop::collection::vec(any::<u8>(), 0..300),
        bound in 1i64..60,
    ) {
        let limits = Limits {
            ahead_records: bound, ahead_bytes: bound as usize, waiting: bound as usize, waiting_bytes: bound as usize,
        };
        let (table, end) = consume(&world, &choices, limits);
        let expected = model(&world);
        // With the captured cursor stopped by back-pressure, nothing that was spoken of is out of its reach.
        prop_assert_eq!(&table.rows, &expected);
        prop_assert_eq!(table.covered(), expected.len() as i64, "no offset is covered twice");
        let low = (world.start..).find(|o| !expected.contains_key(o)).expect("the log is finite");
        prop_assert_eq!(end.captured, low);
    }
}

fn join() -> Join<&'static str, &'static str, &'static str> {
    Join::new(0, 0, Limits::default())
}

fn at(at: i64, low_watermark: i64) -> Replayed {
    Replayed { at, low_watermark }
}

#[test]
fn an_outcome_waits_for_its_captured_record_and_holds_the_commit_back() {
    let mut join = join();
    assert!(join.outcome(at(0, 0), 1, "b", 1));
    assert!(join.take_settled().is_empty());
    join.captured(0, "A", 1);
    join.captured(1, "B", 1);
    let pair = Settled::Pair { offset: 1, captured: Some("B"), outcome: Some("b"), replayed_at: 0 };
    assert_eq!(join.take_settled(), [pair]);
    assert_eq!(join.commit_point(), CommitPoint { captured: 0, replayed: 0 });
    assert!(join.outcome(at(1, 0), 0, "a", 1));
    assert_eq!(join.commit_point(), CommitPoint { captured: 2, replayed: 2 });
}

#[test]
fn the_first_outcome_wins_and_a_range_is_cut_around_it() {
    let mut join = join();
    assert!(join.outcome(at(0, 0), 2, "first", 1));
    assert!(!join.outcome(at(1, 0), 2, "second", 1));
    assert_eq!(join.skipped(at(2, 0), 0, 4, &"why"), 1);
    let cut: Vec<_> = join.take_settled();
    let part = |first, last| Settled::Skipped { first, last, range: "why", replayed_at: 2 };
    assert_eq!(cut, [part(0, 1), part(3, 4)]);
    assert_eq!(join.low(), 2);
    join.captured(2, "C", 1);
    assert_eq!(join.low(), 5);
}

#[test]
fn what_a_watermark_promised_and_nobody_said_is_lost_and_not_waited_for() {
    let mut join = join();
    join.captured(0, "A", 1);
    join.captured(2, "C", 1);
    join.unusable(0);
    assert!(join.outcome(at(1, 4), 4, "e", 1));
    let lost = |offset, captured| Settled::Pair { offset, captured: Some(captured), outcome: None, replayed_at: 1 };
    let gap = Settled::Lost { first: 1, last: 1, replayed_at: 1 };
    assert_eq!(join.take_settled(), [lost(0, "A"), gap, lost(2, "C")]);
    join.captured(3, "D", 1);
    assert_eq!(join.take_settled(), [lost(3, "D")]);
    assert_eq!(join.commit_point(), CommitPoint { captured: 4, replayed: 1 });
}

#[test]
fn a_lost_gap_is_whole_wherever_the_captured_cursor_stood() {
    let settled = |passed: i64| {
        let mut join = join();
        join.captured_gap(passed);
        assert!(join.outcome(at(0, 4), 4, "e", 1));
        join.captured(3, "D", 1);
        join.take_settled()
    };
    let gap = Settled::Lost { first: 0, last: 2, replayed_at: 0 };
    let existing = Settled::Pair { offset: 3, captured: Some("D"), outcome: None, replayed_at: 0 };
    for passed in 0..3 {
        assert_eq!(settled(passed), [gap.clone(), existing.clone()]);
    }
}

#[test]
fn an_outcome_whose_captured_record_is_gone_is_settled_without_it() {
    let mut join = join();
    assert!(join.outcome(at(0, 0), 0, "a", 1));
    join.captured_gap(5);
    assert_eq!(join.take_settled(), [Settled::Pair { offset: 0, captured: None, outcome: Some("a"), replayed_at: 0 }]);
    assert_eq!(join.low(), 1);
}

#[test]
fn a_cursor_stopped_at_its_limit_goes_on_at_half_of_it() {
    let limits = Limits { ahead_records: 4, ..Limits::default() };
    let mut join: Join<i64, u32, u8> = Join::new(0, 0, limits);
    (0..5).for_each(|o| join.captured(o, o, 1));
    assert!(join.flow().hold_captured);
    join.skipped(at(0, 0), 0, 1, &0);
    assert!(join.flow().hold_captured, "three ahead is above half");
    join.skipped(at(1, 2), 2, 2, &0);
    assert!(!join.flow().hold_captured);
}
