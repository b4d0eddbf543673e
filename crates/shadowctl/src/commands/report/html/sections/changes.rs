//! Differences that hold nothing against the candidate: noise, and expected changes.

use maud::{Markup, html};
use serde::Deserialize;

use super::super::Report;
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

pub(in super::super) fn noise(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Noise" }
            @if report.noise.is_empty() {
                p {
                    @if report.launch.control.is_empty() { "There is no control, so nothing tells noise from fault." }
                    @else { "No place is known to differ between two copies of the live build." }
                }
            } @else {
                p.muted { "Places that differ between primary and control, which are the same build. Where both differ alike it is noise." }
                div.scroll { table {
                    thead { tr { th { "route" } th { "place" } th { "kind" } th.num { "pairs" } th.num { "control" } th.num { "candidate" } th { "by" } } }
                    tbody { @for noise in &report.noise { tr {
                                        td.route { (noise.route) }
                        td { code { (noise.place) } }
                        td { (noise.kind) " " span.small { (noise.transition) } }
                        td.num { (count(noise.pairs)) }
                        td.num { (count(noise.control_differing)) }
                        td.num { (count(noise.candidate_differing)) }
                        td { (noise.basis) @if !noise.until.is_empty() { span.small { " until " (noise.until) } } }
                    } } }
                } }
            }
        }
    }
}

pub(in super::super) fn expected(report: &Report) -> Markup {
    // The comparator refuses rules that it cannot read, so these can be read.
    let declared = toml::from_str::<Rules>(&report.launch.rules).unwrap_or_default().expected;
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    if declared.is_empty() && report.expected_changes.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Expected changes" }
            div.scroll { table {
                thead { tr { th { "change" } th { "owner" } th { "until" } th.num { "requests" } th {} } }
                tbody { @for change in &declared {
                    @let seen = report.expected_changes.iter().find(|seen| seen.name == change.name);
                    tr {
                        td { strong { (change.name) } @if !change.why.is_empty() { br; span.small { (change.why) } } }
                        td { (change.owner) }
                        td { (change.expires) }
                        td.num { (count(seen.map_or(0, |seen| seen.exchanges))) }
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
