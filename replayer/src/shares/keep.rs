//! A member's part of its launch's rate: follows the control topic, says so in heartbeats, moves the shares when that falls to
//! this member, and notices who else may send (`alone`).
//!
//! Guarantees: a new rate or new shares reach the pacer at once, whatever the member is doing; terms are acknowledged only when the
//! pacer has them; nothing of a limited rate is used before the control topic was read as far as it reached when the partitions were
//! taken over; nothing is written to it after [`Keeper::give_up`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use shadow_control::{Change, ControlRecord, ControlWriter, Fellow, Launch, LaunchStatus, Shares};
use shadow_kafka::Admin;
use shadow_record::{LaunchName, topics};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{Backlog, Claim, Judge, Next, Terms};
use crate::pace::{Pace, Tempo};
use crate::pipeline::Line;

/// Between looks at the fellow members.
const LOOK: Duration = Duration::from_millis(100);
/// Between questions for the ends of the partitions.
const ASK: Duration = Duration::from_secs(1);
/// Longest wait for the control topic's end before it is asked for again.
const CONTROL: Duration = Duration::from_secs(3);
/// Longest wait for a record that is being written while partitions are given up.
const LAST_WORD: Duration = Duration::from_millis(1500);
/// Counter with the version of the terms that a member follows.
const FOLLOWS: &str = "shares";
/// Counters of what a member holds; the partition's number follows.
const LAG: &str = "lag.";
const END: &str = "end.";

/// The task, its partitions and its tempo.
pub(crate) struct Keeper {
    line: Arc<Line>,
    held: watch::Sender<Held>,
    tempo: watch::Receiver<Tempo>,
    /// Taken while a record is on its way.
    writing: Arc<Mutex<()>>,
    tasks: [AbortHandle; 3],
}

/// The partitions of this member.
#[derive(Clone)]
struct Held {
    partitions: BTreeSet<i32>,
    /// Since when.
    since: Instant,
    stage: Stage,
}

/// How far the partitions are this member's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Taken over; it is not known yet what the control topic held then.
    Taken,
    /// Their shares are used and spoken of once this version is known.
    Held(i64),
    /// Their shares are used for what still leaves, but nobody is to count on this member's word any more.
    Leaving(i64),
}

impl Held {
    fn now(partitions: BTreeSet<i32>) -> Self {
        Self { partitions, since: Instant::now(), stage: Stage::Taken }
    }

    /// Whether their shares are used, and whether heartbeats speak of them, by who knows the control topic up to `version`.
    fn stands(&self, version: i64) -> (bool, bool) {
        match self.stage {
            Stage::Taken => (false, false),
            Stage::Held(from) => (version >= from, version >= from),
            Stage::Leaving(from) => (version >= from, false),
        }
    }
}

struct Task {
    line: Arc<Line>,
    captured: Arc<str>,
    partitions: usize,
    held: watch::Receiver<Held>,
    tempo: watch::Sender<Tempo>,
    writing: Arc<Mutex<()>>,
    writer: ControlWriter,
    /// Version of the last record that this member wrote.
    written: Arc<AtomicI64>,
    terms: Terms,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Keeper {
    /// Begins without partitions, so with nothing of a limited rate.
    pub(crate) fn start(line: Arc<Line>, captured: Arc<str>, partitions: usize, admin: Admin) -> Self {
        let (held, follow_held) = watch::channel(Held::now(BTreeSet::new()));
        let tempo = watch::Sender::new(Tempo::of(Pace::Halted, line.launch().replay.timing));
        let follow = tempo.subscribe();
        let writing = Arc::new(Mutex::new(()));
        let asking = tokio::spawn(ask(line.clone(), captured.clone(), follow_held.clone(), admin.clone()));
        let knowing = tokio::spawn(know(held.clone(), admin));
        let task = Task {
            writer: ControlWriter::over(line.publisher.producer.clone(), &line.kafka),
            terms: Terms::of(None, partitions).0,
            written: Arc::new(AtomicI64::new(-1)),
            captured,
            partitions,
            held: follow_held,
            tempo,
            writing: writing.clone(),
            line: line.clone(),
        };
        let keeping = tokio::spawn(task.run());
        let tasks = [asking, knowing, keeping].map(|task| task.abort_handle());
        Self { line, held, tempo: follow, writing, tasks }
    }

    /// What the pacer follows.
    pub(crate) fn tempo(&self) -> watch::Receiver<Tempo> {
        self.tempo.clone()
    }

    /// These partitions are this member's now.
    pub(crate) fn hold(&self, partitions: impl Iterator<Item = i32>) {
        self.held.send_replace(Held::now(partitions.collect()));
    }

    /// The partitions are drained from now on: what others have overtaken leaves at the rate. Waits until this member writes nothing more.
    pub(crate) async fn give_up(&self) {
        self.held.send_modify(|held| match held.stage {
            Stage::Held(from) | Stage::Leaving(from) => held.stage = Stage::Leaving(from),
            Stage::Taken => *held = Held::now(BTreeSet::new()),
        });
        self.line.ledger.backlogs().give_up();
        self.line.heart.beat_now();
        if timeout(LAST_WORD, self.writing.lock()).await.is_err() {
            tracing::debug!("shares were still being written when partitions were given up");
        }
    }

    /// They are drained: no partition is this member's any more, and nothing of a limited rate.
    pub(crate) fn gave_up(&self) {
        self.held.send_replace(Held::now(BTreeSet::new()));
    }
}

impl Task {
    async fn run(mut self) {
        let mut control = self.line.control.clone();
        let mut launch = self.line.launch.clone();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut judge = Judge::default();
        self.follow();
        loop {
            tokio::select! {
                biased;
                Ok(()) = control.changed() => self.follow(),
                Ok(()) = self.held.changed() => self.follow(),
                Ok(()) = launch.changed() => self.follow(),
                _ = looks.tick() => {
                    self.look_for_others();
                    self.look(&mut judge);
                }
            }
        }
    }

    /// Looks for somebody else who may send to the shadow: a member with a partition, or another launch of the service.
    fn look_for_others(&self) {
        let launch = self.line.launch();
        let beside = |other: &Launch| {
            other.name != launch.name && other.service == launch.service && other.status == LaunchStatus::Active
        };
        let holds =
            |fellow: &Fellow| fellow.status.instance != self.line.publisher.instance && !claim(fellow).holds.is_empty();
        let is_beside = self.line.control.borrow().launches.values().any(beside);
        let is_held = || self.line.heart.fellows(&launch.name).iter().any(holds);
        self.line.traffic.looked(is_beside || is_held());
    }

    /// Adopts what the control topic says, and acknowledges it.
    fn follow(&mut self) {
        self.look_for_others();
        let state = self.line.control.borrow().clone();
        let name = &self.line.publisher.launch;
        let (terms, refused) = Terms::of(state.shares.get(name), self.partitions);
        let news = terms.version != self.terms.version;
        if let (true, Some(error)) = (news, refused) {
            self.line.ledger.shares_refused();
            tracing::warn!(launch = %name, %error, "shares of the rate refused; every partition gets the same");
        }
        self.terms = terms;
        // Kept to the end, so that what is given up meanwhile is not claimed afterwards.
        let held = self.held.borrow();
        let (is_used, is_spoken_of) = held.stands(state.version);
        let none = BTreeSet::new();
        let part = |whether| if whether { &held.partitions } else { &none };
        let (used, spoken_of) = (part(is_used), part(is_spoken_of));
        let part = used.iter().map(|partition| self.terms.share(*partition)).sum();
        let pace = Pace::share(state.rate_of(&self.captured, Some(name)), part);
        let tempo = Tempo::of(pace, self.line.launch().replay.timing);
        self.tempo.send_if_modified(|current| std::mem::replace(current, tempo) != tempo);
        if self.line.ledger.backlogs().follows(self.terms.version, spoken_of) {
            self.line.heart.beat_now();
        }
    }

    /// Moves the shares, when that is this member's task and there is something to move.
    fn look(&self, judge: &mut Judge) {
        let name = &self.line.publisher.launch;
        let Held { partitions, since, stage } = self.held.borrow().clone();
        let (version, rate) = {
            let control = self.line.control.borrow();
            (control.version, control.rate_of(&self.captured, Some(name)))
        };
        let matters = rate.is_some_and(|rate| rate > 0.0) && self.line.gate.is_open();
        if !matters || !partitions.contains(&0) || !matches!(stage, Stage::Held(from) if version >= from) {
            return;
        }
        // One record at a time, and the next when this one was read.
        let Ok(writing) = self.writing.clone().try_lock_owned() else { return };
        if version < self.written.load(Ordering::SeqCst) {
            return;
        }
        let claims: Vec<_> = self.line.heart.fellows(name).iter().map(claim).collect();
        judge.hear(&claims, Instant::now());
        let Some(next) = judge.next(&self.terms, &claims, since, Instant::now()) else { return };
        let (name, writer, written) = (name.clone(), self.writer.clone(), self.written.clone());
        let record = ControlRecord::Shares(record(&name, &self.line.publisher.instance, next));
        // Beside this task, which follows the control topic meanwhile.
        tokio::spawn(async move {
            match writer.put(&record).await {
                Ok(version) => drop(written.fetch_max(version, Ordering::SeqCst)),
                Err(error) => {
                    tracing::debug!(%error, launch = %name, "shares of the rate not written; they are again soon");
                }
            }
            drop(writing);
        });
    }
}

fn record(launch: &LaunchName, instance: &str, next: Next) -> Shares {
    let map = |list: Vec<f64>| (0..).zip(list).collect();
    let Next { after, before, now } = next;
    let change = Change::by(instance, "backlog");
    Shares { launch: launch.clone(), weights: map(now), before: map(before), after, change }
}

/// What a fellow's heartbeat says of its partitions. One of an earlier version claims nothing.
fn claim(fellow: &Fellow) -> Claim {
    let counters = &fellow.status.counters;
    let holds = counters.iter().filter_map(|(name, lag)| {
        let partition = name.strip_prefix(LAG)?;
        let end = counters.get(&format!("{END}{partition}")).copied().unwrap_or_default();
        Some((partition.parse().ok()?, Backlog { lag: *lag, end }))
    });
    let follows = counters.get(FOLLOWS).copied().unwrap_or(i64::MIN);
    Claim { follows, holds: holds.collect(), heard: fellow.heard }
}

/// The counters of a heartbeat that say which terms are followed for which partitions.
pub(crate) fn counters(
    follows: i64,
    holds: impl Iterator<Item = (i32, Backlog)>,
) -> impl Iterator<Item = (String, i64)> {
    let of = |(partition, Backlog { lag, end }): (i32, Backlog)| {
        [(format!("{LAG}{partition}"), lag), (format!("{END}{partition}"), end)]
    };
    std::iter::once((FOLLOWS.to_owned(), follows)).chain(holds.flat_map(of))
}

/// Finds out what the control topic holds whenever partitions were taken over; until that is known, they have nothing of a limited rate.
async fn know(held: watch::Sender<Held>, admin: Admin) {
    let mut follow = held.subscribe();
    let is_asked = |held: &Held| held.stage == Stage::Taken && !held.partitions.is_empty();
    loop {
        let since = match follow.wait_for(is_asked).await {
            Ok(held) => held.since,
            Err(_) => return,
        };
        match timeout(CONTROL, admin.watermarks(topics::CONTROL, 0)).await {
            Ok(Ok((_, end))) => {
                held.send_if_modified(|held| {
                    let still = is_asked(held) && held.since == since;
                    if still {
                        held.stage = Stage::Held(end - 1);
                    }
                    still
                });
            }
            Ok(Err(_)) | Err(_) => {
                tracing::debug!("the control topic's end is not known; it is asked for again");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Keeps asking how far the partitions of this member reach. The consumer's own word is old for those that it does not read because
/// their window is full, which are just those with a backlog.
async fn ask(line: Arc<Line>, captured: Arc<str>, held: watch::Receiver<Held>, admin: Admin) {
    let mut asks = interval(ASK);
    asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        asks.tick().await;
        let partitions = held.borrow().partitions.clone();
        for partition in partitions {
            match admin.watermarks(&captured, partition).await {
                Ok((_, end)) => line.ledger.backlogs().ends(partition, end),
                Err(error) => tracing::debug!(%error, partition, "the partition's end is not known"),
            }
        }
    }
}
