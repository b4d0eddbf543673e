//! Gates on what a model answers: its classes and its scores.

use super::rates::{Share, decide, share};
use super::words::{count, more, percent, plural};
use super::{Asked, Case, Decision, Finding, Unit};
use crate::evidence::ClassCounts;
use crate::proportion::Proportion;
use crate::spending;

/// All answers together and each class of the primary's by itself: a rare class that is always wrong hardly shows among the
/// others. A pass needs every class of which there are so many answers that good ones would be enough.
pub(super) fn class_agreement(case: &Case<'_>, least: f64) -> Finding {
    let (trials, events) = case.evidence.disagreements();
    let classes = &case.evidence.classes;
    // Half of the risk for all of them together, half for the classes.
    let all = Case { fail: case.fail / 2.0, ..*case };
    let each = Case { fail: case.fail / 2.0 * spending::part(classes.len()), ..*case };
    let mut finding = share(&all, &Share { events, trials, least, what: "answers with a class", did: "agreed" });
    let most = 1.0 - least;
    let events = |class: &ClassCounts| Proportion::new(class.pairs, class.pairs.saturating_sub(class.agreeing));
    let enough = |class: &&ClassCounts| Proportion::new(class.pairs, 0).is_at_most(most, case.pass);
    let decided = |wanted: Decision| classes.iter().filter(move |class| decide(&each, events(class), most) == wanted);
    let worst = |one: &&ClassCounts, other: &&ClassCounts| {
        let rate = |class: &ClassCounts| class.agreeing as f64 / class.pairs.max(1) as f64;
        rate(one).total_cmp(&rate(other))
    };
    let (decision, class) = if let Some(failing) = decided(Decision::Fail).min_by(worst) {
        (Decision::Fail, Some(failing))
    } else if finding.decision == Decision::Pass {
        let open = decided(Decision::Insufficient).filter(enough).min_by(worst);
        (if open.is_some() { Decision::Insufficient } else { Decision::Pass }, open)
    } else {
        (finding.decision, None)
    };
    if let Some(class) = class {
        let does = if decision == Decision::Fail { "fails" } else { "is not decided" };
        let share = percent(class.agreeing as f64 / class.pairs.max(1) as f64);
        let own = format!("class {} {does}: {share} of {} agreed", class.class, count(class.pairs));
        finding.reason = format!("{}; {own}.", finding.reason.trim_end_matches('.'));
        let own = events(class);
        let grown = |factor: f64| decide(&each, own.times(factor), most);
        finding.needed = case.needed(decision, class.pairs, grown, |_| decision);
    }
    finding.decision = decision;
    finding
}

pub(super) fn score_difference(case: &Case<'_>, most: f64) -> Finding {
    let (scores, sample) = (case.evidence.score_differences(), case.evidence.scores.pairs);
    let decide = |scores: Proportion| decide(case, scores, most);
    let decision = decide(scores);
    let clean = |clean| decide(Proportion::new(clean, 0));
    let needed = case.needed(decision, sample, |factor| decide(scores.times(factor)), clean);
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
    let cut = case.evidence.scores.cut;
    let reason =
        if cut == 0 { reason } else { format!("{reason} {} above 1 count as 1.", plural(cut as usize, "difference")) };
    Finding { decision, asked: Asked::AtMost(most), unit: Unit::Share, estimate, interval, sample, needed, reason }
}
