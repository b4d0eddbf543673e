use super::*;
use crate::evidence::{ClassCounts, Latencies, Pairs, Reference, Scores};
use crate::ranks::{Ranked, Wanted};

/// A route that answers as the primary does, but for `differing`, `errors` and a latency so many times the primary's.
fn scope(requests: u64, differing: u64, errors: u64, slower: f64, wanted: &Wanted) -> ScopeEvidence {
    let reference: Vec<f64> = (1..=requests).map(|i| 10.0 + 20.0 * i as f64 / requests as f64).collect();
    let candidate: Vec<f64> = reference.iter().map(|ms| ms * slower).collect();
    let difference: Vec<f64> = reference.iter().map(|ms| ms * (slower - 1.0)).collect();
    ScopeEvidence {
        sent: requests,
        answered: requests,
        compared: requests,
        differing,
        pairs: Pairs { pairs: requests, only_candidate: errors, only_primary: 0 },
        latencies: Some(Latencies {
            against: Reference::Control,
            candidate: Ranked::of_sorted(&candidate, wanted),
            reference: Ranked::of_sorted(&reference, wanted),
            difference: Ranked::of_sorted(&difference, wanted),
        }),
        classes: Vec::new(),
        scores: Scores::default(),
    }
}

/// A launch of routes `(name, requests, differing, errors, slower)`; the whole is their sum, as slow as the first.
fn launch(gates: &Gates, routes: &[(&str, u64, u64, u64, f64)]) -> Evidence {
    let [requests, differing, errors] =
        routes.iter().fold([0; 3], |[n, d, e], (_, n1, d1, e1, _)| [n + n1, d + d1, e + e1]);
    let slower = routes.first().map_or(1.0, |route| route.4);
    let named = routes.iter().enumerate().map(|(order, (name, requests, differing, errors, slower))| {
        let wanted = Wanted::for_route(gates, name, order, *requests);
        ((*name).to_owned(), scope(*requests, *differing, *errors, *slower, &wanted))
    });
    Evidence {
        balanced: Some(true),
        captured: requests,
        launch: scope(requests, differing, errors, slower, &Wanted::for_launch(gates, requests)),
        routes: named.collect(),
    }
}

fn judged(routes: &[(&str, u64, u64, u64, f64)]) -> Verdict {
    let gates = Gates::default();
    judge(&gates, &launch(&gates, routes))
}

fn gate<'a>(verdict: &'a Verdict, route: Option<&str>, gate: &str) -> &'a GateResult {
    verdict.gates.iter().find(|result| result.gate == gate && result.route.as_deref() == route).unwrap()
}

#[test]
fn a_candidate_like_the_primary_passes_once_there_is_evidence() {
    let verdict = judged(&[("GET /a", 20_000, 0, 0, 1.0), ("GET /b", 10_000, 1, 0, 1.1)]);
    assert_eq!(verdict.decision, Decision::Pass, "{verdict:#?}");
    assert_eq!(verdict.reason, "All 9 required gates pass.");
    assert!(verdict.gates.iter().all(|gate| gate.needed == Needed::Nothing));
}

#[test]
fn a_thousand_clean_requests_are_not_enough_for_three_nines() {
    let verdict = judged(&[("GET /a", 1_000, 0, 0, 1.0)]);
    assert_eq!(verdict.decision, Decision::Insufficient);
    let rate = gate(&verdict, Some("GET /a"), "match_rate");
    assert_eq!(rate.needed, Needed::About(2_900));
    assert_eq!(
        rate.reason,
        "100 % of 1,000 compared requests matched, where 99.9 % is asked and 99.64 % to 100 % is plausible; \
         if it goes on like this, about 2,900 more compared requests decide."
    );
    assert_eq!(gate(&verdict, None, "p50_ratio").decision, Decision::Pass, "a median is known sooner");
}

#[test]
fn one_bad_route_fails_the_launch_however_good_the_others_are() {
    let verdict = judged(&[("GET /a", 500_000, 0, 0, 1.0), ("GET /bad", 300, 30, 0, 1.0)]);
    assert_eq!(verdict.decision, Decision::Fail);
    assert_eq!(verdict.reason, "1 of 9 gates fails: match_rate of GET /bad.");
    let bad = gate(&verdict, Some("GET /bad"), "match_rate");
    assert!(!bad.required, "it had less than a hundredth of the traffic, which makes it no less bad");
    let said = "90 % of 300 compared requests matched, at most 95.4 % with 95 % confidence; 99.9 % is asked.";
    assert_eq!(bad.reason, said);
}

#[test]
fn a_rare_route_does_not_hold_up_a_pass_but_is_named() {
    let verdict = judged(&[("GET /a", 50_000, 0, 0, 1.0), ("GET /rare", 40, 0, 0, 1.0)]);
    assert_eq!(verdict.decision, Decision::Pass);
    assert_eq!(verdict.reason, "All 6 required gates pass; 1 route with 0.08 % of the traffic could not be judged.");
    let [rare] = verdict.lacking.as_slice() else { panic!("{:?}", verdict.lacking) };
    assert_eq!((rare.route.as_str(), rare.sent, rare.required), ("GET /rare", 40, false));
}

#[test]
fn a_demanded_route_holds_up_a_pass_even_when_it_was_never_seen() {
    let gates = Gates::parse("[[route]]\nroute = 'POST /pay'\nrequired = true").unwrap();
    let verdict = judge(&gates, &launch(&gates, &[("GET /a", 50_000, 0, 0, 1.0)]));
    assert_eq!(verdict.decision, Decision::Insufficient);
    assert_eq!(
        verdict.reason,
        "3 of 9 required gates lack evidence: match_rate of POST /pay, error_rate of POST /pay, p50_ratio of POST /pay; \
         at least 3,900 more comparable requests are needed."
    );
    assert_eq!(verdict.lacking[0].route, "POST /pay");
}

#[test]
fn there_is_no_verdict_over_a_ledger_that_does_not_balance() {
    let gates = Gates::default();
    for routes in [[("GET /a", 50_000, 0, 0, 1.0)], [("GET /a", 50_000, 9_000, 0, 1.0)]] {
        let evidence = Evidence { balanced: Some(false), ..launch(&gates, &routes) };
        assert_eq!(judge(&gates, &evidence).decision, Decision::Unbalanced);
    }
}

#[test]
fn nothing_at_all_is_insufficient_and_says_so() {
    let verdict = judge(&Gates::default(), &Evidence::default());
    assert_eq!(verdict.decision, Decision::Insufficient);
    assert_eq!(verdict.reason, "Nothing of this launch was accounted for yet.");
    let rate = gate(&verdict, None, "match_rate");
    assert_eq!(rate.needed, Needed::AtLeast(3_900));
    assert_eq!(
        rate.reason,
        "There are no compared requests yet, and 99.9 % is asked; at least 3,900 more clean ones are needed."
    );
}

#[test]
fn no_gate_at_all_is_no_pass() {
    let off = "match_rate = 'off'\nerror_rate = 'off'\np50_ratio = 'off'\n";
    let gates = Gates::parse(&format!("[launch]\n{off}[routes]\n{off}")).unwrap();
    let verdict = judge(&gates, &launch(&gates, &[("GET /a", 50_000, 0, 0, 1.0)]));
    assert_eq!((verdict.decision, verdict.gates.len()), (Decision::Insufficient, 0));
    assert_eq!(verdict.reason, "No gate is asked for, so nothing can be shown.");
}

#[test]
fn what_sits_on_the_limit_cannot_be_told() {
    let verdict = judged(&[("GET /a", 10_000, 10, 0, 1.0)]);
    let rate = gate(&verdict, Some("GET /a"), "match_rate");
    assert_eq!((rate.decision, rate.needed), (Decision::Insufficient, Needed::Unknown));
    assert!(rate.reason.ends_with("; that is too near the limit to tell how many more are needed."), "{}", rate.reason);
}

#[test]
fn errors_of_the_candidate_alone_fail() {
    let verdict = judged(&[("GET /a", 50_000, 20, 20, 1.0)]);
    let errors = gate(&verdict, Some("GET /a"), "error_rate");
    assert_eq!(errors.decision, Decision::Fail);
    assert_eq!(
        errors.reason,
        "Of 50,000 requests 20 failed on the candidate alone and 0 on the primary alone, more than chance explains."
    );
    let gates = Gates::parse("[routes]\nerror_rate = 0.001\nmatch_rate = 'off'").unwrap();
    let allowed = judge(&gates, &launch(&gates, &[("GET /a", 50_000, 20, 20, 1.0)]));
    assert_eq!(
        gate(&allowed, Some("GET /a"), "error_rate").decision,
        Decision::Pass,
        "0.04 % more, and 0.1 % is allowed"
    );
}

#[test]
fn a_slower_median_fails_and_is_told_in_times_and_milliseconds() {
    let verdict = judged(&[("GET /a", 5_000, 0, 0, 2.5)]);
    let median = gate(&verdict, Some("GET /a"), "p50_ratio");
    assert_eq!(median.decision, Decision::Fail);
    assert_eq!(median.estimate.unwrap(), 2.5);
    assert_eq!(
        median.reason,
        "The candidate's p50 is 2.5 times the control's (50 ms against 20 ms), at least 2.38 times with 95 % confidence; \
         2 times is allowed."
    );
}

#[test]
fn fractions_of_a_millisecond_are_within_the_slack() {
    let gates = Gates::parse("[routes]\nlatency_slack_ms = 40").unwrap();
    let verdict = judge(&gates, &launch(&gates, &[("GET /a", 5_000, 0, 0, 2.5)]));
    let median = gate(&verdict, Some("GET /a"), "p50_ratio");
    assert_eq!(median.decision, Decision::Pass);
    assert!(median.reason.ends_with("within 40 ms of it."), "{}", median.reason);
}

#[test]
fn a_latency_that_is_not_decided_says_how_much_more_it_needs() {
    let verdict = judged(&[("GET /a", 60, 0, 0, 1.7)]);
    let median = gate(&verdict, Some("GET /a"), "p50_ratio");
    assert_eq!(median.decision, Decision::Insufficient);
    let Needed::About(more) = median.needed else { panic!("{:?}", median.needed) };
    let later = judged(&[("GET /a", 60 + more, 0, 0, 1.7)]);
    assert_eq!(gate(&later, Some("GET /a"), "p50_ratio").decision, Decision::Pass, "{more} more were said to decide");
}

#[test]
fn tails_and_paired_differences_are_gates_when_asked_for() {
    let gates = Gates::parse("[launch]\np99_ratio = 3\np95_difference_ms = 10\np99_difference_ms = 1").unwrap();
    let verdict = judge(&gates, &launch(&gates, &[("GET /a", 20_000, 0, 0, 1.2)]));
    assert_eq!(gate(&verdict, None, "p99_ratio").decision, Decision::Pass);
    let paired = gate(&verdict, None, "p95_difference_ms");
    assert_eq!((paired.decision, paired.unit), (Decision::Pass, Unit::Milliseconds));
    assert!(paired.reason.starts_with("The p95 of candidate minus control is 5.8 ms, at most "), "{}", paired.reason);
    assert_eq!(gate(&verdict, None, "p99_difference_ms").decision, Decision::Fail);
}

#[test]
fn availability_and_coverage_are_measured_and_gates_when_asked_for() {
    let gates = Gates::parse("[launch]\navailability = 0.99\ncoverage = 0.5").unwrap();
    let mut evidence = launch(&gates, &[("GET /a", 20_000, 0, 0, 1.0)]);
    evidence.launch.answered = 18_000;
    evidence.captured = 100_000;
    let verdict = judge(&gates, &evidence);
    assert_eq!(gate(&verdict, None, "availability").decision, Decision::Fail);
    let coverage = gate(&verdict, None, "coverage");
    assert_eq!((coverage.decision, coverage.needed), (Decision::Insufficient, Needed::AtLeast(30_000)));
    assert_eq!(coverage.reason, "20,000 of 100,000 captured requests were compared (20 %), and 50 % is asked.");
    let measure = |name: &str| verdict.measures.iter().find(|m| m.measure == name && m.route.is_none()).unwrap();
    assert_eq!(measure("availability").estimate, Some(0.9));
    assert_eq!(measure("coverage").estimate, Some(0.2));
    assert_eq!(measure("p95_difference_ms").estimate, Some(0.0));
    assert!(measure("control_p99_ms").interval.contains(29.8));
}

#[test]
fn models_are_held_to_their_classes_and_scores() {
    let gates = Gates::parse("[launch]\nclass_agreement = 0.95\nscore_difference = 0.02").unwrap();
    let mut evidence = launch(&gates, &[("POST /classify", 20_000, 0, 0, 1.0)]);
    let class = |class: &str, pairs, agreeing| ClassCounts { class: class.to_owned(), pairs, agreeing };
    evidence.launch.classes = vec![class("cat", 9_000, 8_990), class("dog", 1_000, 400)];
    evidence.launch.scores = Scores { pairs: 20_000, absolute_sum: 300.0 };
    let verdict = judge(&gates, &evidence);
    let agreement = gate(&verdict, None, "class_agreement");
    assert_eq!(
        (agreement.decision, agreement.estimate.map(|rate| (rate * 1000.0).round())),
        (Decision::Fail, Some(939.0))
    );
    assert_eq!(gate(&verdict, None, "score_difference").decision, Decision::Pass);
    let dog = verdict.measures.iter().find(|measure| measure.class.as_deref() == Some("dog")).unwrap();
    assert!(dog.interval.contains(0.4) && dog.interval.high < 0.5, "{dog:?}");
}

#[test]
fn more_gates_than_fit_a_sentence_are_counted() {
    let routes = ["GET /a", "GET /b", "GET /c", "GET /d"].map(|route| (route, 10_000, 3_000, 0, 1.0));
    let verdict = judged(&routes);
    let said = "5 of 15 gates fail: match_rate of the launch, match_rate of GET /a, match_rate of GET /b, 2 more.";
    assert_eq!(verdict.reason, said);
}
