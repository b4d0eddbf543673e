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

fn latency(route: &str, primary_p50_ms: f64, candidate_p50_ms: f64) -> Latency {
    let difference_p50_ms = candidate_p50_ms - primary_p50_ms;
    Latency { route: route.to_owned(), primary_p50_ms, candidate_p50_ms, difference_p50_ms, ..Default::default() }
}

fn slower(latencies: &[(f64, f64)]) -> Vec<String> {
    let latency = latencies.iter().enumerate().map(|(index, (p, c))| latency(&index.to_string(), *p, *c)).collect();
    let report = Report { latency, ..Report::default() };
    report.slower().map(|latency| latency.route.clone()).collect()
}

#[test]
fn a_route_is_slower_only_by_both_measures() {
    assert_eq!(slower(&[(6.0, 61.0), (0.2, 19.0), (100.0, 130.0)]), ["0"]);
}

#[test]
fn what_all_routes_have_in_common_is_no_routes_fault() {
    // On a busy machine the primary's side was measured 24 ms late, the candidate's side later on was not.
    assert_eq!(slower(&[(46.0, 63.6), (23.8, 0.9), (24.9, 0.3), (29.0, 0.7), (28.3, 0.5)]), ["0"]);
    // A candidate 40 ms away is not slower on any one route.
    assert_eq!(slower(&[(1.0, 41.0), (2.0, 42.0), (3.0, 43.5), (1.0, 40.0)]), Vec::<String>::new());
}
