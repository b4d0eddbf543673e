//! Differences that hold nothing against the candidate: noise, and expected changes.

use maud::{Markup, html};
use serde::Deserialize;

use super::super::findings::Findings;
use crate::words::count;

/// An expected change as the launch's rules declare it.
#[derive(Deserialize)]
struct Declared {
    name: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    expires: String,
    #[serde(default)]
    why: String,
}

#[derive(Default, Deserialize)]
struct Rules {
    #[serde(default)]
    expected: Vec<Declared>,
}

pub(in super::super) fn noise(findings: &Findings) -> Markup {
    html! {
        section {
            h2 { "Noise" }
            @if findings.noise.is_empty() {
                p {
                    @if findings.control.is_empty() { "There is no control, so nothing tells noise from fault." }
                    @else { "No place is known to differ between two copies of the live build." }
                }
            } @else {
                p.muted { "Places that differ between primary and control, which are the same build. Where both differ alike it is noise." }
                div.scroll { table {
                    thead { tr { th { "decision" } th { "route" } th { "place" } th { "kind" } th.num { "pairs" } th.num { "control" } th.num { "candidate" } th { "by" } } }
                    tbody { @for noise in &findings.noise { tr {
                        td { span class={ "chip " (if noise.decision == "noise" { "quiet" } else { "fail" }) } { (noise.decision) } }
                        td.route { (noise.route) }
                        td { code { (noise.place) } }
                        td { (noise.kind) " " span.small { (noise.transition) } }
                        td.num { (count(noise.pairs)) }
                        td.num { (count(noise.control_differing)) }
                        td.num { (count(noise.candidate_differing)) }
                        td { (noise.basis) }
                    } } }
                } }
            }
        }
    }
}

pub(in super::super) fn expected(findings: &Findings) -> Markup {
    // The comparator refuses rules that it cannot read, so these can be read.
    let declared = toml::from_str::<Rules>(&findings.rules).unwrap_or_default().expected;
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    if declared.is_empty() && findings.expected.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Expected changes" }
            div.scroll { table {
                thead { tr { th { "change" } th { "owner" } th { "until" } th.num { "requests" } th { "last seen" } th {} } }
                tbody { @for change in &declared {
                    @let seen = findings.expected.iter().find(|seen| seen.name == change.name);
                    tr {
                        td { strong { (change.name) } @if !change.why.is_empty() { br; span.small { (change.why) } } }
                        td { (change.owner) }
                        td { (change.expires) }
                        td.num { (count(seen.map_or(0, |seen| seen.exchanges))) }
                        td { (seen.map_or("never", |seen| seen.last_seen.as_str())) }
                        td {
                            @if change.expires < today { span.chip.insufficient { "expired" } }
                            @if seen.is_none() { span.chip.quiet { "unused" } }
                        }
                    }
                } }
            } }
        }
    }
}
