//! Outbound calls: of how many exchanges they were compared. Those that differ stand among the faults.

use maud::{Markup, html};

use crate::commands::verdict::effects::Effects;
use crate::words::count;

pub(in super::super) fn calls(effects: &Effects) -> Markup {
    if effects.is_absent() {
        return html! {};
    }
    let not_compared = effects.not_compared();
    html! {
        section {
            h2 { "Outbound calls" }
            p {
                "Compared for " strong { (count(effects.compared)) } " exchanges, of which " strong { (count(effects.differing)) } " differ in their calls"
                @if not_compared > 0 { "; NOT compared for " strong { (count(not_compared)) } } "."
                " The primary made " (count(effects.primary_calls)) " calls, the candidate " (count(effects.candidate_calls)) "."
            }
            @if not_compared + effects.uncorrelated + effects.unmatched > 0 {
                ul.reasons {
                    @for (reason, exchanges) in &effects.incomparable { li { "not compared, " code { (reason) } ": " (count(*exchanges)) } }
                    @if effects.uncorrelated > 0 { li { "calls of the candidate without a request, compared with nothing: " (count(effects.uncorrelated)) } }
                    @if effects.unmatched > 0 { li { "calls that no rule of the stub matched: " (count(effects.unmatched)) } }
                }
            }
        }
    }
}
