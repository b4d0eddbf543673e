//! What the calls of one exchange come to. Pure: whoever calls has read both feeds as far as the exchange's windows reach.

use std::sync::Arc;
use std::time::Duration;

use shadow_diff::Rules;
use shadow_record::{LaunchName, Side, SideEffect, Timestamp};

use super::compare::{Compared, Single, To, compare_singling};
use super::intents::{MOST_CALLS, intents};
use super::own::{Calls, Held, Owner};
use super::{Sent, Served};

/// Why the calls of an exchange were not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The agent did not record all of the primary's.
    NotRecorded,
    /// Calls that may be among them did not tell for which request they were made.
    Uncorrelated,
    /// There were more effects at the time than the comparator holds.
    Forgotten,
    /// There are more than [`MOST_CALLS`].
    TooMany,
    /// No difference was found in what can be looked at, and not everything can be.
    Unseen,
}

impl Reason {
    /// The word that tables and metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRecorded => "not_recorded",
            Self::Uncorrelated => "uncorrelated",
            Self::Forgotten => "forgotten",
            Self::TooMany => "too_many",
            Self::Unseen => "unseen",
        }
    }
}

/// What comparing the calls of one exchange came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectsResult {
    /// There was nothing to compare.
    Nothing,
    /// Both versions asked the same.
    Matched,
    /// Some difference is not expected.
    Differing,
    /// Every difference is an expected change.
    Expected,
    /// It cannot be told.
    Incomparable(Reason),
}

impl EffectsResult {
    /// The word that tables and metrics use; empty for nothing.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Matched => "matched",
            Self::Differing => "differing",
            Self::Expected => "expected",
            Self::Incomparable(_) => "incomparable",
        }
    }

    /// Why it cannot be told; empty when it can.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Incomparable(reason) => reason.as_str(),
            _ => "",
        }
    }
}

/// The calls of one leg beside the primary's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Leg {
    pub calls: usize,
    pub result: EffectsResult,
    pub compared: Compared,
}

/// What the calls of one exchange came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Judged {
    pub primary_calls: usize,
    /// `None` where it was only recorded.
    pub candidate: Option<Leg>,
    /// `None` where the control gave no answer.
    pub control: Option<Leg>,
}

/// Judges the exchanges of one launch.
#[derive(Clone, Debug)]
pub struct Judge {
    owner: Owner,
    rules: Arc<Rules>,
}

impl Judge {
    /// A judge under the launch's rules; exchanges settle for `settle`.
    pub fn new(launch: LaunchName, rules: Arc<Rules>, settle: Duration) -> Self {
        Self { owner: Owner { launch, settle }, rules }
    }

    /// Judges one exchange by what the feeds of the primary's effects and of the shadow's hold.
    pub fn judge(&self, served: &Served, primary: &impl Held, shadow: &impl Held) -> Judged {
        let ours = self.owner.primary(served, primary);
        let Some(sent) = &served.sent else {
            return Judged { primary_calls: ours.len(), candidate: None, control: None };
        };
        let own = self.owner.alone(sent, shadow);
        let told = |side, span| self.owner.leg(served, sent, side, span, shadow);
        let exchange = Exchange { judge: self, served, sent, ours: &ours, own: &own };
        let mut theirs = told(Side::Candidate, sent.candidate);
        theirs.extend(own.iter().cloned());
        let candidate = exchange.leg(&theirs, primary, shadow);
        let control = sent.control.map(|span| exchange.leg(&told(Side::Control, span), primary, shadow));
        Judged { primary_calls: ours.len(), candidate: Some(candidate), control }
    }
}

/// One exchange while it is judged.
struct Exchange<'a> {
    judge: &'a Judge,
    served: &'a Served,
    sent: &'a Sent,
    ours: &'a Calls,
    /// Calls that did not tell, and are the candidate's all the same.
    own: &'a Calls,
}

impl Exchange<'_> {
    fn leg(&self, theirs: &Calls, primary: &impl Held, shadow: &impl Held) -> Leg {
        let (result, compared) = match self.compare(theirs, primary, shadow) {
            Ok(compared) => (result_of(&compared), compared),
            Err(result) => (result, Compared::default()),
        };
        Leg { calls: theirs.len(), result, compared }
    }

    fn compare(&self, theirs: &Calls, primary: &impl Held, shadow: &impl Held) -> Result<Compared, EffectsResult> {
        let Self { judge: Judge { owner, rules }, served, sent, ours, .. } = self;
        let incomparable = |reason| Err(EffectsResult::Incomparable(reason));
        if !served.recorded {
            return incomparable(Reason::NotRecorded);
        }
        let complete = |held: Timestamp, needed: Timestamp| held <= needed;
        if !complete(primary.complete_from(), served.primary_window(owner.settle).from)
            || !complete(shadow.complete_from(), sent.window(owner.settle).from)
        {
            return incomparable(Reason::Forgotten);
        }
        if theirs.is_empty() && (sent.dry_run || ours.is_empty()) {
            return Err(EffectsResult::Nothing);
        }
        let (ours, theirs) = (intents(effects(ours)), intents(effects(theirs)));
        if ours.is_empty() && theirs.is_empty() {
            return Err(EffectsResult::Nothing);
        }
        if ours.len().max(theirs.len()) > MOST_CALLS {
            return incomparable(Reason::TooMany);
        }
        let at = sent.candidate.from;
        let (compared, Single { missing, added }) = compare_singling(&served.route, &ours, &theirs, rules, at);
        let among = |calls: Calls, wanted: &[To<'_>]| {
            let untold = calls.iter().filter(|kept| !self.own.iter().any(|own| Arc::ptr_eq(own, kept)));
            untold.into_iter().any(|kept| wanted.contains(&To::of(&kept.effect)))
        };
        if !missing.is_empty() && among(owner.untold(sent, shadow), &missing)
            || !added.is_empty() && among(owner.untold_of_primary(served, primary), &added)
        {
            return incomparable(Reason::Uncorrelated);
        }
        Ok(compared)
    }
}

fn effects(calls: &Calls) -> impl Iterator<Item = &SideEffect> {
    calls.iter().map(|kept| &kept.effect)
}

fn result_of(compared: &Compared) -> EffectsResult {
    match compared {
        Compared { unexpected: true, .. } => EffectsResult::Differing,
        Compared { unseen: true, .. } => EffectsResult::Incomparable(Reason::Unseen),
        Compared { differences, .. } if !differences.is_empty() => EffectsResult::Expected,
        _ => EffectsResult::Matched,
    }
}

#[cfg(test)]
mod tests;
