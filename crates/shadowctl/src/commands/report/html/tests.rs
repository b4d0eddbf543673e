//! What traffic says cannot become markup, and the page asks nobody for anything.

use shadow_verdict::{Evidence, Gates, Pairs, Reference, ScopeEvidence, State, judge};

use super::findings::{Age, Curve, FaultMinute, LEVELS, Minute};
use super::*;
use crate::commands::ledger::LaunchLedger;
use crate::commands::noise::NoiseRow;
use crate::commands::report::{Coverage, Driver, ExpectedChange, LaunchRow, MatchRate, SignatureRow};

/// In every place that comes from traffic.
const HOSTILE: &str = "</td><script>alert(1)</script>\"'&";

fn hostile() -> Page {
    let text = || HOSTILE.to_owned();
    let scope = ScopeEvidence {
        captured: 100,
        sent: 100,
        answered: 100,
        compared: 100,
        differing: 60,
        pairs: Pairs { pairs: 100, only_candidate: 1, only_primary: 0 },
        ..ScopeEvidence::default()
    };
    let evidence = Evidence {
        balanced: Some(true),
        captured: 100,
        launch: scope.clone(),
        routes: vec![(text(), scope)],
        ..Evidence::default()
    };
    let levels = || (1..=LEVELS.len()).map(|i| i as f64 * 1000.0).collect::<Vec<_>>();
    Page {
        report: Report {
            launch: LaunchRow {
                launch: "shop-v2".into(),
                service: text(),
                candidate: text(),
                control: text(),
                rules: "[[expected]]\nname = '</td><script>'\nowner = '</td><script>'\nexpires = '2020-01-01'"
                    .to_owned(),
                ..LaunchRow::default()
            },
            ledger: LaunchLedger { launch: "shop-v2".into(), captured: 100, completed: 100, ..LaunchLedger::default() },
            coverage: vec![Coverage { outcome: text(), reason: text(), offsets: 1 }],
            match_rate: vec![MatchRate { route: text(), compared: 100, differing: 60, ..MatchRate::default() }],
            signatures: vec![SignatureRow {
                signature: "s".into(),
                route: text(),
                place: text(),
                kind: text(),
                transition: text(),
                example_request_ids: vec![None, Some(text())],
                example_primary: text(),
                example_candidate: text(),
                only_stale: 1,
                driver: Some(Driver { attribute: text(), is: "=".into(), value: text(), ..Driver::default() }),
                ..SignatureRow::default()
            }],
            signatures_total: 1,
            noise: vec![NoiseRow {
                route: text(),
                place: text(),
                kind: text(),
                transition: text(),
                ..NoiseRow::default()
            }],
            expected_changes: vec![ExpectedChange { name: text(), exchanges: 3 }],
            ..Report::default()
        },
        answer: verdict::Answer {
            launch: "shop-v2".into(),
            gates_from: verdict::GatesFrom::Defaults,
            reference: Reference::Control,
            state: State::Active,
            effects: verdict::effects::Effects {
                compared: 3,
                incomparable: [(text(), 2)].into(),
                ..Default::default()
            },
            verdict: judge(&Gates::default(), &evidence),
        },
        findings: Findings {
            trend: (0..5).map(|i| Minute { minute: i * 60, compared: 10, differing: i }).collect(),
            fault_trend: vec![FaultMinute { signature: "s".into(), minute: 60, exchanges: 3 }],
            staleness: vec![Age { staler_than_s: 0, compared: 100, differing: 60 }],
            curves: vec![Curve {
                scope: text(),
                pairs: 100,
                controls: 10,
                primary: levels(),
                candidate: levels(),
                control: levels(),
                difference: levels(),
            }],
        },
        at: "2026-01-31 12:00 UTC".into(),
    }
}

#[test]
fn nothing_from_traffic_becomes_markup() {
    let text = page::page(&hostile()).into_string();
    assert!(!text.contains("<script"), "a value became an element");
    // A quote that ended an attribute would leave the rest of the value behind it.
    assert!(!text.contains("</script>\"'&"), "a value left its attribute");
    assert!(text.matches("&lt;script&gt;").count() > 15, "the values are there, as text");
    assert!(text.contains("expired") && text.contains("unused"));
}

#[test]
fn the_page_asks_nobody_for_anything() {
    let text = page::page(&hostile()).into_string();
    for word in ["src=", "href=", "url(", "@import", "http://", "https://"] {
        assert!(!text.contains(word), "{word}");
    }
    assert!(text.contains("default-src 'none'"));
}

#[test]
fn a_launch_of_which_nothing_is_known_has_a_page_that_says_so() {
    let page = Page {
        report: Report::default(),
        answer: verdict::Answer { verdict: judge(&Gates::default(), &Evidence::default()), ..hostile().answer },
        findings: Findings::default(),
        at: String::new(),
    };
    let text = page::page(&page).into_string();
    for said in
        ["Nothing of this launch was accounted for yet", "There is no account yet", "Nothing has been compared yet"]
    {
        assert!(text.contains(said), "{said}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf\""), "{text}");
}
