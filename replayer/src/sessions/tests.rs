use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn key(session: u8) -> Bytes {
    Bytes::from(vec![session])
}

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn pop<T>(sessions: &mut Sessions<T>) -> Option<(T, Option<SessionId>)> {
    sessions.pop(Instant::now(), |_| {})
}

#[test]
fn lanes_take_turns_and_keep_their_order() {
    let mut lanes = Sessions::default();
    for (lane, item) in [(0, "a1"), (0, "a2"), (0, "a3"), (1, "b1"), (2, "c1"), (2, "c2")] {
        lanes.push(lane, None, item);
    }
    let mut taken: Vec<_> = (0..4).map_while(|_| pop(&mut lanes)).collect();
    lanes.push(1, None, "b2");
    taken.extend(std::iter::from_fn(|| pop(&mut lanes)));
    let taken: Vec<_> = taken.into_iter().map(|(item, _)| item).collect();
    assert_eq!(taken, ["a1", "b1", "c1", "a2", "b2", "c2", "a3"]);
}

#[test]
fn what_was_passed_over_goes_before_what_came_later() {
    let (mut sessions, now) = (Sessions::default(), Instant::now());
    for (session, item) in [(1, "a1"), (1, "a2"), (2, "b1"), (1, "a3"), (3, "c1")] {
        sessions.push(0, Some(key(session)), item);
    }
    let mut passed = Vec::new();
    let (first, a) = pop(&mut sessions).unwrap();
    let second = sessions.pop(now, |item| passed.push(*item)).unwrap().0;
    assert_eq!((first, second, &passed[..], sessions.behind()), ("a1", "b1", &["a2"][..], 1));
    sessions.end(&a.unwrap(), now);
    let rest: Vec<_> = std::iter::from_fn(|| pop(&mut sessions)).map(|(item, _)| item).collect();
    assert_eq!(rest, ["a2", "c1"]);
    assert_eq!(sessions.successor(&(0, key(1))), Some(&mut "a3"));
}

#[test]
fn a_stuck_session_loses_its_later_requests_and_no_other() {
    let (mut sessions, start) = (Sessions::default(), Instant::now());
    for (session, item) in [(1, "a1"), (1, "a2"), (2, "b1"), (2, "b2"), (1, "a3")] {
        sessions.push(0, Some(key(session)), item);
    }
    let (_, a) = pop(&mut sessions).unwrap();
    let (_, b) = pop(&mut sessions).unwrap();
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(pop(&mut sessions), None);
    assert_eq!(sessions.stuck(start + second(1000), |_| second(1)), [""; 0], "nothing is in flight");

    sessions.sent(&a, start);
    sessions.sent(&b, start);
    sessions.end(&b, start + second(1));
    assert_eq!(pop(&mut sessions).unwrap().0, "b2");
    sessions.push(0, Some(key(1)), "a4");
    assert_eq!(sessions.pop(start + second(6), |_| {}), None);
    assert_eq!(sessions.stuck(start + second(9), |_| second(10)), [""; 0]);
    assert_eq!(sessions.stuck(start + second(11), |_| second(10)), ["a2", "a3"]);
    assert_eq!((sessions.stuck(start + second(15), |_| second(10)), sessions.behind()), (vec![], 1));
    sessions.end(&a, start + second(15));
    assert_eq!(pop(&mut sessions).unwrap().0, "a4");
}

#[test]
fn only_time_in_flight_counts_towards_the_limit() {
    let (mut sessions, start) = (Sessions::default(), Instant::now());
    for item in 1..=4 {
        sessions.push(0, Some(key(1)), item);
    }
    let mut now = start;
    for turn in 1..=2 {
        let (item, a) = sessions.pop(now, |_| {}).unwrap();
        assert_eq!((item, sessions.pop(now, |_| {})), (turn, None));
        // It waits a day for its slot, and four seconds for its answer.
        now += second(86_400);
        sessions.sent(a.as_ref().unwrap(), now);
        assert_eq!(sessions.stuck(now, |_| second(5)), [0; 0]);
        now += second(4);
        let stuck = sessions.stuck(now, |_| second(5));
        assert_eq!(stuck, if turn == 1 { vec![] } else { vec![3, 4] }, "eight seconds in all");
        sessions.end(a.as_ref().unwrap(), now);
    }
    assert_eq!(pop(&mut sessions), None);
    assert!(sessions.busy.is_empty() && sessions.lanes.is_empty() && sessions.in_flight.is_empty());
}

#[test]
fn in_a_crowded_lane_sessions_are_stuck_sooner() {
    let (mut sessions, start) = (Sessions::default(), Instant::now());
    for (lane, item) in [(0, "a1"), (0, "a2"), (0, "a3"), (1, "b1"), (1, "b2")] {
        sessions.push(lane, Some(key(1)), item);
    }
    for _ in 0..2 {
        let (_, session) = sessions.pop(start, |_| {}).unwrap();
        sessions.sent(&session.unwrap(), start);
    }
    assert_eq!(sessions.pop(start, |_| {}), None);
    assert_eq!((sessions.behind_in(0), sessions.behind_in(1), sessions.behind_in(2)), (2, 1, 0));
    let limit = |lane| second(if lane == 0 { 3 } else { 30 });
    assert_eq!(sessions.stuck(start + second(2), limit), [""; 0]);
    assert_eq!(sessions.stuck(start + second(3), limit), ["a2", "a3"]);
    assert_eq!((sessions.behind_in(0), sessions.behind_in(1)), (0, 1));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Comes to wait in a lane, in a session of it or in none.
    Push(i32, Option<u8>),
    Pop,
    /// Something that is out is sent, or its turn ends.
    Sent(usize),
    End(usize),
    /// A second passes, and what has waited for three is stuck.
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3, proptest::option::of(0..4u8)).prop_map(|(lane, session)| Step::Push(lane, session)),
        3 => Just(Step::Pop),
        1 => any::<usize>().prop_map(Step::Sent),
        2 => any::<usize>().prop_map(Step::End),
        1 => Just(Step::Tick),
    ]
}

type Item = (i32, Option<u8>, usize);

#[test]
fn by_a_key_the_least_goes_first_whatever_its_lane() {
    let mut sessions = Sessions::default();
    let session = |name: &'static str| Some(Bytes::from_static(name.as_bytes()));
    sessions.least_first(Some(|item: &i64| *item));
    for (lane, key, item) in [(0, session("a"), 10), (0, session("a"), 30), (1, None, 20), (1, None, 40)] {
        sessions.push(lane, key, item);
    }
    let now = Instant::now();
    let (first, a) = pop(&mut sessions).unwrap();
    let second = pop(&mut sessions).unwrap().0;
    assert_eq!((first, second, sessions.peek(now, |_| {})), (10, 20, Some(&40)), "30 waits for its session");
    sessions.end(&a.unwrap(), now);
    assert_eq!(sessions.peek(now, |_| {}), Some(&30));
    sessions.least_first(None);
    assert_eq!(std::iter::from_fn(|| pop(&mut sessions)).map(|(item, _)| item).collect::<Vec<_>>(), [30, 40]);
}

proptest! {
    #[test]
    fn everything_gets_out_once_and_sessions_in_order(steps in proptest::collection::vec(step(), 1..200)) {
        let mut sessions = Sessions::default();
        let (mut now, mut pushed) = (Instant::now(), 0usize);
        let mut out: Vec<(Item, Option<SessionId>)> = Vec::new();
        let mut seen: Vec<Item> = Vec::new();
        let mut waiting: BTreeSet<Item> = BTreeSet::new();
        let pop = |sessions: &mut Sessions<Item>, now, out: &mut Vec<(Item, Option<SessionId>)>, seen: &mut Vec<Item>,
                       waiting: &mut BTreeSet<Item>| {
            let Some((item, session)) = sessions.pop(now, |_| {}) else {
                // Only a busy session is waited for.
                for (lane, session, _) in waiting.iter() {
                    let busy = session.is_some_and(|s| out.iter().any(|(_, id)| id == &Some((*lane, key(s)))));
                    prop_assert!(busy, "{:?} could go", (lane, session));
                }
                return Ok(false);
            };
            prop_assert_eq!(session.clone(), item.1.map(|s| (item.0, key(s))));
            prop_assert!(session.is_none() || out.iter().all(|(_, other)| *other != session), "two at a time");
            prop_assert!(waiting.remove(&item));
            seen.push(item);
            out.push((item, session));
            Ok(true)
        };
        for step in steps {
            match step {
                Step::Push(lane, session) => {
                    sessions.push(lane, session.map(key), (lane, session, pushed));
                    waiting.insert((lane, session, pushed));
                    pushed += 1;
                }
                Step::Pop => drop(pop(&mut sessions, now, &mut out, &mut seen, &mut waiting)?),
                Step::Sent(which) if !out.is_empty() => {
                    if let (_, Some(session)) = &out[which % out.len()] {
                        sessions.sent(session, now);
                    }
                }
                Step::End(which) if !out.is_empty() => {
                    let (_, session) = out.swap_remove(which % out.len());
                    session.iter().for_each(|session| sessions.end(session, now));
                }
                Step::Sent(_) | Step::End(_) => {}
                Step::Tick => {
                    now += second(1);
                    // Lanes are more or less crowded.
                    for item in sessions.stuck(now, |lane| second(1 + lane as u64)) {
                        let id = item.1.map(|s| (item.0, key(s)));
                        prop_assert!(id.is_some() && out.iter().any(|(_, other)| *other == id), "nothing before it is out");
                        prop_assert!(waiting.remove(&item));
                        seen.push(item);
                    }
                }
            }
        }
        // Whatever is out ends, until nothing is left.
        loop {
            for (_, session) in out.drain(..) {
                session.iter().for_each(|session| sessions.end(session, now));
            }
            if !pop(&mut sessions, now, &mut out, &mut seen, &mut waiting)? {
                break;
            }
        }
        prop_assert!(waiting.is_empty() && sessions.behind() == 0 && sessions.busy.is_empty());
        prop_assert_eq!(seen.len(), pushed);
        let mut last: BTreeMap<(i32, u8), usize> = BTreeMap::new();
        for (lane, session, number) in seen {
            if let Some(session) = session {
                let before = last.insert((lane, session), number);
                prop_assert!(before.is_none_or(|before| before < number), "{number} after {before:?}");
            }
        }
    }
}
