//! Verdicts over reports made by hand.

use super::*;
use crate::commands::ledger::LaunchLedger;
use crate::commands::report::{Latency, SignatureRow};
use crate::failure::Kind;

const ASKED: Asked = Asked { charges: 9, mails: 9, by_shadow: 0 };

/// A report of exactly what is seeded.
fn report() -> Report {
    let mut report = Report { ledger: LaunchLedger { balanced: 1, ..Default::default() }, ..Default::default() };
    for seeded in shadow_shop::seeded() {
        for sign in signs(&seeded) {
            if sign.kind == "slower" {
                let [primary_p50_ms, candidate_p50_ms, difference_p50_ms] = [6.0, 61.0, 55.0];
                let route = sign.route;
                let times =
                    Latency { route, primary_p50_ms, candidate_p50_ms, difference_p50_ms, ..Default::default() };
                report.latency.push(Latency { pairs: 90, ..times });
            } else {
                let Finding { route, place, kind, transition } = sign;
                report.signatures.push(SignatureRow {
                    route,
                    place,
                    kind,
                    transition,
                    exchanges: 7,
                    ..Default::default()
                });
            }
        }
    }
    report
}

fn outcome(report: &Report) -> Outcome {
    Outcome::of(&shadow_shop::seeded(), report, &report.latency, ASKED)
}

#[test]
fn exactly_the_seeded_regressions_are_what_is_expected() {
    let judged = outcome(&report());
    assert!(judged.verdict(Duration::ZERO).is_ok());
    insta::assert_snapshot!(judged.render());
}

#[test]
fn a_regression_that_was_not_found_is_named() {
    for index in 0..report().signatures.len() {
        let mut report = report();
        let gone = report.signatures.remove(index);
        let judged = outcome(&report);
        assert_eq!(judged.verdict(Duration::ZERO).unwrap_err().kind, Kind::Negative);
        let text = judged.render();
        assert!(text.contains("MISSING") && text.contains(&gone.place), "{text}");
    }
    let mut fast = report();
    fast.latency.clear();
    let judged = outcome(&fast);
    assert!(judged.verdict(Duration::ZERO).unwrap_err().remedy.contains("2,000"));
    assert!(judged.verdict(Duration::from_secs(1)).unwrap_err().remedy.contains("--rate 100"));
}

#[test]
fn a_finding_that_was_not_seeded_is_named() {
    let mut report = report();
    report.signatures.push(SignatureRow {
        route: "GET /health".into(),
        place: "$.status".into(),
        ..Default::default()
    });
    let judged = outcome(&report);
    assert!(judged.verdict(Duration::ZERO).is_err());
    assert!(judged.render().contains("UNEXPECTED: GET /health  $.status"));
}

#[test]
fn nothing_may_be_found_where_nothing_was_seeded() {
    let mut report = report();
    assert!(Outcome::of(&[], &report, &[], ASKED).verdict(Duration::ZERO).is_err());
    report.signatures.clear();
    assert!(Outcome::of(&[], &report, &report.latency, ASKED).verdict(Duration::ZERO).is_err());
    let clean = Outcome::of(&[], &report, &[], ASKED);
    assert!(clean.verdict(Duration::ZERO).is_ok());
    assert!(
        clean.render().ends_with("none by the shadow\nnothing was seeded and nothing was found\n"),
        "{}",
        clean.render()
    );
}

#[test]
fn a_shadow_that_reached_a_partner_is_never_as_expected() {
    let report = report();
    let judged = Outcome::of(&shadow_shop::seeded(), &report, &report.latency, Asked { by_shadow: 1, ..ASKED });
    assert!(judged.verdict(Duration::ZERO).is_err());
    assert!(judged.render().contains("1 OF THEM by the shadow"), "{}", judged.render());
}

#[test]
fn no_account_that_does_not_balance_is_as_expected() {
    let mut report = report();
    report.ledger.balanced = 0;
    assert!(outcome(&report).verdict(Duration::ZERO).is_err());
}
