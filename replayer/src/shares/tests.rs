use std::collections::BTreeSet;

use proptest::prelude::*;
use shadow_control::{Change, ControlRecord, ControlState, Shares};
use shadow_record::LaunchName;

use super::*;

/// Partitions of the model's topic.
const PARTITIONS: usize = 4;

fn launch() -> LaunchName {
    "v2".parse().unwrap()
}

fn record(next: &Next) -> ControlRecord {
    let map = |list: &[f64]| (0..).zip(list.iter().copied()).collect();
    let change = Change::by("r1", "backlog");
    let (weights, before) = (map(&next.now), map(&next.before));
    ControlRecord::Shares(Shares { launch: launch(), weights, before, after: next.after, change })
}

fn claim(follows: i64, holds: &[(i32, i64)], heard: Instant) -> Claim {
    let holds = holds.iter().map(|(partition, lag)| (*partition, Backlog { lag: *lag, end: 1000 })).collect();
    Claim { follows, holds, heard }
}

fn terms(version: i64, before: &[f64], now: &[f64]) -> Terms {
    Terms { version, before: before.to_vec(), now: now.to_vec(), passed_over: false }
}

fn thousandths(shares: &[f64]) -> Vec<u32> {
    shares.iter().map(|share| (share * 1000.0).round() as u32).collect()
}

#[test]
fn shares_follow_demand_and_leave_nobody_out() {
    assert_eq!(weights(&[0.0, 0.0]), [0.5, 0.5]);
    assert_eq!(thousandths(&weights(&[300.0, 100.0])), [749, 251]);
    let uneven = weights(&[1e9, 0.0, 0.0]);
    assert!(uneven[1] > 0.0015 && uneven[0] > 0.99 && uneven.iter().sum::<f64>() <= 1.0, "{uneven:?}");
}

#[tokio::test(start_paused = true)]
async fn shares_are_moved_in_two_records_and_not_for_little() {
    let (start, half) = (Instant::now(), [0.5, 0.5]);
    tokio::time::advance(Duration::from_secs(5)).await;
    let now = Instant::now();
    let mut judge = Judge::default();
    let all = |follows| [claim(follows, &[(0, 9000)], now), claim(follows, &[(1, 1000)], now)];
    let moving = judge.next(&terms(-1, &half, &half), &all(-1), start, now).unwrap();
    assert_eq!((moving.after, &moving.before, thousandths(&moving.now)), (-1, &half.to_vec(), vec![898, 102]));

    let open = terms(7, &moving.before, &moving.now);
    assert_eq!((open.share(0), open.share(1), open.share(2)), (0.5, moving.now[1], 0.0), "the lesser of both");
    assert_eq!(judge.next(&open, &all(-1), start, now), None, "nobody follows yet");
    let one = [claim(7, &[(0, 9000)], now), claim(6, &[(1, 1000)], now)];
    assert_eq!(judge.next(&open, &one, start, now), None);
    let settling = judge.next(&open, &all(7), start, now).unwrap();
    assert_eq!((settling.after, &settling.before, &settling.now), (7, &moving.now, &moving.now));

    let settled = terms(8, &settling.before, &settling.now);
    let much = [claim(8, &[(0, 1000)], now), claim(8, &[(1, 9000)], now)];
    assert_eq!(judge.next(&settled, &much, start, now), None, "too soon");
    assert_eq!(judge.next(&settled, &all(8), start, now + PERIOD), None, "too little");
    assert!(judge.next(&settled, &much, start, now + PERIOD).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_stands_is_written_once_more_when_another_record_was_passed_over() {
    let (before, now) = ([0.5, 0.5], [0.7, 0.2]);
    let passed_over = Terms { passed_over: true, ..terms(7, &before, &now) };
    let again = Judge::default().next(&passed_over, &[], Instant::now(), Instant::now());
    assert_eq!(again, Some(Next { after: 7, before: before.to_vec(), now: now.to_vec() }), "it raises nothing");
}

#[tokio::test(start_paused = true)]
async fn what_arrives_counts_as_demand() {
    let start = Instant::now();
    let mut judge = Judge::default();
    let said = |now, end| {
        let holds = [(0, Backlog { lag: 0, end }), (1, Backlog { lag: 100, end: 5 })].into();
        [Claim { follows: -1, holds, heard: now }]
    };
    for second in 0..=30 {
        judge.hear(&said(Instant::now(), second * 90), Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let now = Instant::now();
    let next = judge.next(&terms(-1, &[0.5, 0.5], &[0.5, 0.5]), &said(now, 2700), start, now).unwrap();
    assert_eq!(thousandths(&next.now), [898, 102], "90/s over ten seconds beside a hundred that wait");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_on_what_was_said_before_the_partitions_moved() {
    let said = Instant::now();
    tokio::time::advance(Duration::from_millis(1)).await;
    let (since, even) = (Instant::now(), terms(-1, &[0.5, 0.5], &[0.5, 0.5]));
    tokio::time::advance(Duration::from_millis(1)).await;
    let now = Instant::now();
    let own = claim(-1, &[(0, 9000)], now);
    let next = |other| Judge::default().next(&even, &[own.clone(), other], since, now);
    assert_eq!(next(claim(-1, &[(1, 1)], said)), None);
    assert_eq!(next(claim(-1, &[], now)), None, "nobody holds partition 1");
    assert_eq!(next(claim(-1, &[(0, 1), (1, 1)], now)), None, "two hold partition 0");
    assert_eq!(next(claim(i64::MIN, &[(1, 1)], now)), None, "a member that knows no shares");
    assert_eq!(next(claim(-1, &[(1, 1), (9, 1)], now)), None, "a partition that is not there");
    assert!(next(claim(-1, &[(1, 1)], now)).is_some());
}

#[test]
fn shares_that_cannot_be_used_are_equal_ones() {
    let next = Next { after: -1, before: vec![0.9, 0.9], now: vec![0.5, 0.5] };
    let ControlRecord::Shares(shares) = record(&next) else { unreachable!("shares") };
    let (terms, refused) = Terms::of(Some(&Standing { version: 3, shares, passed_over: false }), 2);
    assert_eq!((terms.version, terms.share(0), terms.share(1)), (3, 0.5, 0.5));
    assert_eq!(refused, Some(SharesError::TooMuch(1.8)));
}

/// What happens next in the model.
#[derive(Clone, Debug)]
enum Step {
    /// A member reads so much more of the control topic.
    Control(usize, usize),
    /// A member publishes a heartbeat.
    Beat(usize),
    /// A member reads so much more of the status topic.
    Status(usize, usize),
    /// A member looks at what it knows and hands a record to its client, if it has one to write; then these are the backlogs.
    Look(usize, [u8; PARTITIONS]),
    /// The broker appends what a member handed over, even if that was lost since.
    Append(usize),
    /// Partitions are given up and taken over, by members that have read the control topic as far as it reaches then.
    Rebalance([usize; PARTITIONS]),
    /// A member loses Kafka: it stops sending, then the others stop counting on it.
    Lose(usize),
    /// A member starts.
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    let member = 0..6usize;
    prop_oneof![
        12 => (member.clone(), 1..3usize).prop_map(|(m, n)| Step::Control(m, n)),
        12 => member.clone().prop_map(Step::Beat),
        12 => (member.clone(), 1..20usize).prop_map(|(m, n)| Step::Status(m, n)),
        12 => (member.clone(), prop::array::uniform4(any::<u8>())).prop_map(|(m, lags)| Step::Look(m, lags)),
        12 => member.clone().prop_map(Step::Append),
        1 => prop::array::uniform4(0..6usize).prop_map(Step::Rebalance),
        1 => member.prop_map(Step::Lose),
        1 => Just(Step::Start),
    ]
}

#[derive(Default)]
struct Model {
    control: Vec<ControlRecord>,
    status: Vec<(usize, i64, BTreeSet<i32>)>,
    lags: [u8; PARTITIONS],
    members: Vec<Node>,
    clock: u64,
    settled: usize,
}

/// A member of the model.
struct Node {
    lost: bool,
    state: ControlState,
    read: usize,
    heard: usize,
    claims: BTreeMap<usize, (i64, BTreeSet<i32>, u64)>,
    holds: BTreeSet<i32>,
    since: u64,
    judge: Judge,
    handed_over: Option<ControlRecord>,
}

impl Node {
    fn terms(&self) -> Terms {
        Terms::of(self.state.shares.get(&launch()), PARTITIONS).0
    }
}

impl Model {
    fn start(&mut self) {
        let heard = self.status.len();
        let (state, claims) = (ControlState::empty(), BTreeMap::new());
        let (holds, judge) = (BTreeSet::new(), Judge::default());
        let node = Node { lost: false, state, read: 0, heard, claims, holds, since: 0, judge, handed_over: None };
        self.members.push(node);
    }

    fn read_control(&mut self, member: usize, most: usize) {
        let (node, mut left) = (&mut self.members[member], most);
        while left > 0 && node.read < self.control.len() {
            let record = &self.control[node.read];
            node.state.apply(node.read as i64, &record.key(), &record.encode()).unwrap();
            node.read += 1;
            left -= 1;
        }
    }

    fn beat(&mut self, member: usize) {
        let node = &self.members[member];
        self.status.push((member, node.terms().version, node.holds.clone()));
    }

    fn append(&mut self, member: usize) {
        if let Some(record) = self.members[member].handed_over.take() {
            self.control.push(record);
        }
    }

    fn apply(&mut self, step: &Step, zero: Instant) {
        self.clock += 1;
        let now = self.clock;
        let live: Vec<usize> = (0..self.members.len()).filter(|m| !self.members[*m].lost).collect();
        let pick = |m: &usize| live.get(m % live.len().max(1)).copied();
        match step {
            Step::Start if live.len() < 3 => self.start(),
            Step::Start => {}
            Step::Control(m, most) => drop(pick(m).map(|m| self.read_control(m, *most))),
            Step::Beat(m) => drop(pick(m).map(|m| self.beat(m))),
            Step::Status(m, most) => {
                let Some(m) = pick(m) else { return };
                let node = &mut self.members[m];
                let to = self.status.len().min(node.heard + most);
                for (who, follows, holds) in &self.status[node.heard..to] {
                    node.claims.insert(*who, (*follows, holds.clone(), now));
                }
                node.heard = to;
            }
            Step::Look(m, lags) => {
                self.lags = *lags;
                let Some(m) = pick(m) else { return };
                let lost: Vec<bool> = self.members.iter().map(|node| node.lost).collect();
                let node = &mut self.members[m];
                if !node.holds.contains(&0) || node.handed_over.is_some() {
                    return;
                }
                let at = |clock: u64| zero + PERIOD * clock as u32;
                let claims: Vec<_> = node.claims.iter().filter(|(who, _)| !lost[**who]).map(|(_, said)| said).collect();
                let backlog = |p: &i32| (*p, Backlog { lag: i64::from(lags[*p as usize]), end: 0 });
                let claims: Vec<_> = claims
                    .into_iter()
                    .map(|(follows, holds, heard)| Claim {
                        follows: *follows,
                        holds: holds.iter().map(backlog).collect(),
                        heard: at(*heard),
                    })
                    .collect();
                let next = node.judge.next(&node.terms(), &claims, at(node.since), at(now));
                self.settled += usize::from(next.as_ref().is_some_and(|next| next.before == next.now));
                node.handed_over = next.as_ref().map(record);
            }
            Step::Append(m) => self.append(m % self.members.len()),
            Step::Rebalance(owners) => {
                if live.is_empty() {
                    return;
                }
                for m in 0..self.members.len() {
                    // What was handed over is waited for, unless its writer was lost.
                    if !self.members[m].lost {
                        self.append(m);
                    }
                    if !std::mem::take(&mut self.members[m].holds).is_empty() && !self.members[m].lost {
                        self.beat(m);
                    }
                    self.members[m].since = now;
                }
                live.iter().for_each(|m| self.read_control(*m, usize::MAX));
                for (partition, owner) in (0..).zip(owners) {
                    self.members[live[owner % live.len()]].holds.insert(partition);
                }
            }
            Step::Lose(m) if live.len() > 1 => drop(pick(m).map(|m| self.members[m].lost = true)),
            Step::Lose(_) => {}
        }
    }

    fn used(&self) -> f64 {
        let shares = self.members.iter().filter(|node| !node.lost).flat_map(|node| {
            let terms = node.terms();
            node.holds.iter().map(move |partition| terms.share(*partition))
        });
        shares.sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn members_never_use_more_than_the_whole_rate(steps in prop::collection::vec(step(), 1..500)) {
        let mut model = Model::default();
        let zero = Instant::now();
        model.start();
        model.start();
        model.apply(&Step::Rebalance([0, 1, 0, 1]), zero);
        for (n, step) in steps.iter().enumerate() {
            model.apply(step, zero);
            let used = model.used();
            prop_assert!(used <= 1.0 + 1e-6, "step {n}, {step:?}: {used} of the rate is used");
        }
    }
}

#[tokio::test]
async fn the_models_members_move_shares_at_all() {
    let (mut model, zero) = (Model::default(), Instant::now());
    model.start();
    model.start();
    model.apply(&Step::Rebalance([0, 1, 0, 1]), zero);
    for round in 0..20u8 {
        for member in 0..2 {
            model.apply(&Step::Control(member, 9), zero);
            model.apply(&Step::Beat(member), zero);
        }
        model.apply(&Step::Status(0, 99), zero);
        model.apply(&Step::Look(0, [round.wrapping_mul(40), 10, 20, 30]), zero);
        model.apply(&Step::Append(0), zero);
        assert!(model.used() <= 1.0 + 1e-6);
    }
    assert!(model.settled >= 5, "{} moves", model.settled);
}
