//! The page as a whole: the verdict first, then what it rests on.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Page, sections};
use crate::words::{count, share};

const STYLE: &str = include_str!("style.css");

pub(super) fn page(page: &Page) -> Markup {
    let launch = &page.report.launch;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing may be loaded, whatever a value managed to become.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (launch.launch) ": " (page.answer.verdict.decision.as_str()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (header(page))
                    (sections::gates(&page.answer))
                    (sections::ledger(&page.report))
                    (sections::routes(&page.report))
                    (sections::calls(&page.answer.effects))
                    (sections::faults(&page.report, &page.findings))
                    (sections::latency(page))
                    (sections::time(&page.findings))
                    (sections::noise(&page.report))
                    (sections::expected(&page.report))
                    (footer(page))
                }
            }
        }
    }
}

fn header(page: &Page) -> Markup {
    let (launch, verdict) = (&page.report.launch, &page.answer.verdict);
    let compared: u64 = page.report.match_rate.iter().map(|rate| rate.compared).sum();
    let differing: u64 = page.report.match_rate.iter().map(|rate| rate.differing).sum();
    html! {
        header {
            p.eyebrow { "Shadowline · rehearsal of " strong { (launch.service) } " · " (page.at) }
            h1 { (launch.launch) }
            div class={ "verdict " (verdict.decision.as_str()) } {
                span.word { (verdict.decision.as_str()) }
                p { (verdict.reason) }
            }
            dl.facts {
                div { dt { "requests captured" } dd { (count(page.report.ledger.captured)) } }
                div { dt { "compared" } dd { (count(compared)) } }
                div { dt { "match rate" } dd { (crate::words::percent(compared - differing, compared)) } }
                div { dt { "faults" } dd { (count(page.report.signatures_total)) } }
                div { dt { "confidence" } dd { (share(verdict.confidence)) } }
            }
            p.muted {
                "candidate " code { (launch.candidate) }
                @if !launch.control.is_empty() { " · control " code { (launch.control) } }
                " · sample " (share(launch.sample))
            }
        }
    }
}

fn footer(page: &Page) -> Markup {
    html! {
        footer {
            p {
                "Intervals are confidence sequences at " (share(page.answer.verdict.confidence))
                ": they stay true however often one looks while requests come in. The risk that any gate fails by chance is shared "
                "among all gates and routes. They hold for requests that are independent of each other and of one kind per route; "
                "bursts of alike requests say less than their number."
            }
            p { "Values are masked. Made by " code { "shadowctl report " (page.report.launch.launch) " --html" } "." }
        }
    }
}
