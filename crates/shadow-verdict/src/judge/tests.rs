use super::*;
use crate::evidence::{ClassCounts, ControlEvidence, EffectEvidence, Latencies, Pairs, Reference, Scores, State};
use crate::ranks::{Ranked, Wanted};

/// A route that answers as the primary does, but for `differing`, `errors` and a latency so many times the primary's.
fn scope(requests: u64, differing: u64, errors: u64, slower: f64, wanted: &Wanted) -> ScopeEvidence {
    let reference: Vec<f64> = (1..=requests).map(|i| 10.0 + 20.0 * i as f64 / requests as f64).collect();
    let candidate: Vec<f64> = reference.iter().map(|ms| ms * slower).collect();
    let difference: Vec<f64> = reference.iter().map(|ms| ms * (slower - 1.0)).collect();
    ScopeEvidence {
        captured: requests,
        sent: requests,
        answered: requests,
        compared: requests,
        differing,
        pairs: Pairs { pairs: requests, only_candidate: errors, only_primary: 0 },
        latencies: Some(Latencies {
            against: Reference::Control,
            primary_p50_ms: None,
            candidate: Ranked::of_sorted(&candidate, wanted),
            reference: Ranked::of_sorted(&reference, wanted),
            difference: Ranked::of_sorted(&difference, wanted),
        }),
        ..ScopeEvidence::default()
    }
}

/// A launch of routes `(name, requests, differing, errors, slower)`; the whole is their sum, as slow as the first.
fn launch(gates: &Gates, routes: &[(&str, u64, u64, u64, f64)]) -> Evidence {
    let [requests, differing, errors] =
        routes.iter().fold([0; 3], |[n, d, e], (_, n1, d1, e1, _)| [n + n1, d + d1, e + e1]);
    let slower = routes.first().map_or(1.0, |route| route.4);
    let named = routes.iter().map(|(name, requests_of, differing, errors, slower)| {
        let share = *requests_of as f64 / requests as f64;
        let wanted = Wanted::for_route(gates, name, routes.len(), share, *requests_of);
        ((*name).to_owned(), scope(*requests_of, *differing, *errors, *slower, &wanted))
    });
    Evidence {
        balanced: Some(true),
        captured: requests,
        launch: scope(requests, differing, errors, slower, &Wanted::for_launch(gates, requests)),
        routes: named.collect(),
        ..Evidence::default()
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
    assert_eq!(verdict.reason, "All 13 required gates pass.");
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
    assert_eq!(verdict.reason, "1 of 13 gates fails: match_rate of GET /bad.");
    let bad = gate(&verdict, Some("GET /bad"), "match_rate");
    assert!(!bad.required, "it had less than a hundredth of the traffic, which makes it no less bad");
    let said = "90 % of 300 compared requests matched, at most 95.4 % with 95 % confidence; 99.9 % is asked. ";
    assert!(bad.reason.starts_with(said), "{}", bad.reason);
}

#[test]
fn a_rare_route_does_not_hold_up_a_pass_but_is_named() {
    let verdict = judged(&[("GET /a", 50_000, 0, 0, 1.0), ("GET /rare", 40, 0, 0, 1.0)]);
    assert_eq!(verdict.decision, Decision::Pass);
    assert_eq!(verdict.reason, "All 9 required gates pass; 1 route with 0.08 % of the traffic could not be judged.");
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
        "4 of 13 required gates lack evidence: match_rate of POST /pay, error_rate of POST /pay, p50_ratio of POST /pay, 1 more; \
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
    let off = "match_rate = 'off'\nerror_rate = 'off'\np50_ratio = 'off'\ncomparable = 'off'\n";
    let gates = Gates::parse(&format!("[launch]\n{off}[routes]\njudged = 'off'\n{off}")).unwrap();
    let verdict = judge(&gates, &launch(&gates, &[("GET /a", 50_000, 0, 0, 1.0)]));
    assert_eq!((verdict.decision, verdict.gates.len()), (Decision::Insufficient, 0));
    assert_eq!(verdict.reason, "No gate is asked for, so nothing can be shown.");
}

#[test]
fn what_sits_on_the_limit_cannot_be_told() {
    let verdict = judged(&[("GET /a", 10_000, 10, 0, 1.0)]);
    let rate = gate(&verdict, Some("GET /a"), "match_rate");
    assert_eq!((rate.decision, rate.needed), (Decision::Insufficient, Needed::Unknown));
    assert!(rate.reason.contains("; that is too near the limit to tell how many more are needed. "), "{}", rate.reason);
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
    evidence.launch.scores = Scores { pairs: 20_000, absolute_sum: 300.0, cut: 0 };
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
    let said = "5 of 21 gates fail: match_rate of the launch, match_rate of GET /a, match_rate of GET /b, 2 more.";
    assert_eq!(verdict.reason, said);
}

/// A route with noise and a control, which got every tenth request: `[differing, undecided, faulty, noise]` of the requests and
/// `[only_candidate, only_control]` of the pairs.
fn noisy(requests: u64, [differing, undecided, faulty, noise]: [u64; 4], [mine, theirs]: [u64; 2]) -> Evidence {
    let gates = Gates::default();
    let mut evidence = launch(&gates, &[("GET /a", requests, 0, 0, 1.0)]);
    let pairs = requests / 10;
    let control = ControlEvidence {
        asked: pairs,
        pairs,
        only_candidate: mine,
        only_control: theirs,
        ..ControlEvidence::default()
    };
    let of_route = evidence.routes.iter_mut().map(|(_, scope)| scope);
    for scope in of_route.chain([&mut evidence.launch]) {
        let told = ScopeEvidence { differing, undecided, faulty, noise, control: Some(control), ..scope.clone() };
        *scope = told;
    }
    evidence
}

fn judged_on(evidence: &Evidence) -> Verdict {
    judge(&Gates::default(), evidence)
}

#[test]
fn differences_that_may_be_noise_neither_fail_nor_pass() {
    let verdict = judged_on(&noisy(10_000, [300, 300, 0, 0], [30, 31]));
    assert_eq!(verdict.decision, Decision::Insufficient);
    let rate = gate(&verdict, Some("GET /a"), "match_rate");
    assert_eq!(
        rate.reason,
        "97 % of 10,000 compared requests matched, where 99.9 % is asked and 96.3 % to 97.6 % is plausible; \
         300 differences are not yet known to be noise or fault; about 1,000 more control pairs would tell."
    );
    assert_eq!(rate.needed, Needed::About(10_000), "a tenth of them goes to the control");
}

#[test]
fn faults_that_are_proven_fail_whatever_else_is_undecided() {
    let verdict = judged_on(&noisy(10_000, [300, 200, 100, 0], [12, 1]));
    assert_eq!(verdict.decision, Decision::Fail);
    let said = "97 % of 10,000 compared requests matched; 100 show a fault that is proven against the control, at least 0.67 % \
                with 95 % confidence; 99.9 % is asked.";
    assert_eq!(gate(&verdict, Some("GET /a"), "match_rate").reason, said);
}

#[test]
fn more_differences_than_the_controls_fail_though_no_single_one_is_proven() {
    let verdict = judged_on(&noisy(10_000, [800, 800, 0, 0], [80, 5]));
    let rate = gate(&verdict, Some("GET /a"), "match_rate");
    assert_eq!(rate.decision, Decision::Fail);
    assert!(rate.reason.contains("more differ on the candidate than on the control"), "{}", rate.reason);
}

#[test]
fn without_a_control_differences_fail_and_the_sentence_says_that_they_may_be_noise() {
    let verdict = judged(&[("GET /a", 10_000, 300, 0, 1.0)]);
    let rate = gate(&verdict, Some("GET /a"), "match_rate");
    assert_eq!(rate.decision, Decision::Fail);
    assert!(rate.reason.ends_with("nobody can tell which differences are noise; `launch create --control` names one."));
}

#[test]
fn noise_lets_a_candidate_pass_only_when_an_excess_is_excluded() {
    // Three in ten flap. With 1,000 pairs a fault of five in a hundred would not show.
    let few = judged_on(&noisy(10_000, [0, 0, 0, 3_000], [215, 210]));
    assert_eq!(few.decision, Decision::Insufficient);
    let excess = gate(&few, Some("GET /a"), "noise_excess");
    assert!(
        excess.reason.starts_with("On places with noise an excess up to ")
            && excess.reason.contains("narrow them with `shadowctl rules suggest`; if it goes on like this, about "),
        "{}",
        excess.reason
    );
    let many = judged_on(&noisy(400_000, [0, 0, 0, 120_000], [8_400, 8_400]));
    assert_eq!(many.decision, Decision::Pass, "{}", many.reason);
    assert_eq!(gate(&many, None, "noise_excess").decision, Decision::Pass);
    let share = many.measures.iter().find(|measure| measure.measure == "noise_share").unwrap();
    assert_eq!(share.estimate.map(|share| (share * 1000.0).round()), Some(300.0));
    let quiet = judged_on(&noisy(10_000, [0, 0, 0, 0], [0, 0]));
    assert!(quiet.gates.iter().all(|gate| gate.gate != "noise_excess"), "without noise nothing hides");
}

#[test]
fn a_control_that_answers_otherwise_decides_nothing() {
    for (failed, other_status) in [(0, 900), (900, 0)] {
        let mut evidence = noisy(10_000, [3_000, 0, 3_000, 100], [300, 0]);
        let of_route = evidence.routes.iter_mut().map(|(_, scope)| scope);
        for scope in of_route.chain([&mut evidence.launch]) {
            let control = scope.control.as_mut().unwrap();
            (control.failed, control.other_status) = (failed, other_status);
        }
        let verdict = judged_on(&evidence);
        assert_eq!(verdict.decision, Decision::Insufficient);
        let control = gate(&verdict, Some("GET /a"), "control");
        assert!(control.reason.starts_with("The control does not answer as the primary does: of 1,000 "));
        assert!(verdict.gates.iter().all(|gate| gate.decision != Decision::Fail));
    }
}

#[test]
fn a_route_with_a_broken_control_proves_nothing_for_the_launch() {
    let mut evidence = noisy(100_000, [3_000, 0, 3_000, 0], [300, 0]);
    let mut broken = evidence.routes[0].1.clone();
    broken.control.as_mut().unwrap().other_status = 200;
    evidence.launch.control.as_mut().unwrap().other_status = 20;
    evidence.routes[0].1 = broken;
    let verdict = judged_on(&evidence);
    assert_eq!(gate(&verdict, None, "match_rate").decision, Decision::Insufficient);
}

#[test]
fn answers_that_cannot_be_compared_hold_up_a_pass() {
    let mut evidence = launch(&Gates::default(), &[("GET /a", 100_000, 0, 0, 1.0)]);
    evidence.launch.compared = 6_000;
    evidence.routes[0].1.compared = 6_000;
    let verdict = judged_on(&evidence);
    assert_eq!(verdict.decision, Decision::Insufficient);
    let comparable = gate(&verdict, Some("GET /a"), "comparable");
    assert_eq!(comparable.reason, "6,000 of 100,000 answers were compared in full (6 %), and 99 % is asked.");
    assert_eq!(comparable.needed, Needed::AtLeast(9_300_000), "if nothing that comes is incomparable");
    evidence.routes[0].1 = ScopeEvidence { compared: 0, uncompared: 100_000, ..evidence.routes[0].1.clone() };
    let off = judged_on(&evidence);
    let said = "None of 100,000 answers was compared: the launch's comparison is off.";
    assert_eq!(gate(&off, Some("GET /a"), "comparable").reason, said);
}

#[test]
fn answers_to_other_requests_and_ended_launches_forbid_a_pass() {
    let good = launch(&Gates::default(), &[("GET /a", 50_000, 0, 0, 1.0)]);
    let mut conflicting = good.clone();
    conflicting.launch.conflicts = 1;
    let of = |state| Evidence { state, ..good.clone() };
    for (evidence, reason) in [
        (
            conflicting,
            "All 9 required gates pass, but 1 answer belongs to another request than the one that was captured.",
        ),
        (of(State::RolledBack), "All 9 required gates pass, but the launch was rolled back."),
        (of(State::Halted), "All 9 required gates pass, but a replayer of it is paused by the kill switch or a guard."),
    ] {
        let verdict = judged_on(&evidence);
        assert_eq!((verdict.decision, verdict.reason.as_str()), (Decision::Insufficient, reason));
        assert_eq!(verdict.notes.len(), 1, "{:?}", verdict.notes);
    }
    let paused = judged_on(&of(State::Paused));
    assert_eq!((paused.decision, paused.notes.as_slice()), (Decision::Pass, &["The launch is paused.".to_owned()][..]));
}

/// 40,000 requests were replayed; others were captured and never sent.
fn with_unsent(unsent: &[(&str, u64)]) -> Evidence {
    let mut evidence = launch(&Gates::default(), &[("GET /a", 40_000, 0, 0, 1.0)]);
    for (route, captured) in unsent {
        let scope = ScopeEvidence { captured: *captured, ..ScopeEvidence::default() };
        evidence.captured += captured;
        evidence.launch.captured += captured;
        if !route.is_empty() {
            evidence.routes.push(((*route).to_owned(), scope));
        }
    }
    evidence
}

#[test]
fn a_route_that_was_never_replayed_holds_up_a_pass_unless_it_is_excepted() {
    let evidence = with_unsent(&[("POST /pay", 10_000)]);
    let verdict = judged_on(&evidence);
    assert_eq!(verdict.decision, Decision::Insufficient);
    let [pay] = verdict.lacking.as_slice() else { panic!("{:?}", verdict.lacking) };
    assert_eq!((pay.route.as_str(), pay.captured, pay.sent, pay.required), ("POST /pay", 10_000, 0, true));
    let judged = gate(&verdict, None, "judged");
    assert_eq!(
        judged.reason,
        "Routes with 80 % of 50,000 captured requests could be judged, and 95 % is asked; not judged: POST /pay (20 %, never sent)."
    );
    let gates = Gates::parse("[routes]\nexcept = ['POST /pay']").unwrap();
    let excepted = judge(&gates, &evidence);
    assert_eq!(excepted.decision, Decision::Pass, "{excepted:#?}");
    assert_eq!(excepted.notes, ["The gates let a pass do without POST /pay."]);
}

#[test]
fn many_small_routes_together_hold_up_a_pass_and_so_do_requests_without_a_route() {
    let names: Vec<String> = (0..20).map(|i| format!("GET /{i}")).collect();
    let unsent: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 300)).collect();
    let verdict = judged_on(&with_unsent(&unsent));
    assert!(verdict.lacking.iter().all(|route| !route.required));
    assert_eq!(verdict.decision, Decision::Insufficient);
    assert_eq!(judged_on(&with_unsent(&[("", 6_000)])).decision, Decision::Insufficient);
    assert_eq!(judged_on(&with_unsent(&[("", 600)])).decision, Decision::Pass);
}

#[test]
fn gates_on_routes_that_were_never_seen_are_named() {
    let gates = Gates::parse("[[route]]\nroute = 'GET /typo'\nmatch_rate = 0.9").unwrap();
    let verdict = judge(&gates, &launch(&gates, &[("GET /a", 50_000, 0, 0, 1.0)]));
    assert_eq!(verdict.notes, ["The gates name routes that were never seen: GET /typo."]);
}

#[test]
fn errors_are_told_by_their_class_and_beside_the_controls() {
    let mut evidence = noisy(50_000, [0, 0, 0, 0], [0, 0]);
    let route = &mut evidence.routes[0].1;
    route.pairs = Pairs { pairs: 50_000, only_candidate: 23, only_primary: 0 };
    route.failures = vec![("status 500".to_owned(), 20), ("timeout".to_owned(), 3)];
    route.control.as_mut().unwrap().errors = Pairs { pairs: 5_000, only_candidate: 3, only_primary: 1 };
    let verdict = judged_on(&evidence);
    assert_eq!(
        gate(&verdict, Some("GET /a"), "error_rate").reason,
        "Of 50,000 requests 23 failed on the candidate alone (20 status 500, 3 timeout) and 0 on the primary alone, more than \
         chance explains. Of 5,000 that the control got too, 3 failed on the candidate alone and 1 on the control alone."
    );
    assert!(verdict.measures.iter().any(|measure| measure.measure == "error_rate_against_control"));
}

#[test]
fn what_timed_out_is_slower_than_anything() {
    let gates = Gates::parse("[routes]\np99_ratio = 2\np99_difference_ms = 1000").unwrap();
    let wanted = Wanted::for_route(&gates, "GET /a", 1, 1.0, 10_000);
    let with = |timeouts: usize| {
        let mut values: Vec<f64> = vec![20.0; 10_000 - timeouts];
        values.resize(10_000, f64::INFINITY);
        Ranked::of_sorted(&values, &wanted)
    };
    let mut evidence = launch(&gates, &[("GET /a", 10_000, 0, 0, 1.0)]);
    let of = |candidate, reference| Latencies {
        against: Reference::Control,
        primary_p50_ms: None,
        difference: with(candidate),
        candidate: with(candidate),
        reference: with(reference),
    };
    evidence.routes[0].1.latencies = Some(of(500, 0));
    let verdict = judge(&gates, &evidence);
    let tail = gate(&verdict, Some("GET /a"), "p99_ratio");
    assert_eq!(tail.decision, Decision::Fail);
    assert!(tail.reason.contains("unlimited times the control's (unlimited ms against 20 ms)"), "{}", tail.reason);
    assert_eq!(gate(&verdict, Some("GET /a"), "p99_difference_ms").decision, Decision::Fail);
    assert_eq!(gate(&verdict, Some("GET /a"), "p50_ratio").decision, Decision::Pass);
    evidence.routes[0].1.latencies = Some(of(500, 500));
    let alike = gate(&judge(&gates, &evidence), Some("GET /a"), "p99_ratio").clone();
    assert_eq!((alike.decision, alike.estimate), (Decision::Insufficient, None), "both time out: nothing is known");
}

#[test]
fn a_control_far_slower_than_production_is_named() {
    let mut evidence = launch(&Gates::default(), &[("GET /a", 5_000, 0, 0, 1.0)]);
    evidence.routes[0].1.latencies.as_mut().unwrap().primary_p50_ms = Some(5.0);
    let verdict = judged_on(&evidence);
    let median = gate(&verdict, Some("GET /a"), "p50_ratio");
    assert!(
        median.reason.ends_with("; the control's median, 20 ms, is more than twice the primary's, 5 ms."),
        "{}",
        median.reason
    );
}

#[test]
fn a_rare_class_that_is_always_wrong_fails_by_itself() {
    let gates = Gates::parse("[launch]\nclass_agreement = 0.95\nscore_difference = 0.5").unwrap();
    let mut evidence = launch(&gates, &[("POST /classify", 20_000, 0, 0, 1.0)]);
    let class = |class: &str, pairs, agreeing| ClassCounts { class: class.to_owned(), pairs, agreeing };
    evidence.launch.classes = vec![class("cat", 19_000, 18_990), class("dog", 200, 20)];
    evidence.launch.scores = Scores { pairs: 20_000, absolute_sum: 300.0, cut: 7 };
    let verdict = judge(&gates, &evidence);
    let agreement = gate(&verdict, None, "class_agreement");
    assert_eq!(agreement.decision, Decision::Fail);
    assert!(agreement.reason.ends_with("; class dog fails: 10 % of 200 agreed."), "{}", agreement.reason);
    assert!(gate(&verdict, None, "score_difference").reason.ends_with(" 7 differences above 1 count as 1."));
    // So few that even good ones would show nothing do not hold it up.
    evidence.launch.classes = vec![class("cat", 19_000, 18_990), class("eel", 5, 4)];
    assert_eq!(gate(&judge(&gates, &evidence), None, "class_agreement").decision, Decision::Pass);
    evidence.launch.classes = vec![class("cat", 19_000, 18_990), class("fox", 400, 375)];
    let open = judge(&gates, &evidence);
    let open = gate(&open, None, "class_agreement");
    assert_eq!(open.decision, Decision::Insufficient);
    assert!(open.reason.ends_with("; class fox is not decided: 93.8 % of 400 agreed."), "{}", open.reason);
}

#[test]
fn among_thousands_of_routes_only_required_ones_are_told_what_they_need() {
    let names: Vec<String> = (0..2_000).map(|i| format!("GET /{i}")).collect();
    let mut routes = vec![("GET /a", 2_000, 0, 0, 1.0)];
    routes.extend(names.iter().map(|name| (name.as_str(), 20, 0, 0, 1.0)));
    let verdict = judged(&routes);
    let big = gate(&verdict, Some("GET /a"), "match_rate");
    assert!(big.required && matches!(big.needed, Needed::About(_)), "{big:?}");
    let small = gate(&verdict, Some("GET /7"), "match_rate");
    assert_eq!((small.required, small.needed), (false, Needed::NotForeseen));
    assert!(small.reason.ends_with("is plausible."), "{}", small.reason);
    assert_eq!(gate(&verdict, Some("GET /7"), "p50_ratio").needed, Needed::NotForeseen);
}

#[test]
fn a_pass_says_when_outbound_calls_were_not_compared() {
    let gates = Gates::default();
    let good = launch(&gates, &[("GET /a", 50_000, 0, 0, 1.0)]);
    let of = |effects| judge(&gates, &Evidence { effects, ..good.clone() });
    let compared = EffectEvidence { compared: 400, recorded: 500, ..EffectEvidence::default() };
    let verdict = of(compared.clone());
    assert_eq!((verdict.reason.as_str(), verdict.notes.len()), ("All 9 required gates pass.", 0));
    let incomparable = vec![("uncorrelated".to_owned(), 20), ("not_recorded".to_owned(), 11)];
    let verdict = of(EffectEvidence { incomparable, uncorrelated: 57, ..compared });
    assert_eq!(verdict.decision, Decision::Pass);
    assert_eq!(verdict.reason, "All 9 required gates pass; not all outbound calls could be compared.");
    assert_eq!(
        verdict.notes,
        [
            "Outbound calls were compared for 400 requests and could not be for 31 (uncorrelated 20, not_recorded 11): about those \
             nothing is said.",
            "Outbound calls of the candidate that told of no request, and were compared with nothing: 57.",
        ]
    );
    let verdict = of(EffectEvidence { recorded: 12, ..EffectEvidence::default() });
    assert_eq!(verdict.notes, ["Outbound calls of the candidate were recorded (12), and none was compared."]);
}
