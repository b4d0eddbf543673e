//! Gates on answers that match, where noise has to be told from fault first.
//!
//! With a control, a difference is noise, a fault, or undecided until there are pairs enough. What is undecided never makes a
//! candidate fail, for it may be noise, and never lets it pass, for it may be a fault. So a pass counts it as a mismatch, and a
//! fail needs proof against the control: answers with a proven fault, or answers that differ more often than the control's do.

use super::needed::{Needed, rounded};
use super::rates::{Share, share};
use super::words::{count, more, percent};
use super::{Asked, Case, Decision, Finding, Unit};
use crate::evidence::{CONTROL_MAY_DEVIATE, ControlEvidence};
use crate::paired::PairedErrors;
use crate::proportion::Proportion;

/// Pairs in which only the candidate shows a difference that prove a fault, at the view's limit of 1000: 2^14 / 15.
const PROVING_PAIRS: f64 = 14.0;

pub(super) fn match_rate(case: &Case<'_>, least: f64) -> Finding {
    let evidence = case.evidence;
    let (events, trials) = (evidence.mismatches(), evidence.compared);
    let plain = share(case, &Share { events, trials, least, what: "compared requests", did: "matched" });
    match &evidence.control {
        Some(control) => against_control(case, control, least, plain),
        None if evidence.differing > 0 && plain.decision != Decision::Pass => {
            let told =
                "Without a control nobody can tell which differences are noise; `launch create --control` names one.";
            Finding { reason: format!("{} {told}", plain.reason), ..plain }
        }
        None => plain,
    }
}

/// `plain` is what all differences would say, were they known to be faults.
fn against_control(case: &Case<'_>, control: &ControlEvidence, least: f64, plain: Finding) -> Finding {
    let (evidence, most) = (case.evidence, 1.0 - least);
    if control.deviates(case.pass) {
        let reason = "The control does not answer as the primary does, so noise cannot be told from fault.".to_owned();
        return Finding { decision: Decision::Insufficient, needed: Needed::Unknown, reason, ..plain };
    }
    // Two ways to fail, each with half of the risk.
    let fail = case.fail / 2.0;
    let failing = |faults: Proportion, excess: PairedErrors| faults.is_above(most, fail) || excess.is_above(most, fail);
    let decide = |mismatches: Proportion, faults: Proportion, excess: PairedErrors| {
        if failing(faults, excess) {
            Decision::Fail
        } else if mismatches.is_at_most(most, case.pass) {
            Decision::Pass
        } else {
            Decision::Insufficient
        }
    };
    let (faults, excess) = (evidence.faults(), control.excess());
    let decision = decide(evidence.mismatches(), faults, excess);
    if decision == Decision::Pass || evidence.compared == 0 {
        return Finding { decision, ..plain };
    }
    let rate = percent(plain.estimate.unwrap_or(0.0));
    let observed = format!("{rate} of {} compared requests matched", count(evidence.compared));
    let asked = percent(least);
    if decision == Decision::Fail {
        let sure = percent(case.confidence);
        let proof = if faults.is_above(most, fail) {
            let low = percent(faults.interval(case.pass).low);
            format!(
                "{} show a fault that is proven against the control, at least {low} with {sure} confidence",
                count(evidence.faulty)
            )
        } else {
            let low = percent(excess.interval(case.pass).low);
            format!(
                "of {} control pairs at least {low} more differ on the candidate than on the control, with {sure} confidence",
                count(control.pairs)
            )
        };
        return Finding {
            decision,
            needed: Needed::Nothing,
            reason: format!("{observed}; {proof}; {asked} is asked."),
            ..plain
        };
    }
    let decided = evidence.decided_mismatches();
    let grown = |factor: f64| decide(decided.times(factor), faults.times(factor), excess.times(factor));
    let mut needed = case.needed(decision, evidence.compared, grown, |_| decision);
    let (low, high) = (percent(plain.interval.low), percent(plain.interval.high));
    let plausible = format!("{observed}, where {asked} is asked and {low} to {high} is plausible");
    let reason = if evidence.undecided == 0 {
        format!("{plausible}{}.", more(needed, "compared requests"))
    } else {
        let pairs = pairs_to_decide(evidence.undecided as f64 / evidence.compared as f64, control.pairs);
        needed = Needed::of_all([needed, in_requests(case, control, Needed::About(pairs))].into_iter());
        format!(
            "{plausible}; {} differences are not yet known to be noise or fault; about {} more control pairs would tell.",
            count(evidence.undecided),
            count(pairs)
        )
    };
    Finding { decision, needed, reason, ..plain }
}

/// Further pairs until what shows at this rate is told apart; at least as many again, where they should have been enough.
fn pairs_to_decide(rate: f64, pairs: u64) -> u64 {
    let enough = (PROVING_PAIRS / rate).ceil() as u64;
    rounded(enough.saturating_sub(pairs).max(pairs).max(30))
}

/// What pairs need, in requests: only some of them go to the control.
fn in_requests(case: &Case<'_>, control: &ControlEvidence, needed: Needed) -> Needed {
    let requests = |pairs: u64| {
        rounded((pairs as f64 * case.evidence.compared as f64 / control.pairs.max(1) as f64).ceil() as u64)
    };
    match needed {
        Needed::About(pairs) if control.pairs > 0 => Needed::About(requests(pairs)),
        Needed::AtLeast(pairs) if control.pairs > 0 => Needed::AtLeast(requests(pairs)),
        other => other,
    }
}

/// How much more often than the control the candidate differs, where there is noise: noise at a place hides faults there. A
/// shown excess fails the match rate; this one only holds up a pass.
pub(super) fn noise_excess(case: &Case<'_>, control: &ControlEvidence, most: f64) -> Finding {
    let excess = control.excess();
    let decide = |excess: PairedErrors| {
        if excess.is_at_most(most, case.pass) { Decision::Pass } else { Decision::Insufficient }
    };
    let decision = decide(excess);
    let clean = |pairs| decide(PairedErrors::new(pairs, 0, 0));
    let needed = case.needed(decision, control.pairs, |factor| decide(excess.times(factor)), clean);
    let interval = excess.interval(case.pass);
    let high = percent(interval.high);
    let reason = match decision {
        Decision::Pass => format!("On places with noise an excess by more than {high} is excluded."),
        _ => format!(
            "On places with noise an excess up to {high} is not excluded, and {} is asked; narrow them with `shadowctl rules suggest`{}.",
            percent(most),
            more(needed, "control pairs")
        ),
    };
    Finding {
        decision,
        asked: Asked::AtMost(most),
        unit: Unit::Share,
        estimate: excess.estimate(),
        interval,
        sample: control.pairs,
        needed: in_requests(case, control, needed),
        reason,
    }
}

/// What stands in the place of what a control would show, where it is not a working copy of the live build.
pub(super) fn deviating(case: &Case<'_>, control: &ControlEvidence) -> Finding {
    let deviations = control.deviations();
    let interval = deviations.interval(case.pass);
    let reason = format!(
        "The control does not answer as the primary does: of {} requests it failed {} and gave another class of status to {}; \
         it has to be a working copy of the live build.",
        count(control.asked),
        count(control.failed),
        count(control.other_status)
    );
    Finding {
        decision: Decision::Insufficient,
        asked: Asked::AtMost(CONTROL_MAY_DEVIATE),
        unit: Unit::Share,
        estimate: deviations.estimate(),
        interval,
        sample: control.asked,
        needed: Needed::Unknown,
        reason,
    }
}
