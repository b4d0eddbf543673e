//! The verdict in words: its one sentence, and what else has to be known.

use super::words::{count, percent, plural};
use super::{Decision, GateResult, Lacking, Needed};
use crate::evidence::{EffectEvidence, Evidence, State};
use crate::gates::Gates;

/// What forbids a pass whatever the gates say.
pub(super) fn hindrance(evidence: &Evidence) -> Option<String> {
    let conflicts = evidence.launch.conflicts;
    match evidence.state {
        State::Halted => Some("a replayer of it is paused by the kill switch or a guard".to_owned()),
        State::RolledBack => Some("the launch was rolled back".to_owned()),
        State::Active | State::Paused | State::Promoted if conflicts > 0 => {
            let belong = if conflicts == 1 { "answer belongs" } else { "answers belong" };
            Some(format!("{} {belong} to another request than the one that was captured", count(conflicts)))
        }
        State::Active | State::Paused | State::Promoted => None,
    }
}

/// What a verdict cannot show in its gates.
pub(super) fn notes(gates: &Gates, evidence: &Evidence, unseen: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    let state = match evidence.state {
        State::Active => None,
        State::Paused => Some("The launch is paused."),
        State::Halted => {
            Some("A replayer of the launch is paused by the kill switch or a guard; `shadowctl status` tells by whom.")
        }
        State::Promoted => Some("The launch was promoted."),
        State::RolledBack => Some("The launch was rolled back."),
    };
    notes.extend(state.map(str::to_owned));
    if evidence.launch.conflicts > 0 {
        let conflicts = count(evidence.launch.conflicts);
        notes.push(format!("Answers to another request than the one that was captured (conflict): {conflicts}."));
    }
    if !unseen.is_empty() {
        notes.push(format!("The gates name routes that were never seen: {}.", listed(unseen)));
    }
    let left_out = |(route, of): &&(String, _)| gates.excepts(route) && captured(of) > 0;
    let left_out: Vec<&str> = evidence.routes.iter().filter(left_out).map(|(route, _)| route.as_str()).collect();
    if !left_out.is_empty() {
        notes.push(format!("The gates let a pass do without {}.", listed(&left_out)));
    }
    if evidence.rules_versions > 1 {
        let versions = evidence.rules_versions;
        notes.push(format!("Answers were compared under {versions} versions of the rules; this verdict mixes them."));
    }
    notes.extend(effects(&evidence.effects));
    if let Some(control) = evidence.launch.control {
        if control.asked == 0 {
            notes.push("The control got no request yet, so no difference is known to be noise or a fault.".to_owned());
        } else if control.failed == control.asked {
            notes.push(format!("The control answered none of its {} requests.", count(control.asked)));
        }
    }
    notes
}

/// Which outbound calls were compared with nothing.
fn effects(effects: &EffectEvidence) -> Vec<String> {
    let mut notes = Vec::new();
    let (compared, not_compared) = (count(effects.compared), effects.not_compared());
    if not_compared > 0 {
        let why: Vec<String> =
            effects.incomparable.iter().map(|(reason, requests)| format!("{reason} {}", count(*requests))).collect();
        notes.push(format!(
            "Outbound calls were compared for {compared} requests and could not be for {} ({}): about those nothing is said.",
            count(not_compared),
            why.join(", ")
        ));
    }
    if effects.uncorrelated > 0 {
        let calls = count(effects.uncorrelated);
        notes.push(format!(
            "Outbound calls of the candidate that told of no request, and were compared with nothing: {calls}."
        ));
    }
    if effects.ignored() {
        let calls = count(effects.recorded);
        notes.push(format!("Outbound calls of the candidate were recorded ({calls}), and none was compared."));
    }
    notes
}

fn captured(scope: &crate::evidence::ScopeEvidence) -> u64 {
    scope.captured
}

/// The first few, and how many more.
pub(super) fn listed(names: &[&str]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED).map(|name| (*name).to_owned()).collect();
    if names.len() > NAMED {
        shown.push(format!("{} more", names.len() - NAMED));
    }
    shown.join(", ")
}

/// Gates named in the sentence on a launch; the others are counted.
const NAMED: usize = 3;

pub(super) fn reason(
    decision: Decision,
    evidence: &Evidence,
    results: &[GateResult],
    lacking: &[Lacking],
    hindrance: Option<String>,
) -> String {
    let required = results.iter().filter(|result| result.required).count();
    match decision {
        Decision::Unbalanced => {
            "The ledger does not balance: some captured request is unaccounted for or counted twice, so nothing is shown."
                .to_owned()
        }
        Decision::Fail => {
            let failing: Vec<&GateResult> = results.iter().filter(|r| r.decision == Decision::Fail).collect();
            let verb = if failing.len() == 1 { "fails" } else { "fail" };
            format!("{} of {} {verb}: {}.", failing.len(), plural(results.len(), "gate"), names(&failing))
        }
        Decision::Pass => {
            let optional: Vec<&Lacking> = lacking.iter().filter(|route| !route.required).collect();
            let mut text = format!("All {} pass", plural(required, "required gate"));
            if !optional.is_empty() {
                let share: f64 = optional.iter().map(|route| route.share).sum();
                let routes = plural(optional.len(), "route");
                text.push_str(&format!("; {routes} with {} of the traffic could not be judged", percent(share)));
            }
            if evidence.effects.incomplete() {
                text.push_str("; not all outbound calls could be compared");
            }
            format!("{text}.")
        }
        Decision::Insufficient if evidence.captured == 0 || evidence.balanced.is_none() => {
            "Nothing of this launch was accounted for yet.".to_owned()
        }
        Decision::Insufficient if required == 0 => "No gate is asked for, so nothing can be shown.".to_owned(),
        Decision::Insufficient
            if results.iter().all(|result| !result.required || result.decision == Decision::Pass) =>
        {
            let but = hindrance.unwrap_or_else(|| "nothing is known for sure".to_owned());
            format!("All {} pass, but {but}.", plural(required, "required gate"))
        }
        Decision::Insufficient => {
            let open = |r: &&GateResult| r.required && r.decision == Decision::Insufficient;
            let open: Vec<&GateResult> = results.iter().filter(open).collect();
            let verb = if open.len() == 1 { "lacks" } else { "lack" };
            let more = match Needed::of_all(open.iter().map(|result| result.needed)) {
                Needed::About(more) => format!("; about {} more comparable requests would decide", count(more)),
                Needed::AtLeast(more) => format!("; at least {} more comparable requests are needed", count(more)),
                Needed::Nothing | Needed::Unknown | Needed::NotForeseen => String::new(),
            };
            let all = plural(required, "required gate");
            format!("{} of {all} {verb} evidence: {}{more}.", open.len(), names(&open))
        }
    }
}

fn names(results: &[&GateResult]) -> String {
    let name = |result: &&GateResult| match &result.route {
        Some(route) => format!("{} of {route}", result.gate),
        None => format!("{} of the launch", result.gate),
    };
    let mut names: Vec<String> = results.iter().take(NAMED).map(name).collect();
    if results.len() > NAMED {
        names.push(format!("{} more", results.len() - NAMED));
    }
    names.join(", ")
}
