//! Gates on shares: errors, answers, and how much could be compared and judged at all.

use super::needed::{Needed, rounded};
use super::words::{count, more, percent};
use super::{Asked, Case, Decision, Finding, Unit};
use crate::evidence::{Pairs, ScopeEvidence};
use crate::gates::ErrorRate;
use crate::interval::Interval;
use crate::proportion::Proportion;

/// A share that may not be too small, judged by the rate of its opposite.
pub(super) struct Share<'a> {
    /// Of the opposite: of mismatches, of unanswered requests.
    pub(super) events: Proportion,
    pub(super) trials: u64,
    /// Least share of what is good.
    pub(super) least: f64,
    /// What was tried: "compared requests".
    pub(super) what: &'a str,
    /// What the good ones did: "matched".
    pub(super) did: &'a str,
}

pub(super) fn availability(case: &Case<'_>, least: f64) -> Finding {
    let events = case.evidence.unanswered();
    share(case, &Share { events, trials: case.evidence.sent, least, what: "sent requests", did: "were answered" })
}

pub(super) fn share(case: &Case<'_>, share: &Share<'_>) -> Finding {
    let Share { events, trials, least, what, did } = *share;
    let decide = |events: Proportion| decide(case, events, 1.0 - least);
    let decision = decide(events);
    let clean = |clean| decide(Proportion::new(clean, 0));
    let needed = case.needed(decision, trials, |factor| decide(events.times(factor)), clean);
    let bad = events.interval(case.pass);
    let interval = Interval { low: 1.0 - bad.high, high: 1.0 - bad.low };
    let estimate = events.estimate().map(|rate| 1.0 - rate);
    let asked = percent(least);
    let reason = match (estimate, decision) {
        (None, _) => format!("There are no {what} yet, and {asked} is asked{}.", more(needed, "clean ones")),
        (Some(rate), decision) => {
            let observed = format!("{} of {} {what} {did}", percent(rate), count(trials));
            let sure = percent(case.confidence);
            match decision {
                Decision::Pass => {
                    let low = percent(interval.low);
                    format!("{observed}, at least {low} with {sure} confidence; {asked} is asked.")
                }
                Decision::Fail => {
                    let high = percent(interval.high);
                    format!("{observed}, at most {high} with {sure} confidence; {asked} is asked.")
                }
                _ => {
                    let (low, high) = (percent(interval.low), percent(interval.high));
                    format!(
                        "{observed}, where {asked} is asked and {low} to {high} is plausible{}.",
                        more(needed, what)
                    )
                }
            }
        }
    };
    let asked = Asked::AtLeast(least);
    Finding { decision, asked, unit: Unit::Share, estimate, interval, sample: trials, needed, reason }
}

pub(super) fn error_rate(case: &Case<'_>, asked: ErrorRate) -> Finding {
    let (errors, pairs) = (case.evidence.errors(), case.evidence.pairs);
    let ErrorRate { allowed, margin } = asked;
    let decide = |errors: crate::PairedErrors| {
        // Against a tolerance of zero the coin between the sides is the sharper test.
        let above = if allowed == 0.0 { errors.shows_increase(case.fail) } else { errors.is_above(allowed, case.fail) };
        if above {
            Decision::Fail
        } else if errors.is_at_most(allowed + margin, case.pass) {
            Decision::Pass
        } else {
            Decision::Insufficient
        }
    };
    let decision = decide(errors);
    let clean = |clean| decide(crate::PairedErrors::new(clean, 0, 0));
    let needed = case.needed(decision, pairs.pairs, |factor| decide(errors.times(factor)), clean);
    let (estimate, interval) = (errors.estimate(), errors.interval(case.pass));
    let counts = format!(
        "Of {} requests {} failed on the candidate alone{} and {} on the primary alone",
        count(pairs.pairs),
        count(pairs.only_candidate),
        classes(&case.evidence.failures),
        count(pairs.only_primary)
    );
    let high = percent(interval.high);
    let reason = match decision {
        _ if pairs.pairs == 0 => format!("No request has an outcome on both sides yet{}.", more(needed, "clean ones")),
        Decision::Fail if allowed == 0.0 => format!("{counts}, more than chance explains."),
        Decision::Fail => {
            let low = percent(interval.low);
            format!("{counts}: an increase of at least {low}, and {} is allowed.", percent(allowed))
        }
        Decision::Pass => format!("{counts}: an increase by more than {high} is excluded."),
        _ => {
            let margin = percent(allowed + margin);
            let more = more(needed, "requests");
            format!("{counts}: an increase by up to {high} is plausible, and {margin} has to be excluded{more}.")
        }
    };
    let reason = match case.evidence.control.map(|control| control.errors).filter(|errors| errors.pairs > 0) {
        Some(Pairs { pairs, only_candidate, only_primary }) => format!(
            "{} Of {} that the control got too, {} failed on the candidate alone and {} on the control alone.",
            reason,
            count(pairs),
            count(only_candidate),
            count(only_primary)
        ),
        None => reason,
    };
    let asked = Asked::AtMost(allowed + margin);
    Finding { decision, asked, unit: Unit::Share, estimate, interval, sample: pairs.pairs, needed, reason }
}

/// Classes of failures named in a sentence.
const NAMED: usize = 4;

/// " (20 status 500, 3 timeout)"
fn classes(failures: &[(String, u64)]) -> String {
    if failures.is_empty() {
        return String::new();
    }
    let named: Vec<String> =
        failures.iter().take(NAMED).map(|(class, failed)| format!("{} {class}", count(*failed))).collect();
    let more = if failures.len() > NAMED { ", ..." } else { "" };
    format!(" ({}{more})", named.join(", "))
}

/// Answers that cannot be compared say nothing, however many they are; they are no fault either, so this never fails.
pub(super) fn comparable(case: &Case<'_>, least: f64) -> Finding {
    let ScopeEvidence { answered, compared, uncompared, .. } = *case.evidence;
    let mut finding = exact(compared, answered, least, "answers were compared in full");
    if finding.decision == Decision::Insufficient && answered > 0 {
        // Further answers add to both sides of the share.
        let missing = (least * answered as f64 - compared as f64) / (1.0 - least);
        finding.needed = Needed::AtLeast(rounded(missing.ceil() as u64));
    }
    if answered > 0 && uncompared == answered {
        finding.reason = format!("None of {} answers was compared: the launch's comparison is off.", count(answered));
    } else if answered == 0 {
        finding.reason = "There are no answers to compare yet.".to_owned();
    }
    finding
}

/// Too little of the captured traffic compared is no fault of the candidate's, so this never fails.
pub(super) fn coverage(compared: u64, captured: u64, least: f64) -> Finding {
    exact(compared, captured, least, "captured requests were compared")
}

/// On a share that is known exactly: enough, or not enough yet.
pub(super) fn exact(part: u64, whole: u64, least: f64, what: &str) -> Finding {
    let estimate = (whole > 0).then(|| part as f64 / whole as f64);
    let enough = estimate.is_some_and(|share| share >= least);
    let (decision, needed) = if enough {
        (Decision::Pass, Needed::Nothing)
    } else {
        let missing = ((least * whole as f64).ceil() as u64).saturating_sub(part);
        (Decision::Insufficient, if whole == 0 { Needed::AtLeast(1) } else { Needed::AtLeast(missing) })
    };
    let share = estimate.unwrap_or(0.0);
    let (part, all, asked) = (count(part), count(whole), percent(least));
    let reason = format!("{part} of {all} {what} ({}), and {asked} is asked.", percent(share));
    let interval = Interval { low: share, high: share };
    let asked = Asked::AtLeast(least);
    Finding { decision, asked, unit: Unit::Share, estimate, interval, sample: whole, needed, reason }
}

/// On events that may not be more frequent than `most`.
pub(super) fn decide(case: &Case<'_>, events: Proportion, most: f64) -> Decision {
    if events.is_above(most, case.fail) {
        Decision::Fail
    } else if events.is_at_most(most, case.pass) {
        Decision::Pass
    } else {
        Decision::Insufficient
    }
}
