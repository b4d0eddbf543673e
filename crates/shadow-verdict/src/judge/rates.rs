//! Gates on shares: matches, errors, answers, agreement.

use super::needed::Needed;
use super::words::{count, more, percent};
use super::{Asked, Case, Decision, Finding, Unit};
use crate::gates::ErrorRate;
use crate::interval::Interval;
use crate::proportion::Proportion;

/// A share that may not be too small, judged by the rate of its opposite.
struct Share<'a> {
    /// Of the opposite: of mismatches, of unanswered requests.
    events: Proportion,
    trials: u64,
    /// Least share of what is good.
    least: f64,
    /// What was tried: "compared requests".
    what: &'a str,
    /// What the good ones did: "matched".
    did: &'a str,
}

pub(super) fn match_rate(case: &Case<'_>, least: f64) -> Finding {
    let events = case.evidence.mismatches();
    share(case, &Share { events, trials: case.evidence.compared, least, what: "compared requests", did: "matched" })
}

pub(super) fn availability(case: &Case<'_>, least: f64) -> Finding {
    let events = case.evidence.unanswered();
    share(case, &Share { events, trials: case.evidence.sent, least, what: "sent requests", did: "were answered" })
}

pub(super) fn class_agreement(case: &Case<'_>, least: f64) -> Finding {
    let (trials, events) = case.evidence.disagreements();
    share(case, &Share { events, trials, least, what: "answers with a class", did: "agreed" })
}

fn share(case: &Case<'_>, share: &Share<'_>) -> Finding {
    let Share { events, trials, least, what, did } = *share;
    let decide = |events: Proportion| decide(events.interval(case.pass), events.interval(case.fail), 1.0 - least);
    let decision = decide(events);
    let needed =
        needed(decision, trials, |factor| decide(events.times(factor)), |clean| decide(Proportion::new(clean, 0)));
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

pub(super) fn score_difference(case: &Case<'_>, most: f64) -> Finding {
    let (scores, sample) = (case.evidence.score_differences(), case.evidence.scores.pairs);
    let decide = |scores: Proportion| decide(scores.interval(case.pass), scores.interval(case.fail), most);
    let decision = decide(scores);
    let needed =
        needed(decision, sample, |factor| decide(scores.times(factor)), |clean| decide(Proportion::new(clean, 0)));
    let (estimate, interval) = (scores.estimate(), scores.interval(case.pass));
    let more = more(needed, "answers with a score");
    let reason = match estimate {
        None => format!("There are no answers with a score yet{more}."),
        Some(mean) => format!(
            "Scores differ by {mean:.4} on average of {}, {:.4} to {:.4} is plausible and {most} is asked{more}.",
            count(sample),
            interval.low,
            interval.high
        ),
    };
    Finding { decision, asked: Asked::AtMost(most), unit: Unit::Share, estimate, interval, sample, needed, reason }
}

pub(super) fn error_rate(case: &Case<'_>, asked: ErrorRate) -> Finding {
    let (errors, pairs) = (case.evidence.errors(), case.evidence.pairs);
    let ErrorRate { allowed, margin } = asked;
    let decide = |errors: crate::PairedErrors| {
        // Against a tolerance of zero the coin between the sides is the sharper test.
        let above =
            if allowed == 0.0 { errors.shows_increase(case.fail) } else { errors.interval(case.fail).low > allowed };
        if above {
            Decision::Fail
        } else if errors.interval(case.pass).high <= allowed + margin {
            Decision::Pass
        } else {
            Decision::Insufficient
        }
    };
    let decision = decide(errors);
    let clean = |clean| decide(crate::PairedErrors::new(clean, 0, 0));
    let needed = needed(decision, pairs.pairs, |factor| decide(errors.times(factor)), clean);
    let (estimate, interval) = (errors.estimate(), errors.interval(case.pass));
    let counts = format!(
        "Of {} requests {} failed on the candidate alone and {} on the primary alone",
        count(pairs.pairs),
        count(pairs.only_candidate),
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
    let asked = Asked::AtMost(allowed + margin);
    Finding { decision, asked, unit: Unit::Share, estimate, interval, sample: pairs.pairs, needed, reason }
}

/// The share of what was captured is known exactly. Too little of it is no fault of the candidate's, so this never fails.
pub(super) fn coverage(compared: u64, captured: u64, least: f64) -> Finding {
    let estimate = (captured > 0).then(|| compared as f64 / captured as f64);
    let enough = estimate.is_some_and(|share| share >= least);
    let (decision, needed) = if enough {
        (Decision::Pass, Needed::Nothing)
    } else {
        let missing = (least * captured as f64).ceil() as u64;
        let missing = missing.saturating_sub(compared);
        (Decision::Insufficient, if captured == 0 { Needed::Unknown } else { Needed::AtLeast(missing) })
    };
    let share = estimate.unwrap_or(0.0);
    let reason = format!(
        "{} of {} captured requests were compared ({}), and {} is asked.",
        count(compared),
        count(captured),
        percent(share),
        percent(least)
    );
    let interval = Interval { low: share, high: share };
    Finding {
        decision,
        asked: Asked::AtLeast(least),
        unit: Unit::Share,
        estimate,
        interval,
        sample: captured,
        needed,
        reason,
    }
}

/// On events that may not be more frequent than `most`.
fn decide(pass: Interval, fail: Interval, most: f64) -> Decision {
    if fail.low > most {
        Decision::Fail
    } else if pass.high <= most {
        Decision::Pass
    } else {
        Decision::Insufficient
    }
}

/// What an open gate needs; `grown` decides on a sample so many times as large, `clean` on so many good requests alone.
fn needed(decision: Decision, sample: u64, grown: impl Fn(f64) -> Decision, clean: impl Fn(u64) -> Decision) -> Needed {
    match (decision, sample) {
        (Decision::Insufficient, 0) => Needed::from_nothing(|requests| clean(requests) != Decision::Insufficient),
        (Decision::Insufficient, _) => Needed::after(sample, |factor| grown(factor) != Decision::Insufficient),
        _ => Needed::Nothing,
    }
}
