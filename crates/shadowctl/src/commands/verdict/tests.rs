//! The verdict as text.

use shadow_verdict::{Evidence, Pairs, ScopeEvidence};

use super::*;

fn answer() -> Answer {
    let scope = |requests, differing| ScopeEvidence {
        captured: requests,
        sent: requests,
        answered: requests,
        compared: requests,
        differing,
        pairs: Pairs { pairs: requests, only_candidate: 2, only_primary: 3 },
        ..ScopeEvidence::default()
    };
    let evidence = Evidence {
        balanced: Some(true),
        captured: 12_500,
        launch: scope(12_000, 213),
        routes: vec![
            ("GET /orders/{id}".to_owned(), scope(300, 213)),
            ("GET /search".to_owned(), scope(11_660, 0)),
            ("GET /rare\x07".to_owned(), scope(40, 0)),
        ],
        ..Evidence::default()
    };
    let gates = Gates::default();
    Answer {
        launch: "shop-v2".to_owned(),
        gates_from: GatesFrom::Defaults,
        reference: Reference::Primary,
        state: State::Active,
        effects: effects::Effects::default(),
        verdict: judge(&gates, &evidence),
    }
}

#[test]
fn the_word_comes_first_then_why_then_every_gate() {
    insta::assert_snapshot!(render::people(&answer()));
}

#[test]
fn programs_get_decisions_limits_and_intervals() {
    let shown = serde_json::to_value(answer()).unwrap();
    assert_eq!(shown["decision"], "fail");
    assert_eq!(shown["gates_from"], "defaults");
    let gate = &shown["gates"][0];
    assert_eq!(gate["route"], serde_json::Value::Null);
    assert_eq!(gate["gate"], "match_rate");
    assert_eq!(gate["asked"]["at_least"].to_string(), "0.999");
    assert!(gate["interval"]["high"].as_f64().unwrap() < 0.999);
    let unknown = shown["gates"].as_array().unwrap().iter().find(|gate| gate["gate"] == "p50_ratio").unwrap();
    assert_eq!(unknown["interval"]["high"], serde_json::Value::Null, "an unknown end");
}

#[test]
fn every_decision_has_its_exit_code() {
    let codes = [Decision::Pass, Decision::Fail, Decision::Insufficient, Decision::Unbalanced].map(exit_code);
    assert_eq!(codes.map(|code| format!("{code:?}")), [0, 1, 2, 3].map(|code| format!("{:?}", ExitCode::from(code))));
}
