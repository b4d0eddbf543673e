//! The verdict for people: the word first, then why, then every gate.

use shadow_verdict::{Asked, Decision, GateResult, Interval, Needed, Unit};

use super::{Answer, GatesFrom};
use crate::table::Table;
use crate::words::{count, share};

pub(super) fn people(answer: &Answer) -> String {
    let verdict = &answer.verdict;
    let from = match answer.gates_from {
        GatesFrom::File => "the gates of --gates",
        GatesFrom::Launch => "the launch's own gates",
        GatesFrom::Defaults => "the default gates",
    };
    let notes: String = verdict.notes.iter().map(|note| format!("{note}\n")).collect();
    let mut text = format!(
        "{}: {}\n{}\n{notes}\nby {from}, at {} confidence; latency against the {}'s\n",
        answer.launch,
        verdict.decision.as_str().to_uppercase(),
        verdict.reason,
        share(verdict.confidence),
        answer.reference,
    );
    let mut table =
        Table::new(&["says", "of", "gate", ">observed", "plausible", "asked", ">requests", ">more needed", ""]);
    for gate in &verdict.gates {
        table.row([
            gate.decision.as_str().to_owned(),
            place(gate.route.as_deref()),
            gate.gate.to_owned(),
            gate.estimate.map_or("-".to_owned(), |value| gate.unit.show(value)),
            interval(gate.unit, gate.interval),
            asked(gate),
            count(gate.sample),
            needed(gate.needed),
            if gate.required { "" } else { "not required" }.to_owned(),
        ]);
    }
    text.push_str(&table.render());
    let open = verdict.gates.iter().filter(|gate| gate.decision != Decision::Pass && gate.required);
    let failing = verdict.gates.iter().filter(|gate| gate.decision == Decision::Fail && !gate.required);
    let sentences: Vec<String> =
        failing.chain(open).map(|gate| format!("  {}: {}\n", place(gate.route.as_deref()), gate.reason)).collect();
    if !sentences.is_empty() {
        text.push_str(&format!("\nwhy\n{}", sentences.concat()));
    }
    text.push_str(&measures(answer));
    text
}

/// What is reported whether asked for or not, of all routes together; `--json` has each route's.
fn measures(answer: &Answer) -> String {
    let mut table = Table::new(&["measured on the launch", ">observed", "plausible", ">requests"]);
    for measure in answer.verdict.measures.iter().filter(|measure| measure.route.is_none()) {
        let name = match &measure.class {
            Some(class) => format!("{} of class {class}", measure.measure),
            None => measure.measure.clone(),
        };
        let Some(estimate) = measure.estimate else { continue };
        let observed = measure.unit.show(estimate);
        table.row([name, observed, interval(measure.unit, measure.interval), count(measure.sample)]);
    }
    format!("\n{}", table.render())
}

pub(crate) fn place(route: Option<&str>) -> String {
    route.unwrap_or("the launch").to_owned()
}

pub(crate) fn interval(unit: Unit, interval: Interval) -> String {
    let Interval { low, high } = interval;
    match (low.is_finite(), high.is_finite()) {
        (true, true) if low == high => unit.show(low),
        (true, true) => format!("{} to {}", unit.show(low), unit.show(high)),
        (true, false) => format!("{} and more", unit.show(low)),
        (false, true) => format!("up to {}", unit.show(high)),
        (false, false) => "any".to_owned(),
    }
}

pub(crate) fn asked(gate: &GateResult) -> String {
    match gate.asked {
        Asked::AtLeast(least) => format!(">= {}", gate.unit.show(least)),
        Asked::AtMost(most) => format!("<= {}", gate.unit.show(most)),
    }
}

fn needed(needed: Needed) -> String {
    match needed {
        Needed::Nothing | Needed::NotForeseen => String::new(),
        Needed::About(more) => format!("about {}", count(more)),
        Needed::AtLeast(more) => format!("at least {}", count(more)),
        Needed::Unknown => "cannot be told".to_owned(),
    }
}
