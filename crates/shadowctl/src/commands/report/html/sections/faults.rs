//! Faults: what differs, with an example, what it goes together with, and when it was seen.

use maud::{Markup, html};

use super::super::findings::Findings;
use super::super::{Report, plot};
use super::evidence::{column, columns_of};
use crate::commands::report::{Driver, SignatureRow};
use crate::commands::verdict::effects;
use crate::words::{count, share};

/// Longest excerpt of an example, characters.
const EXCERPT: usize = 240;

pub(in super::super) fn faults(report: &Report, findings: &Findings) -> Markup {
    let shown = report.signatures.len() as u64;
    html! {
        section {
            h2 { "Faults" }
            @if report.signatures.is_empty() { p { "No difference that is neither noise nor expected." } }
            @else if report.signatures_total > shown {
                p.muted { "The " (shown) " most frequent of " (count(report.signatures_total)) "." }
            }
            @for fault in &report.signatures { (card(fault, findings)) }
        }
    }
}

fn card(fault: &SignatureRow, findings: &Findings) -> Markup {
    let request = fault.example_request_ids.iter().flatten().next();
    html! {
        article.fault {
            div.head {
                div {
                    span.route { (fault.route) } " " code.place { (fault.place) }
                    " " span.small { (effects::kind(&fault.place, &fault.kind)) @if !fault.transition.is_empty() { " · " (fault.transition) } }
                }
                div.count { strong { (count(fault.exchanges)) } span.small { "requests" } }
            }
            div.sides {
                div { span.small { "primary" } pre { (excerpt(&fault.example_primary)) } }
                div { span.small { "candidate" } pre { (excerpt(&fault.example_candidate)) } }
            }
            p.small.meta {
                (over_time(fault, findings))
                @if let Some(request) = request { span { "earliest " code { (request) } } }
                @if fault.standing == "fault" { span.chip.fail { "proven against the control" } }
                @if fault.only_stale == 1 { span.chip.insufficient { "only " (fault.stale_from_s) " s after capture and later" } }
            }
            @if let Some(driver) = &fault.driver { p.driver { (sentence(driver)) } }
        }
    }
}

fn sentence(driver: &Driver) -> Markup {
    html! {
        "Goes with " code { (driver.attribute) }
        @match driver.is.as_str() {
            "=" => { " = " code { (excerpt(&driver.value)) } }
            "present" => " being there",
            _ => " being absent",
        }
        ": " (share((driver.share * 1000.0).round() / 1000.0)) " of these requests have it, and with it the fault is "
        (format!("{:.1}", driver.lift)) " times as frequent as on all of the route."
    }
}

fn over_time(fault: &SignatureRow, findings: &Findings) -> Markup {
    let (Some(first), Some(last)) = (findings.trend.first(), findings.trend.last()) else { return html! {} };
    let columns = columns_of(first.minute, last.minute);
    if columns < 3 {
        return html! {};
    }
    let mut counts = vec![0; columns];
    for minute in findings.fault_trend.iter().filter(|minute| minute.signature == fault.signature) {
        counts[column(minute.minute, first.minute, last.minute, columns)] += minute.exchanges;
    }
    plot::spark(&counts)
}

/// The beginning of an example; a dash where the side has nothing.
fn excerpt(text: &str) -> String {
    if text.is_empty() {
        return "–".to_owned();
    }
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    if text.chars().count() > EXCERPT {
        shown.push('…');
    }
    shown
}
