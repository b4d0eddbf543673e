//! Who was there when a command was given, and what each answered. Pure: heartbeats in, answers out.
//!
//! All times are the broker's. A heartbeat carries the instance's own clock too, and the broker's append time of that same
//! heartbeat tells how far the two are apart (by at most the heartbeat's way more), so clocks need not agree.

use std::collections::BTreeMap;

use serde::Serialize;
use shadow_control::{ControlState, StatusBoard};
use shadow_record::{LaunchName, Role, State, Status, Timestamp};

use super::Wanted;
use crate::kafka::MEMBER_PATIENCE;

/// How one member answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answered {
    /// It does what was asked.
    Confirmed,
    /// It has stopped altogether.
    Stopped,
    /// It has read the command, but another control record holds it.
    HeldByControl,
    /// It has read the command, but something on its own side holds it.
    HeldByItself,
    /// Nothing.
    Silent,
}

impl Answered {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Stopped => "stopped",
            Self::HeldByControl => "still held",
            Self::HeldByItself => "still paused",
            Self::Silent => "NO ANSWER",
        }
    }
}

/// The answer of one launch on one instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Confirmation {
    pub(crate) instance: String,
    pub(crate) launch: LaunchName,
    pub(crate) answered: Answered,
    /// From the command's append to the acknowledgement's, milliseconds.
    pub(crate) acknowledged_after_ms: Option<f64>,
    /// From the command's append to the last send, milliseconds; zero or less: none after the command.
    pub(crate) last_send_after_ms: Option<f64>,
    /// From the command's append to when the member read it, milliseconds.
    pub(crate) heard_after_ms: Option<f64>,
    /// The heartbeat that confirmed it.
    #[serde(skip)]
    pub(crate) confirmed_by: Option<Status>,
}

type Member = (String, LaunchName);

/// Collects answers.
#[derive(Debug)]
pub(crate) struct Roll {
    launch: Option<LaunchName>,
    wanted: Wanted,
    version: i64,
    commanded_at: Option<Timestamp>,
    /// The control topic with the command in it.
    state: ControlState,
    board: StatusBoard,
    /// Whether every heartbeat that was there at the command has been taken in.
    caught_up: bool,
    /// The first heartbeat of each member that acknowledged the command, and when the broker had it.
    acknowledged: BTreeMap<Member, (Timestamp, Status)>,
}

impl Roll {
    /// For the command that made `version`, which the broker appended at `commanded_at`; `None` when compaction took it
    /// already, in which case a newer record speaks for it.
    pub(crate) fn new(
        launch: Option<LaunchName>,
        wanted: Wanted,
        version: i64,
        (state, commanded_at): (ControlState, Option<Timestamp>),
    ) -> Self {
        let (board, acknowledged) = (StatusBoard::default(), BTreeMap::new());
        Self { launch, wanted, version, commanded_at, state, board, caught_up: false, acknowledged }
    }

    /// Every heartbeat that was there at the command has been taken in: from here on it is known who was present.
    pub(crate) fn catch_up(&mut self) {
        self.caught_up = true;
    }

    /// Whether it is known who was present.
    pub(crate) fn caught_up(&self) -> bool {
        self.caught_up
    }

    /// Takes in a heartbeat that the broker had at `seen`.
    pub(crate) fn take(&mut self, seen: Timestamp, status: Status) {
        self.board.apply(seen, status.clone());
        let concerns = self.launch.is_none() || status.launch == self.launch;
        let answers = status.control_version >= self.version || status.state == State::Stopped;
        if let (Some(launch), Role::Replayer, true, true) = (&status.launch, status.role, concerns, answers) {
            let member = (status.instance.clone(), launch.clone());
            // A member may confirm a little after it has read the command: the first heartbeat that does counts.
            let first = self.acknowledged.get(&member).is_none_or(|(_, held)| !self.satisfies(held));
            if first {
                self.acknowledged.insert(member, (seen, status));
            }
        }
    }

    fn satisfies(&self, status: &Status) -> bool {
        match self.wanted {
            Wanted::Paused => status.state != State::Running,
            Wanted::Running => matches!(status.state, State::Running | State::Stopped),
            Wanted::Ended => status.state == State::Stopped,
            Wanted::Changed => true,
        }
    }

    /// Everyone who was there: heard shortly before the command, or since.
    fn present(&self) -> impl Iterator<Item = (Member, &Status)> {
        let at = self.commanded_at.unwrap_or_else(|| self.board.newest());
        self.board.members().filter_map(move |member| {
            let status = &member.status;
            let concerns = self.launch.is_none() || status.launch == self.launch;
            // Who said goodbye before the command is gone; who said it after has answered.
            let gone = status.state == State::Stopped && member.seen < at;
            let there = status.role == Role::Replayer && concerns && !gone && at.since(member.seen) <= MEMBER_PATIENCE;
            let launch = status.launch.clone().filter(|_| there)?;
            Some(((status.instance.clone(), launch), status))
        })
    }

    /// Whether nothing more is to be waited for: everyone does what was asked, or cannot by another control record.
    pub(crate) fn is_complete(&self) -> bool {
        self.present().all(|(member, _)| match self.acknowledged.get(&member) {
            None => false,
            Some((_, status)) => self.satisfies(status) || self.is_held(&member),
        })
    }

    /// Whether the control topic keeps the member from going on.
    fn is_held(&self, (instance, launch): &Member) -> bool {
        self.wanted == Wanted::Running && self.state.is_paused(launch, instance)
    }

    /// The answers, and the control topic with the command in it.
    pub(crate) fn into_members(self) -> (Vec<Confirmation>, ControlState) {
        let members = self.present().map(|(member, _)| self.confirmation(member)).collect();
        (members, self.state)
    }

    fn confirmation(&self, member: Member) -> Confirmation {
        let acknowledged = self.acknowledged.get(&member);
        let held = self.is_held(&member);
        let (instance, launch) = member;
        let answered = match acknowledged {
            None => Answered::Silent,
            Some((_, status)) if status.state == State::Stopped => Answered::Stopped,
            Some((_, status)) if self.satisfies(status) => Answered::Confirmed,
            Some(_) if self.wanted != Wanted::Running => Answered::Silent,
            Some(_) if held => Answered::HeldByControl,
            Some(_) => Answered::HeldByItself,
        };
        let after = |at: Timestamp| self.commanded_at.map(|from| (at.micros() - from.micros()) as f64 / 1000.0);
        // A time of the member's clock in the broker's.
        let told = |at: fn(&Status) -> Option<Timestamp>| {
            let (seen, status) = acknowledged?;
            let skew = seen.micros() - status.at.micros();
            after(Timestamp(at(status)?.micros() + skew))
        };
        let stops = matches!(self.wanted, Wanted::Paused | Wanted::Ended);
        let confirms = matches!(answered, Answered::Confirmed | Answered::Stopped);
        Confirmation {
            instance,
            launch,
            answered,
            acknowledged_after_ms: acknowledged.and_then(|(seen, _)| after(*seen)),
            last_send_after_ms: if stops { told(|status| status.last_send_at) } else { None },
            heard_after_ms: told(|status| status.heard_at),
            confirmed_by: acknowledged.filter(|_| confirms).map(|(_, status)| status.clone()),
        }
    }
}
