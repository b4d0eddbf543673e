//! Which calls are an exchange's. Pure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shadow_effects::{Feed, Kept};
use shadow_record::{LaunchName, RequestId, Side, SideEffect, Timestamp};

use super::{Sent, Served, Span};

/// How far the clocks of agents, replayers and stubs may be from the broker's. What was appended earlier than this before a request does not
/// belong to it.
const CLOCKS: Duration = Duration::from_secs(5);
/// How long a record may have been on its way to the broker. Older times are not those of a service but of a recording that was imported, say.
const LAG: Duration = Duration::from_secs(300);
/// By how much a call may seem to precede the request that it was made for, or to follow an earlier one that it was made for, where times must tell.
const SKEW: Duration = Duration::from_millis(500);

/// Effects as a feed holds them.
pub trait Held {
    /// Those of one request, in the order in which they were appended.
    fn of(&self, request: RequestId) -> Vec<Arc<Kept>>;
    /// Those that told of no request, appended from `from` to `until`.
    fn untold(&self, from: Timestamp, until: Timestamp) -> Vec<Arc<Kept>>;
    /// What was appended before this may be gone.
    fn complete_from(&self) -> Timestamp;
}

impl Held for Feed {
    fn of(&self, request: RequestId) -> Vec<Arc<Kept>> {
        self.of(request)
    }

    fn untold(&self, from: Timestamp, until: Timestamp) -> Vec<Arc<Kept>> {
        self.untold(from, until)
    }

    fn complete_from(&self) -> Timestamp {
        self.complete_from()
    }
}

/// What was appended in this time counts: from the first moment up to, not including, the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl Window {
    /// Around a span by a service's clock whose record the broker appended at `appended`.
    fn around(span: Span, appended: Timestamp, settle: Duration) -> Self {
        let latest = appended.micros().saturating_sub(span.until.micros() - span.from.micros());
        let began = span.from.micros().clamp(latest.saturating_sub(LAG.as_micros() as i64), latest);
        Self { from: before(Timestamp(began), CLOCKS), until: appended.plus(settle) }
    }

    /// What both reach over.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }

    fn has(self, kept: &Kept) -> bool {
        (self.from..self.until).contains(&kept.appended_at)
    }
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.micros().saturating_sub(by.as_micros() as i64))
}

impl Served {
    /// When the primary's calls were appended.
    pub(crate) fn primary_window(&self, settle: Duration) -> Window {
        Window::around(self.primary, self.captured_at, settle)
    }

    /// When all that counts was appended.
    pub(crate) fn settled_at(&self, settle: Duration) -> Timestamp {
        let primary = self.primary_window(settle).until;
        self.sent.as_ref().map_or(primary, |sent| primary.max(sent.window(settle).until))
    }
}

impl Sent {
    /// When the candidate's and the control's calls were appended.
    pub(crate) fn window(&self, settle: Duration) -> Window {
        Window::around(self.both(), self.replayed_at, settle)
    }

    /// Whether nobody but the candidate was at work for anybody.
    pub(super) fn is_lone(&self) -> bool {
        self.alone && !self.to_control
    }

    /// Whether a call was made so early that it may be one of the request before, made after that was answered.
    pub(super) fn may_be_of_the_one_before(&self, effect: &SideEffect) -> bool {
        effect.at <= self.candidate.from.plus(SKEW)
    }

    /// While any of them served it.
    fn both(&self) -> Span {
        let Span { from, until } = self.candidate;
        self.control
            .map_or(self.candidate, |control| Span { from: from.min(control.from), until: until.max(control.until) })
    }
}

/// Calls as they stand in a store.
pub(super) type Calls = Vec<Arc<Kept>>;

/// The calls of one leg that told the request of an exchange.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Those that have the number of its send.
    pub(super) numbered: Calls,
    /// Those that have no number, made while it was served or soon after.
    pub(super) in_time: Calls,
    /// Those of them that were made after it was answered: a later send may have made them, whose outcome came second.
    pub(super) late: Calls,
    /// Those that have no number, of which their time says that they are another send's.
    pub(super) apart: Calls,
    /// Whether there are calls of another send.
    pub(super) resent: bool,
}

/// Each recorded call once: a record whose delivery was in doubt is published again, and the first one appended counts.
fn once(calls: Calls) -> Calls {
    let mut known = HashSet::new();
    let first = calls.iter().filter(|kept| {
        let SideEffect { side, instance, epoch, sequence, .. } = &kept.effect;
        known.insert((side.as_str(), instance.as_str(), *epoch, *sequence))
    });
    first.cloned().collect()
}

/// Looks calls up for one launch.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) launch: LaunchName,
    pub(super) settle: Duration,
}

impl Owner {
    /// The primary's calls.
    pub(super) fn primary(&self, served: &Served, held: &impl Held) -> Calls {
        let window = served.primary_window(self.settle);
        let mut calls = held.of(served.request_id);
        calls.retain(|kept| kept.effect.side == Side::Primary && window.has(kept));
        once(calls)
    }

    /// The calls of one leg that told this request. Those of other sends of it are not its own; where a call does not have the number of its
    /// send, its time must tell.
    pub(super) fn leg(&self, served: &Served, sent: &Sent, side: Side, span: Span, held: &impl Held) -> Told {
        let window = sent.window(self.settle);
        let mut calls = held.of(served.request_id);
        calls.retain(|kept| {
            let effect = &kept.effect;
            effect.side == side && effect.launch.as_ref() == Some(&self.launch) && window.has(kept)
        });
        let mut told = Told::default();
        for kept in once(calls) {
            match (kept.effect.send, sent.send) {
                (Some(one), Some(other)) if one == other => told.numbered.push(kept),
                (Some(_), Some(_)) => told.resent = true,
                _ if self.may_be_of(&kept.effect, span, SKEW) => {
                    told.late.extend((kept.effect.at > span.until.plus(SKEW)).then(|| kept.clone()));
                    told.in_time.push(kept);
                }
                _ => told.apart.push(kept),
            }
        }
        // One send whose calls all seem to be of another time: clocks are apart.
        if !told.resent && told.in_time.is_empty() {
            told.in_time.append(&mut told.apart);
        }
        told
    }

    /// Calls that told of no request, where nobody but the candidate can have made them: no other request was under way, and this one went
    /// nowhere else.
    pub(super) fn alone(&self, sent: &Sent, held: &impl Held) -> Calls {
        if !sent.is_lone() {
            return Vec::new();
        }
        let Span { from, until } = sent.candidate;
        let mut calls = self.untold(sent, held);
        calls.retain(|kept| (from..=until).contains(&kept.effect.at));
        calls
    }

    /// Calls of the shadow that told of no request, and may be of this one.
    pub(super) fn untold(&self, sent: &Sent, held: &impl Held) -> Calls {
        let window = sent.window(self.settle);
        let mut calls = held.untold(window.from, window.until);
        calls.retain(|kept| {
            let effect = &kept.effect;
            let of_launch = effect.launch.as_ref().is_none_or(|launch| *launch == self.launch);
            effect.side != Side::Primary && of_launch && window.has(kept) && self.may_be_of(effect, sent.both(), SKEW)
        });
        once(calls)
    }

    /// Calls of the primary that told of no request, and may be of this one.
    pub(super) fn untold_of_primary(&self, served: &Served, held: &impl Held) -> Calls {
        let window = served.primary_window(self.settle);
        let mut calls = held.untold(window.from, window.until);
        calls.retain(|kept| {
            let effect = &kept.effect;
            effect.side == Side::Primary && window.has(kept) && self.may_be_of(effect, served.primary, SKEW)
        });
        once(calls)
    }

    /// Whether the call was made while the request was served, or soon after.
    fn may_be_of(&self, effect: &SideEffect, span: Span, skew: Duration) -> bool {
        (before(span.from, skew)..=span.until.plus(self.settle)).contains(&effect.at)
    }
}
