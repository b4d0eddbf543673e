//! Every gate with its interval drawn against its limit.

use maud::{Markup, html};
use shadow_verdict::{Decision, GateResult, Needed};

use super::super::plot;
use crate::commands::verdict::{Answer, GatesFrom, render};
use crate::words::{count, share};

pub(in super::super) fn gates(answer: &Answer) -> Markup {
    let verdict = &answer.verdict;
    let rank = |gate: &&GateResult| match (gate.decision, gate.required) {
        (Decision::Fail, _) => 0,
        (Decision::Insufficient, true) => 1,
        (Decision::Insufficient, false) => 3,
        _ => 2,
    };
    let of = |wanted: u8| verdict.gates.iter().filter(move |gate| rank(gate) == wanted);
    let from = match answer.gates_from {
        GatesFrom::File => "a gates file",
        GatesFrom::Launch => "the launch's own gates",
        GatesFrom::Defaults => "the default gates",
    };
    html! {
        section {
            h2 { "Gates" }
            p.muted {
                "By " (from) ", latency against the " (answer.reference) ". The tinted side is good, the bar is what is plausible at "
                (share(verdict.confidence)) ", the dot what was observed."
            }
            @if verdict.gates.is_empty() { p { "No gate is asked for." } }
            div.scroll { table.gates {
                thead { tr { th { "says" } th { "of" } th { "gate" } th.num { "observed" } th { "plausible" } th.num { "asked" } th.num { "requests" } } }
                @for group in 0..3 { tbody { @for gate in of(group) { (row(gate)) } } }
            } }
            @if of(3).count() > 0 {
                details {
                    summary { (of(3).count()) " gates on routes with little traffic lack evidence and are not required" }
                    div.scroll { table.gates { tbody { @for gate in of(3) { (row(gate)) } } } }
                }
            }
        }
    }
}

fn row(gate: &GateResult) -> Markup {
    let needed = match gate.needed {
        Needed::About(more) => Some(format!("about {} more needed", count(more))),
        Needed::AtLeast(more) => Some(format!("at least {} more needed", count(more))),
        Needed::Unknown => Some("too near the limit to tell what is needed".to_owned()),
        Needed::Nothing => None,
    };
    let plain = gate.decision == Decision::Pass;
    html! {
        tr.plain[plain] {
            td { span class={ "chip " (gate.decision.as_str()) } { (gate.decision.as_str()) } }
            td.route { (render::place(gate.route.as_deref())) }
            td { code { (gate.gate) } }
            td.num { (gate.estimate.map_or("–".to_owned(), |value| gate.unit.show(value))) }
            td.drawn { (plot::interval(gate)) span.small { (render::interval(gate.unit, gate.interval)) } }
            td.num { (render::asked(gate)) }
            td.num { (count(gate.sample)) @if let Some(needed) = needed { br; span.small { (needed) } } }
        }
        @if !plain { tr.why { td {} td colspan="6" { (gate.reason) } } }
    }
}
