//! Gates on latency, without any assumption about its distribution.

use super::needed::Needed;
use super::words::{more, number};
use super::{Asked, Case, Decision, Finding, Unit};
use crate::evidence::{Latencies, Reference};
use crate::gates::{LatencyGate, Limit};
use crate::interval::Interval;
use crate::quantile::{Quantile, Ranks};
use crate::ranks::{GROWTH, Ranked};

const UNKNOWN: Interval = Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };

pub(super) fn latency(case: &Case<'_>, gate: LatencyGate) -> Finding {
    let (asked, unit) = match gate.limit {
        Limit::Ratio { factor, .. } => (Asked::AtMost(factor), Unit::Factor),
        Limit::Difference { ms } => (Asked::AtMost(ms), Unit::Milliseconds),
    };
    let Some(latencies) = case.evidence.latencies.as_ref().filter(|latencies| latencies.candidate.values() > 0) else {
        let bounded = |values| {
            let Ranks { low, high } = gate.quantile.ranks(values, case.pass / 2.0);
            low.is_some() && high.is_some()
        };
        let needed = if case.foresee { Needed::from_nothing(bounded) } else { Needed::NotForeseen };
        let more = more(needed, "of them");
        let reason = format!("No request has a latency on both sides yet{more}.");
        return Finding {
            decision: Decision::Insufficient,
            asked,
            unit,
            estimate: None,
            interval: UNKNOWN,
            sample: 0,
            needed,
            reason,
        };
    };
    let sample = latencies.candidate.values();
    let decision = decide(case, gate, latencies, 1);
    let needed = match decision {
        Decision::Insufficient if !case.foresee => Needed::NotForeseen,
        Decision::Insufficient => {
            let enough = GROWTH.iter().find(|growth| decide(case, gate, latencies, **growth) != Decision::Insufficient);
            enough.map_or(Needed::Unknown, |growth| Needed::About(sample.saturating_mul(growth - 1)))
        }
        _ => Needed::Nothing,
    };
    let (estimate, interval) = shown(case, gate, latencies);
    let reason = reason(case, gate, latencies, decision, needed, estimate, interval);
    Finding { decision, asked, unit, estimate, interval, sample, needed, reason }
}

/// What the latencies say if there were `growth` times as many of them.
fn decide(case: &Case<'_>, gate: LatencyGate, latencies: &Latencies, growth: u64) -> Decision {
    let at = |ranked: &Ranked, alpha| match growth {
        1 => ranked.interval(gate.quantile, alpha),
        more => ranked.grown_interval(gate.quantile, alpha, more),
    };
    let (pass, fail) = match gate.limit {
        Limit::Ratio { factor, slack_ms } => {
            let most = |reference: f64| f64::max(factor * reference, reference + slack_ms);
            // Each of the two samples gets half of the risk.
            let sides = |alpha| (at(&latencies.candidate, alpha / 2.0), at(&latencies.reference, alpha / 2.0));
            let ((candidate, reference), (candidate_far, reference_far)) = (sides(case.pass), sides(case.fail));
            // Beyond the time-out both are alike unknown.
            (
                candidate.high.is_finite() && candidate.high <= most(reference.low),
                candidate_far.low > most(reference_far.high),
            )
        }
        Limit::Difference { ms } => {
            (at(&latencies.difference, case.pass).high <= ms, at(&latencies.difference, case.fail).low > ms)
        }
    };
    match (pass, fail) {
        (_, true) => Decision::Fail,
        (true, false) => Decision::Pass,
        (false, false) => Decision::Insufficient,
    }
}

/// Estimate and interval, in the gate's unit.
fn shown(case: &Case<'_>, gate: LatencyGate, latencies: &Latencies) -> (Option<f64>, Interval) {
    let Latencies { candidate, reference, difference, .. } = latencies;
    let quantile = gate.quantile;
    match gate.limit {
        Limit::Difference { .. } => (difference.estimate(quantile), difference.interval(quantile, case.pass)),
        Limit::Ratio { .. } => {
            let sides = candidate.estimate(quantile).zip(reference.estimate(quantile));
            let known = |(_, reference): &(f64, f64)| *reference > 0.0 && reference.is_finite();
            let estimate = sides.filter(known).map(|(mine, theirs)| mine / theirs);
            let mine = candidate.interval(quantile, case.pass / 2.0);
            let theirs = reference.interval(quantile, case.pass / 2.0);
            // What timed out is infinite: infinitely many times as slow, unless the other side may have timed out too.
            let low = if mine.low > 0.0 && theirs.high > 0.0 && theirs.high.is_finite() {
                mine.low / theirs.high
            } else {
                0.0
            };
            let high = if theirs.low > 0.0 && theirs.low.is_finite() { mine.high / theirs.low } else { f64::INFINITY };
            (estimate, Interval { low, high })
        }
    }
}

fn reason(
    case: &Case<'_>,
    gate: LatencyGate,
    latencies: &Latencies,
    decision: Decision,
    needed: Needed,
    estimate: Option<f64>,
    interval: Interval,
) -> String {
    let Latencies { candidate, reference, against, .. } = latencies;
    let p = percentile(gate.quantile);
    let sure = super::percent(case.confidence);
    let more = more(needed, "requests");
    let more = format!("{more}{}", slow_control(latencies));
    let (low, high) = (number(interval.low), number(interval.high));
    let value = estimate.map_or("unknown".to_owned(), number);
    match gate.limit {
        Limit::Ratio { factor, slack_ms } => {
            let ms = |ranked: &Ranked| ranked.estimate(gate.quantile).map_or("unknown".to_owned(), number);
            let observed = format!(
                "The candidate's {p} is {value} times the {against}'s ({} ms against {} ms)",
                ms(candidate),
                ms(reference)
            );
            let asked = format!("{} times is allowed", number(factor));
            let near = slack_ms > 0.0 && interval.high > factor;
            match decision {
                Decision::Pass if near => format!("{observed}, within {} ms of it{more}.", number(slack_ms)),
                Decision::Pass => format!("{observed}, at most {high} times with {sure} confidence; {asked}{more}."),
                Decision::Fail => format!("{observed}, at least {low} times with {sure} confidence; {asked}{more}."),
                _ if interval.high.is_infinite() => {
                    format!("{observed}, from {low} times up is plausible; {asked}{more}.")
                }
                _ => format!("{observed}, {low} to {high} times is plausible; {asked}{more}."),
            }
        }
        Limit::Difference { ms } => {
            let observed = format!("The {p} of candidate minus {against} is {value} ms");
            let asked = format!("{} ms is allowed", number(ms));
            match decision {
                Decision::Pass => format!("{observed}, at most {high} ms with {sure} confidence; {asked}{more}."),
                Decision::Fail => format!("{observed}, at least {low} ms with {sure} confidence; {asked}{more}."),
                _ if interval.high.is_infinite() => format!("{observed}, more is plausible; {asked}{more}."),
                _ => format!("{observed}, {low} to {high} ms is plausible; {asked}{more}."),
            }
        }
    }
}

/// A control that is far slower than production was asked under other conditions: the ratio says little about production then.
fn slow_control(latencies: &Latencies) -> String {
    let Latencies { reference, primary_p50_ms: Some(primary), against: Reference::Control, .. } = latencies else {
        return String::new();
    };
    match reference.estimate(Quantile::P50) {
        Some(control) if *primary > 0.0 && control > SLOW_CONTROL * primary => {
            format!(
                "; the control's median, {} ms, is more than twice the primary's, {} ms",
                number(control),
                number(*primary)
            )
        }
        _ => String::new(),
    }
}

/// Times the primary's median.
const SLOW_CONTROL: f64 = 2.0;

/// "p95"
pub(super) fn percentile(quantile: Quantile) -> String {
    format!("p{}", (quantile.level() * 100.0).round())
}

/// What a measure is called: "p95_difference_ms".
pub(super) fn measure_name(quantile: Quantile, of: Option<Reference>) -> String {
    match of {
        None => format!("candidate_{}_ms", percentile(quantile)),
        Some(reference) => format!("{reference}_{}_ms", percentile(quantile)),
    }
}
