//! The report as text.

use super::*;

fn report() -> Report {
    Report {
        launch: LaunchRow {
            launch: "shop-v2".into(),
            service: "shop".into(),
            candidate: "http://127.0.0.1:4711/".into(),
            status: "active".into(),
            sample: 1.0,
        },
        ledger: LaunchLedger {
            launch: "shop-v2".into(),
            captured: 110,
            completed: 100,
            skipped: 9,
            failed: 1,
            balanced: 1,
            ..Default::default()
        },
        coverage: vec![
            Coverage { outcome: "failed".into(), reason: "timeout".into(), offsets: 1 },
            Coverage { outcome: "skipped".into(), reason: "unsafe_method".into(), offsets: 9 },
        ],
        match_rate: vec![MatchRate {
            route: "GET /orders/{id}".into(),
            completed: 100,
            matched: 60,
            differing: 40,
            compared: 100,
            match_rate: Some(0.6),
            ..Default::default()
        }],
        latency: vec![
            Latency {
                route: "GET /reports/sales".into(),
                pairs: 40,
                primary_p50_ms: 6.1,
                candidate_p50_ms: 61.4,
                difference_p50_ms: 55.3,
                ..Default::default()
            },
            Latency {
                route: "GET /health".into(),
                pairs: 60,
                primary_p50_ms: 0.2,
                candidate_p50_ms: 19.0,
                difference_p50_ms: 18.8,
                ..Default::default()
            },
        ],
        errors: [("primary", "2xx", 100), ("candidate", "2xx", 93), ("candidate", "5xx", 7)]
            .map(|(side, class, exchanges)| ErrorCount {
                route: "GET /orders/{id}".into(),
                side: side.into(),
                class: class.into(),
                exchanges,
            })
            .to_vec(),
        signatures: vec![SignatureRow {
            signature: "00ff".into(),
            route: "GET /orders/{id}".into(),
            place: "$.total".into(),
            kind: "missing".into(),
            transition: "number->absent".into(),
            exchanges: 40,
            example_primary: "1234567890".repeat(5),
            ..Default::default()
        }],
        signatures_total: 3,
    }
}

#[test]
fn the_report_begins_with_the_account_and_ends_with_the_answers() {
    insta::assert_snapshot!(report().render());
}

#[test]
fn an_account_that_does_not_balance_is_said_first() {
    let mut report = report();
    report.ledger.balanced = 0;
    let text = report.render();
    assert!(text.lines().nth(1).unwrap().contains("DOES NOT BALANCE"), "{text}");
}

#[test]
fn a_launch_of_which_nothing_was_read_has_no_account_yet() {
    let report = Report { ledger: LaunchLedger::default(), signatures_total: 0, ..report() };
    let text = report.render();
    assert!(text.lines().nth(1).unwrap().starts_with("no account yet"), "{text}");
    assert!(!text.contains("BALANCE"), "{text}");
    assert!(serde_json::to_value(&report).unwrap().get("ledger").is_none());
}

/// What a route's medians and fastest tenths say.
fn is_slower(p50: (f64, f64), p10: (f64, f64)) -> bool {
    let latency = Latency {
        primary_p50_ms: p50.0,
        candidate_p50_ms: p50.1,
        difference_p50_ms: p50.1 - p50.0,
        primary_p10_ms: p10.0,
        candidate_p10_ms: p10.1,
        ..Latency::default()
    };
    latency.is_slower()
}

#[test]
fn a_route_is_slower_only_by_both_measures() {
    assert!(is_slower((6.0, 61.0), (5.0, 60.0)));
    assert!(!is_slower((0.2, 19.0), (0.1, 3.0)), "not by enough");
    assert!(!is_slower((100.0, 130.0), (90.0, 115.0)), "not by a factor");
}

#[test]
fn a_busy_machine_hides_a_slower_route_only_where_it_delays_the_fastest_tenth_too() {
    assert!(is_slower((116.0, 61.9), (14.0, 60.4)));
    assert!(!is_slower((58.0, 0.2), (2.0, 0.1)));
}
