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
            control: "http://127.0.0.1:4712/".into(),
            control_sample: 0.1,
            rules: String::new(),
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
            undecided: 40,
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
            standing: "undecided".into(),
            pairs: 11,
            only_stale: 1,
            stale_from_s: 600,
            fresh_exchanges: 70,
            driver: Some(Driver {
                attribute: "header:accept-language".into(),
                is: "=".into(),
                value: "de".into(),
                share: 0.9873,
                lift: 7.96,
                ..Default::default()
            }),
            ..Default::default()
        }],
        signatures_total: 3,
        noise: vec![NoiseRow {
            route: "GET /orders/{id}".into(),
            place: "$.printed_at".into(),
            kind: "value".into(),
            transition: "changed".into(),
            pairs: 11,
            control_differing: 11,
            candidate_differing: 10,
            basis: "frozen".into(),
            ..Default::default()
        }],
        expected_changes: vec![ExpectedChange { name: "cents".into(), exchanges: 12 }],
        unused_rules: vec!["line 3, [[ignore]] on every route: $.nowhere".into()],
        trend: [(0, 50, 30), (3600, 40, 10), (7200, 10, 0)]
            .map(|(since, compared, differing)| TrendRow { since: 1_767_323_040 + since, compared, differing })
            .to_vec(),
        agreement: vec![Agreement {
            route: "POST /spam".into(),
            class: "ham".into(),
            classified: 10,
            agreeing: 9,
            scored: 10,
            mean_absolute_score_difference: Some(0.01234),
        }],
        effects: Effects { compared: 90, differing: 2, primary_calls: 90, candidate_calls: 92, ..Effects::default() },
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

#[test]
fn without_a_control_no_standing_is_claimed() {
    let mut report = Report { noise: vec![], ..report() };
    report.launch.control = String::new();
    report.signatures[0].pairs = 0;
    let text = report.render();
    assert!(text.contains("unknown without a control") && !text.contains("undecided"), "{text}");
}

#[test]
fn rules_that_decided_nothing_are_named_once_there_was_something_to_decide() {
    let rules = "[[ignore]]\njson = [\"$.a\"]\n[[ignore]]\njson = [\"$.b\"]";
    let launch = LaunchRow { rules: rules.into(), ..Default::default() };
    let compared = |compared| [MatchRate { compared, ..Default::default() }];
    let unused = query::unused(&launch, &[0].into(), &compared(3));
    assert!(unused.len() == 1 && unused[0].contains("line 3") && unused[0].contains("$.b"), "{unused:?}");
    assert!(query::unused(&launch, &[].into(), &compared(0)).is_empty());
}
