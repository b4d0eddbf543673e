//! When a record leaves: its turn among partitions and in its session, a place in flight, a closed breaker, its slot in the schedule.
//!
//! Stands between the guard and the send. Guarantees: nothing leaves while the gate is shut or the breaker open; what waits for its
//! session takes neither place nor slot; what keeps a record beyond its intended time is written into its outcome. A partition
//! that is given up waits for none of this but for records that others have overtaken, if their slots come soon: what left
//! before them would be sent again by the next owner.

use std::sync::Arc;
use std::time::Duration;

use shadow_control::Timing;
use shadow_record::{HeldBy, SkipReason};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::breaker::{Ended, Fuse, Pass};
use crate::ceiling::{Place, Places, Sign};
use crate::outgoing;
use crate::pace::Pacer;
use crate::pipeline::{Due, Line, replay};
use crate::send::Sent;
use crate::turns::{Turn, Turns};

/// What the timers round off is no lateness.
const ON_TIME: Duration = Duration::from_millis(1);

impl Due {
    /// Its session is busy when its turn has come.
    pub(crate) fn pass_over(&mut self, pacer: &mut Pacer) {
        self.passed_over = pacer.turn(self.ready, self.captured_at);
    }

    /// Whether it may no longer leave, because its partition goes to another member.
    pub(crate) fn is_given_up(&self) -> bool {
        !self.partition.lets_go(self.place.offset)
    }

    /// Resolves when it may no longer leave.
    async fn given_up(&self) {
        self.partition.keeps(self.place.offset).await;
    }
}

/// A record that leaves now, and what it holds until it has ended.
pub(crate) struct Departure {
    /// When it was meant to leave.
    pub(crate) intended: Instant,
    /// What kept it longer.
    pub(crate) held_by: Option<HeldBy>,
    /// Its place in flight. One that goes to the control too gives it back when the candidate has answered, so that no control slows
    /// the launch down.
    pub(crate) place: Option<Place>,
    /// Its place in flight to the control, which it keeps to the end, so that memory stays bounded.
    pub(crate) control: Option<OwnedSemaphorePermit>,
    /// From the breaker.
    pub(crate) pass: Pass,
    /// Its turn in its session.
    pub(crate) turn: Option<Turn>,
}

impl Departure {
    /// The request leaves now: those behind it in its session wait for its answer.
    pub(crate) fn sent(&self) {
        self.turn.iter().for_each(Turn::sent);
    }

    /// The candidate's request has ended: `None` when it was cancelled. The breaker and the ceiling learn from it, and the session's next
    /// request may leave, unless that needs what this answer teaches (`learns`).
    pub(crate) fn answered(&mut self, sent: Option<&Sent>, due: &Due, learns: bool) {
        if let Some(sent) = sent {
            let (status, primary) = (sent.answer.as_ref().map(|answer| answer.status), due.primary.as_ref());
            let (status, primary) = (status.map_err(|class| *class), primary.map(|primary| primary.status));
            self.pass.ended(Ended::of(status, primary, sent.total));
            let began = Instant::now().checked_sub(sent.total);
            if let (Some(place), Some(began), Some(sign)) = (&self.place, began, Sign::of(status, primary, sent.total))
            {
                place.ended(began, sign);
            }
        }
        if self.control.is_some() {
            self.place = None;
        }
        if !learns {
            self.turn = None;
        }
    }
}

/// Lets records leave until it is dropped.
pub(crate) async fn dispatch(line: Arc<Line>, turns: Arc<Turns>, pacer: Pacer) {
    let places = Places::new(line.launch().limits.max_in_flight, line.ledger.clone());
    let fuse = Fuse::new(line.launch.clone(), line.ledger.clone());
    let mut dispatcher = Dispatcher { line: line.clone(), pacer, places, fuse, resumed: Instant::now() };
    loop {
        dispatcher.next_by_timing(&turns).await;
        let pacer = &mut dispatcher.pacer;
        let (due, turn) = turns.next(|due| due.pass_over(pacer)).await;
        if skip_old(&line, &due) {
            continue;
        }
        let Some(mut departure) = dispatcher.departure(&due).await else {
            due.partition.keeps_back(due.place.offset);
            continue;
        };
        due.partition.leaves(due.place.offset);
        // A pause or an open breaker may have taken long.
        if skip_old(&line, &due) {
            continue;
        }
        // The next of its session is meant for the next slot, even if it was passed over long before.
        turn.successor(|next| next.pass_over(&mut dispatcher.pacer));
        departure.turn = Some(turn);
        let partition = due.partition.clone();
        partition.work(replay(line.clone(), due, departure));
    }
}

/// Skips the record when it is beyond the launch's maximum age by now.
fn skip_old(line: &Line, due: &Due) -> bool {
    let old = line.too_old(due.captured_at);
    if old && due.partition.is_stopped() {
        due.partition.keeps_back(due.place.offset);
    } else if old {
        outgoing::miss(line, due);
        due.partition.skip_waiting(due.place.offset, SkipReason::TooOld);
    }
    old
}

struct Dispatcher {
    line: Arc<Line>,
    pacer: Pacer,
    places: Arc<Places>,
    fuse: Arc<Fuse>,
    /// When it last began anew after a pause, which is nobody's lateness.
    resumed: Instant,
}

impl Dispatcher {
    /// With original timing, waits until the oldest record that may go is due.
    async fn next_by_timing(&mut self, turns: &Turns) {
        let original = self.line.launch().replay.timing != Timing::Rate;
        turns.oldest_first(original);
        if original && self.line.gate.is_open() {
            turns.ripe(&mut self.pacer).await;
        }
    }

    /// Waits until the record may leave; `None` when its partition goes to another member.
    async fn departure(&mut self, due: &Due) -> Option<Departure> {
        let mut held = self.hold(due);
        let place = self.place(due, &mut held).await?;
        loop {
            if !self.line.gate.is_open() {
                tokio::select! { () = due.partition.stopping() => return None, () = self.line.gate.opened() => {} }
                self.pacer.restart();
                self.resumed = Instant::now();
                held = Hold::default();
            }
            tokio::select! {
                biased;
                waited = self.fuse.closed() => if waited { held.waited(HeldBy::Breaker) },
                () = due.partition.stopping() => return None,
                () = self.line.gate.shutting() => continue,
            }
            let stopped = due.partition.is_stopped();
            if stopped && !self.goes_soon(due) {
                return None;
            }
            let slot = tokio::select! {
                biased;
                () = due.given_up() => return None,
                () = due.partition.stopping(), if !stopped => continue,
                () = self.line.gate.shutting() => continue,
                slot = async {
                    match due.passed_over {
                        Some(_) => self.pacer.late(due.ready).await,
                        None => self.pacer.due(due.ready, due.captured_at).await,
                    }
                } => slot,
            };
            // It may have opened while the slot was waited for.
            if let Some(pass) = self.fuse.leave() {
                let (intended, held_by) = held.judged(slot);
                return Some(Departure { intended, held_by, place: Some(place), control: None, pass, turn: None });
            }
        }
    }

    /// Whether a record of a partition that is given up can still leave while that waits.
    fn goes_soon(&mut self, due: &Due) -> bool {
        let soon = Instant::now() + self.line.drain / 2;
        !due.is_given_up() && self.pacer.turn(due.ready, due.captured_at).is_some_and(|turn| turn <= soon)
    }

    /// When the record's turn came in the schedule.
    fn hold(&mut self, due: &Due) -> Hold {
        match due.passed_over.filter(|turn| *turn >= self.resumed) {
            Some(turn) => {
                let mut held = Hold { turn: Some(turn), by: None };
                held.waited(HeldBy::Session);
                held
            }
            None => Hold { turn: self.pacer.turn(due.ready, due.captured_at), by: None },
        }
    }

    async fn place(&self, due: &Due, held: &mut Hold) -> Option<Place> {
        loop {
            if due.is_given_up() {
                return None;
            }
            let adaptive = self.line.launch().replay.adaptive;
            if let Some(place) = self.places.try_take(adaptive) {
                return Some(place);
            }
            tokio::select! { () = due.given_up() => return None, () = self.places.freed() => {} }
            held.waited(HeldBy::Concurrency);
        }
    }
}

/// When a record was meant to leave, and what kept it longer. Without a turn there is nothing to be late for.
#[derive(Clone, Copy, Default)]
struct Hold {
    turn: Option<Instant>,
    by: Option<HeldBy>,
}

impl Hold {
    /// It waited for `what` until now.
    fn waited(&mut self, what: HeldBy) {
        if self.turn.is_some_and(|turn| turn + ON_TIME < Instant::now()) {
            self.by = Some(what);
        }
    }

    /// The intended time of a record that leaves in `slot`, and what kept it from leaving then.
    fn judged(self, slot: Instant) -> (Instant, Option<HeldBy>) {
        match (self.turn, self.by) {
            (Some(turn), Some(by)) => (turn.min(slot), Some(by)),
            _ => (slot, None),
        }
    }
}
