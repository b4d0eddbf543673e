//! What the verdict rests on: the account, the routes, latency, and time.

use maud::{Markup, html};
use shadow_verdict::{Measure, Reference};

use super::super::findings::{Age, Curve, Findings, Minute};
use super::super::plot::{self, Line};
use super::super::{Page, Report};
use crate::commands::verdict::render;
use crate::words::{count, percent};

/// Columns of a plot over time, at most.
const COLUMNS: usize = 72;

pub(in super::super) fn ledger(report: &Report) -> Markup {
    let l = &report.ledger;
    let outcomes = [
        ("completed", l.completed, "completed"),
        ("failed", l.failed, "failed"),
        ("skipped", l.skipped, "skipped"),
        ("dead", l.dead_lettered, "dead-lettered"),
        ("pending", l.pending, "pending"),
    ];
    let results = [
        ("matched", l.matched, "matched"),
        ("noisy", l.noise, "noise"),
        ("expected", l.expected, "expected"),
        ("differing", l.differing, "differing"),
        ("unclear", l.truncated + l.incomparable + l.conflict, "not comparable in full"),
        ("pending", l.uncompared, "not compared yet"),
    ];
    html! {
        section {
            h2 { "Every request is accounted for" }
            @if l.is_absent() {
                p { "There is no account yet: the comparator has not read anything of this launch." }
            } @else {
                p.balance.bad[l.balanced == 0] {
                    @if l.balanced == 1 { "The ledger balances." } @else { "The ledger does NOT balance: trust nothing else on this page." }
                    " " (count(l.captured)) " captured, " (count(l.completed)) " answered by the candidate."
                }
                (bar(&outcomes))
                (bar(&results))
                @if !report.coverage.is_empty() {
                    ul.reasons { @for reason in &report.coverage {
                        li { (reason.outcome) " for " code { (reason.reason) } ": " (count(reason.offsets)) }
                    } }
                }
            }
        }
    }
}

fn bar(parts: &[(&str, i64, &str)]) -> Markup {
    html! {
        (plot::stack(parts))
        ul.legend { @for (class, number, name) in parts.iter().filter(|part| part.1 != 0) {
            li { span class={ "swatch " (class) } {} (name) " " strong { (count(*number)) } }
        } }
    }
}

pub(in super::super) fn routes(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Match rate by route" }
            @if report.match_rate.is_empty() { p { "Nothing has been compared yet." } } @else {
                div.scroll { table {
                    thead { tr { th { "route" } th {} th.num { "compared" } th.num { "differing" } th.num { "noise" } th.num { "match rate" } } }
                    tbody { @for rate in &report.match_rate {
                        @let parts = [
                            ("matched", rate.matched as i64, "matched"),
                            ("noisy", rate.noise as i64, "noise"),
                            ("expected", rate.expected as i64, "expected"),
                            ("differing", rate.differing as i64, "differing"),
                        ];
                        tr {
                            td.route { (rate.route) }
                            td.wide { (plot::stack(&parts)) }
                            td.num { (count(rate.compared)) }
                            td.num { (count(rate.differing)) }
                            td.num { (count(rate.noise)) }
                            td.num { strong { (percent(rate.compared - rate.differing, rate.compared)) } }
                        }
                    } }
                } }
            }
        }
    }
}

pub(in super::super) fn latency(page: &Page) -> Markup {
    let against = page.answer.reference;
    let (whole, routes): (Vec<&Curve>, Vec<&Curve>) =
        page.findings.curves.iter().filter(|curve| curve.pairs > 0).partition(|curve| curve.scope.is_empty());
    let measures = |route: Option<&str>| -> Vec<&Measure> {
        let all = page.answer.verdict.measures.iter();
        all.filter(|m| m.route.as_deref() == route && m.measure.ends_with("_ms")).collect()
    };
    html! {
        section {
            h2 { "Latency" }
            @if page.findings.curves.is_empty() { p { "No request has a latency on both sides yet." } } @else {
                p.muted {
                    "By percentile, on a logarithmic scale"
                    @if against == Reference::Control { "; control and candidate were asked at the same moment from the same place" }
                    ". Right: candidate minus " (against) ", request by request."
                }
                ul.legend {
                    li { span.swatch.line-primary {} "primary, in production" }
                    @if against == Reference::Control { li { span.swatch.line-control {} "control" } }
                    li { span.swatch.line-candidate {} "candidate" }
                }
                div.plots { @for curve in whole { (curve_card(curve, against)) } }
                @let whole = measures(None);
                @if !whole.is_empty() {
                    div.scroll { table {
                        thead { tr { th { "all routes" } th.num { "observed" } th { "plausible" } th.num { "requests" } } }
                        tbody { @for measure in whole {
                            tr {
                                td { code { (measure.measure) } }
                                td.num { (measure.estimate.map_or("–".to_owned(), |value| measure.unit.show(value))) }
                                td { (render::interval(measure.unit, measure.interval)) }
                                td.num { (count(measure.sample)) }
                            }
                        } }
                    } }
                }
                @if !routes.is_empty() {
                    details {
                        summary { "By route: the " (routes.len()) " with the most requests" }
                        div.plots { @for curve in routes { (curve_card(curve, against)) } }
                    }
                }
            }
        }
    }
}

fn curve_card(curve: &Curve, against: Reference) -> Markup {
    let ms = |us: &[f64]| us.iter().map(|us| us / 1000.0).collect::<Vec<f64>>();
    let (primary, candidate, control) = (ms(&curve.primary), ms(&curve.candidate), ms(&curve.control));
    let difference = ms(&curve.difference);
    let mut lines = vec![Line { class: "primary", values: &primary }];
    let control_measured = against == Reference::Control && curve.controls > 0;
    if control_measured {
        lines.push(Line { class: "control", values: &control });
    }
    lines.push(Line { class: "candidate", values: &candidate });
    let name = if curve.scope.is_empty() { "all routes" } else { &curve.scope };
    html! {
        figure {
            figcaption { strong { (name) } " " span.small { (count(curve.pairs)) " requests" } }
            div.pair {
                (plot::percentiles(&lines))
                @if against == Reference::Primary || control_measured {
                    (plot::differences(&Line { class: "candidate", values: &difference }))
                }
            }
        }
    }
}

pub(in super::super) fn time(findings: &Findings) -> Markup {
    html! {
        section {
            h2 { "Over time" }
            @if let (Some(first), Some(last)) = (findings.trend.first(), findings.trend.last()) {
                p.muted { "Share of compared requests with a fault, by when they were captured: " (clock(first.minute)) " to " (clock(last.minute)) " UTC." }
                @let columns = shares(&findings.trend);
                @if columns.len() < 3 {
                    p { "Too short a time for a plot: " (columns.iter().map(|(_, said)| said.as_str()).collect::<Vec<_>>().join(", then ")) "." }
                } @else { (plot::columns(&columns)) }
            } @else { p { "Nothing has been compared yet." } }
            h3 { "By age" }
            p.muted { "A fault that only old requests show may be data that moved on between capture and replay, not the candidate." }
            div.scroll { table {
                thead { tr { th { "sent after capture" } th.num { "compared" } th.num { "differing" } th.num { "share" } } }
                tbody { @for (i, age) in findings.staleness.iter().enumerate() { (age_row(age, findings.staleness.get(i + 1))) } }
            } }
        }
    }
}

fn age_row(age: &Age, next: Option<&Age>) -> Markup {
    let seconds = |s: u32| match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..86_400 => format!("{} h", s / 3600),
        _ => format!("{} d", s / 86_400),
    };
    html! {
        tr {
            td { (seconds(age.staler_than_s)) @match next { Some(next) => { " to " (seconds(next.staler_than_s)) } None => " and more" } }
            td.num { (count(age.compared)) }
            td.num { (count(age.differing)) }
            td.num { (percent(age.differing, age.compared)) }
        }
    }
}

/// Minutes gathered to as many columns as fit, with what each says when pointed at.
fn shares(minutes: &[Minute]) -> Vec<(Option<f64>, String)> {
    let (Some(first), Some(last)) = (minutes.first(), minutes.last()) else { return Vec::new() };
    let columns = columns_of(first.minute, last.minute);
    let mut sums = vec![(0_u64, 0_u64); columns];
    for minute in minutes {
        let sum = &mut sums[column(minute.minute, first.minute, last.minute, columns)];
        *sum = (sum.0 + minute.compared, sum.1 + minute.differing);
    }
    let said = |(compared, differing): (u64, u64)| {
        let share = (compared > 0).then(|| differing as f64 / compared as f64);
        (share, format!("{} of {} ({})", count(differing), count(compared), percent(differing, compared)))
    };
    sums.into_iter().map(said).collect()
}

/// One column a minute as long as they fit.
pub(super) fn columns_of(first: u64, last: u64) -> usize {
    (((last.saturating_sub(first)) / 60 + 1) as usize).min(COLUMNS)
}

pub(super) fn column(at: u64, first: u64, last: u64, columns: usize) -> usize {
    let span = last.saturating_sub(first) + 60;
    ((at.saturating_sub(first)) as usize * columns / span as usize).min(columns - 1)
}

fn clock(minute: u64) -> String {
    let at = jiff::Timestamp::from_second(minute as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_fits_the_columns_and_loses_no_request() {
        let minutes: Vec<Minute> = (0..43_200).map(|i| Minute { minute: i * 60, compared: 2, differing: 1 }).collect();
        let shares = shares(&minutes);
        assert_eq!(shares.len(), COLUMNS);
        assert!(shares.iter().all(|(share, _)| *share == Some(0.5)));
        assert!(shares[0].1.starts_with("600 of 1,200"), "{}", shares[0].1);
    }

    #[test]
    fn one_minute_is_one_column() {
        let shares = shares(&[Minute { minute: 600, compared: 4, differing: 1 }]);
        assert_eq!(shares.len(), 1);
        assert_eq!(shares[0].0, Some(0.25));
    }
}
