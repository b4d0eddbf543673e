//! Noise as text.

use super::profile::{Entered, Entry};
use super::*;

fn row(decision: &str, basis: &str) -> NoiseRow {
    NoiseRow {
        signature: "5b0f3a62c1d9e774".into(),
        route: "GET /search".into(),
        place: "$.took_ms".into(),
        kind: "value".into(),
        transition: "changed".into(),
        pairs: 1200,
        control_differing: 300,
        candidate_differing: 310,
        only_candidate: 12,
        only_control: 2,
        decision: decision.into(),
        basis: basis.into(),
        until: if basis == "live" { String::new() } else { "2026-02-01T00:00:00Z".into() },
    }
}

#[test]
fn every_decision_stands_with_its_basis_and_its_evidence() {
    let signatures = vec![
        row("noise", "live"),
        row("noise", "frozen"),
        row("fault", "overruled"),
        NoiseRow { until: String::new(), ..row("undecided", "") },
    ];
    insta::assert_snapshot!(Shown { launch: "v2".into(), signatures }.render());
}

#[test]
fn a_launch_without_noise_says_so() {
    let text = Shown { launch: "v2".into(), signatures: vec![] }.render();
    assert!(text.starts_with("nothing is known about noise in v2"), "{text}");
}

#[test]
fn what_was_entered_is_shown_with_its_version_and_expiry() {
    let entry = Entry {
        signature: "5b0f3a62c1d9e774".into(),
        route: "GET /search".into(),
        place: "$.took_ms".into(),
        kind: "value".into(),
        transition: "changed".into(),
        origin: "overruled".into(),
        decision: "noise".into(),
        expires_at: "2026-02-01T00:00:00Z".into(),
    };
    insta::assert_snapshot!(Entered { service: "shop".into(), version: 3, entries: vec![entry] }.render());
}
