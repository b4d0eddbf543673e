//! What the calls of one exchange come to. Pure: whoever calls has read both feeds as far as the exchange's windows reach.

use std::sync::Arc;
use std::time::Duration;

use shadow_diff::Rules;
use shadow_effects::Kept;
use shadow_record::{LaunchName, Side, SideEffect};

use super::compare::{Compared, Single, To, compare_singling};
use super::intents::{MOST_CALLS, intents, is_comparable};
use super::own::{Calls, Held, Owner, Told};
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
        let mut strangers = self.owner.untold(sent, shadow);
        strangers.retain(|kept| is_comparable(&kept.effect) && !own.iter().any(|own| Arc::ptr_eq(own, kept)));
        let exchange = Exchange { judge: self, served, sent, ours: &ours, own: &own, strangers: &strangers };
        let told = |side, span| self.owner.leg(served, sent, side, span, shadow);
        let mut theirs = told(Side::Candidate, sent.candidate);
        theirs.numbered.extend(own.iter().cloned());
        let candidate = exchange.leg(theirs, primary, shadow);
        let control = sent.control.map(|span| exchange.leg(told(Side::Control, span), primary, shadow));
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
    /// Calls of the shadow that did not tell, and may be of this exchange.
    strangers: &'a Calls,
}

/// What comparing came to, with the calls of one version only; or why nothing was compared.
type Comparing<'a> = Result<(Compared, Single<'a>), EffectsResult>;

const UNCORRELATED: EffectsResult = EffectsResult::Incomparable(Reason::Uncorrelated);

impl Exchange<'_> {
    fn leg(&self, told: Told, primary: &impl Held, shadow: &impl Held) -> Leg {
        let theirs = [told.numbered.as_slice(), &told.in_time].concat();
        let everything = [theirs.as_slice(), &told.apart].concat();
        let (calls, comparing) = match self.not_known(primary, shadow) {
            Some(reason) => (theirs.len(), Err(EffectsResult::Incomparable(reason))),
            None => self.of_send(&told, &theirs, &everything),
        };
        let compared = match comparing {
            Ok((_, single)) if self.may_be_strange(&single, primary) => Err(UNCORRELATED),
            other => other.map(|(compared, _)| compared),
        };
        let result = compared.as_ref().map_or_else(|result| *result, result_of);
        if self.is_unsure(result) {
            return Leg { calls, result: UNCORRELATED, compared: Compared::default() };
        }
        Leg { calls, result, compared: compared.unwrap_or_default() }
    }

    /// Compares the calls of this send, as far as they can be told from another's. Returns how many they are, too.
    fn of_send<'a>(&'a self, told: &Told, theirs: &'a Calls, everything: &'a Calls) -> (usize, Comparing<'a>) {
        let comparing = self.compare(theirs);
        let Ok((_, Single { missing, added })) = &comparing else { return (theirs.len(), comparing) };
        if any_to(missing, &told.apart) {
            // Whichever send made which: together they are what the primary made, or there is no telling.
            return match self.compare(everything) {
                Ok((compared, single)) if single.is_nothing() => (everything.len(), Ok((compared, single))),
                _ => (theirs.len(), Err(UNCORRELATED)),
            };
        }
        let unsure = if told.resent || !told.apart.is_empty() { &told.in_time } else { &told.late };
        let mixed = any_to(added, unsure);
        (theirs.len(), if mixed { Err(UNCORRELATED) } else { comparing })
    }

    /// Whether what only one version made may be, or have been made by, calls of others.
    fn may_be_strange(&self, Single { missing, added }: &Single<'_>, primary: &impl Held) -> bool {
        let early = |kept: &&Arc<Kept>| self.sent.may_be_of_the_one_before(&kept.effect);
        any_to(missing, self.strangers)
            || self.own.iter().filter(early).any(|kept| added.contains(&To::of(&kept.effect)))
            || !added.is_empty() && any_to(added, &self.judge.owner.untold_of_primary(self.served, primary))
    }

    /// Whether a call that may be one of this exchange leaves nothing to be told: only that it differs would stand. A request that was alone has
    /// its own calls; what was called outside of its time is more likely the next one's.
    fn is_unsure(&self, result: EffectsResult) -> bool {
        use EffectsResult::{Expected, Matched, Nothing};
        matches!(result, Nothing | Matched | Expected) && !self.sent.is_lone() && !self.strangers.is_empty()
    }

    /// Why not all calls are known.
    fn not_known(&self, primary: &impl Held, shadow: &impl Held) -> Option<Reason> {
        let Self { judge: Judge { owner, .. }, served, sent, .. } = self;
        if !served.recorded {
            return Some(Reason::NotRecorded);
        }
        let complete = primary.complete_from() <= served.primary_window(owner.settle).from
            && shadow.complete_from() <= sent.window(owner.settle).from;
        (!complete).then_some(Reason::Forgotten)
    }

    fn compare<'a>(&'a self, theirs: &'a Calls) -> Comparing<'a> {
        let Self { judge: Judge { rules, .. }, served, sent, ours, .. } = self;
        if theirs.is_empty() && (sent.dry_run || ours.is_empty()) {
            return Err(EffectsResult::Nothing);
        }
        let (ours, theirs) = intents(effects(ours), effects(theirs));
        if ours.is_empty() && theirs.is_empty() {
            return Err(EffectsResult::Nothing);
        }
        let too_many = EffectsResult::Incomparable(Reason::TooMany);
        if ours.len().max(theirs.len()) > MOST_CALLS {
            return Err(too_many);
        }
        compare_singling(&served.route, &ours, &theirs, rules, sent.candidate.from).ok_or(too_many)
    }
}

/// Whether any of these calls goes to one of these places.
fn any_to(places: &[To<'_>], calls: &Calls) -> bool {
    !places.is_empty() && calls.iter().any(|kept| places.contains(&To::of(&kept.effect)))
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
