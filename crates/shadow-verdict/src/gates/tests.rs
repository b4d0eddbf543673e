use super::*;

#[test]
fn no_file_is_a_sensible_set_of_gates() {
    let gates = Gates::parse("").unwrap();
    assert_eq!(gates, Gates::default());
    let names: Vec<&str> = gates.route("GET /").list().map(|gate| gate.name()).collect();
    assert_eq!(names, ["match_rate", "error_rate", "p50_ratio", "comparable", "noise_excess"]);
    assert_eq!(gates.launch().count(), 3);
}

#[test]
fn what_a_file_does_not_name_keeps_its_default() {
    let gates = Gates::parse("[routes]\nmatch_rate = 0.99\np99_ratio = 3\nlatency_slack_ms = 20").unwrap();
    let slack_ms = 20.0;
    let median = LatencyGate { quantile: Quantile::P50, limit: Limit::Ratio { factor: 2.0, slack_ms } };
    let tail = LatencyGate { quantile: Quantile::P99, limit: Limit::Ratio { factor: 3.0, slack_ms } };
    assert_eq!(gates.routes.latency, [median, tail]);
    assert_eq!(gates.routes.match_rate, Some(0.99));
    assert_eq!(gates.routes.error_rate, ScopeGates::default().error_rate);
    assert_eq!(gates.launch, ScopeGates::default());
}

#[test]
fn a_route_has_the_gates_of_all_routes_but_for_what_it_says() {
    let gates = Gates::parse(
        "[[route]]\nroute = 'GET /search'\np50_ratio = 'off'\nmatch_rate = 0.9\nrequired = true\n\
         [[route]]\nroute = 'GET /rare'\nerror_rate_margin = 0.05\nrequired = false\n\
         [routes]\nerror_rate = 0.002\nrequired_share = 0.01",
    )
    .unwrap();
    let search = gates.route("GET /search");
    assert_eq!((search.match_rate, search.latency.len()), (Some(0.9), 0));
    assert_eq!(gates.route("GET /rare").error_rate, Some(ErrorRate { allowed: 0.002, margin: 0.05 }));
    assert_eq!(gates.route("GET /other"), &gates.routes);
    assert!(gates.requires("GET /search", 0.0) && !gates.requires("GET /rare", 0.5));
    assert!(gates.requires("GET /other", 0.01) && !gates.requires("GET /other", 0.009));
    assert_eq!(gates.demanded().collect::<Vec<_>>(), ["GET /search"]);
}

#[test]
fn every_error_names_its_line_and_what_would_be_right() {
    let problem = |text: &str| Gates::parse(text).unwrap_err().to_string();
    let said = problem("[launch]\n\nmatch_rate = 99.9");
    assert_eq!(said, "gates, line 3: 99.9 is not a share between 0 and 1, both excluded");
    let said = problem("[routes]\nmatch_rat = 0.9");
    assert!(said.starts_with("gates, line 2: unknown key \"match_rat\"; here may stand match_rate, "), "{said}");
    assert!(problem("[routes]\ncoverage = 0.9").starts_with("gates, line 2: unknown key"), "coverage is the launch's");
    assert_eq!(problem("[routes]\np50_ratio = 'no'"), "gates, line 2: \"no\" is not a factor above 0");
    assert_eq!(problem("[routes]\np50_ratio = []"), "gates, line 2: this is not a factor above 0");
    assert!(problem("confidence = 0.5").starts_with("gates, line 1: 0.5 is not"));
    assert!(problem("[launch]\np50_ratio = nan").starts_with("gates, line 2: nan is not a factor"));
    let twice = "[[route]]\nroute = 'GET /'\n[[route]]\nroute = 'GET /'";
    assert_eq!(problem(twice), "gates, line 4: the route \"GET /\" has gates already");
    assert!(problem("\n[[route]]\nmatch_rate = 0.9").starts_with("gates, line 2: [[route]] lacks its key route"));
    assert_eq!(problem("[[route]]\nroute = 3"), "gates, line 2: route is a text, as in route = \"GET /search\"");
    assert!(problem("[[route]]\nroute = 'GET /'\nrequired = 1").starts_with("gates, line 3: required is true or"));
    assert!(problem("[route]\nroute = 'GET /'").starts_with("gates, line 1: gates on one route are written [[route]]"));
    assert!(problem("launch = 3").starts_with("gates, line 1: this is a table"));
    let said = problem("[routes]\np50_ratio = 0x10");
    assert_eq!(said, "gates, line 2: 10 in base 16 is not taken here; write it as a decimal number");
    let said = problem("[routes]\nerror_rate = 0.999\nerror_rate_margin = 0.5");
    assert!(
        said.starts_with("gates, line 2: error_rate 0.999 and error_rate_margin 0.5 together allow every"),
        "{said}"
    );
    assert!(problem("[routes]\nexcept = 'POST /pay'").starts_with("gates, line 2: except is a list of routes, as in"));
    assert!(problem("[routes]\nexcept = [3]").starts_with("gates, line 2: except is a list of routes"));
    assert!(problem("[launch]\njudged = 0.5").starts_with("gates, line 2: unknown key"), "it is about the routes");
    assert!(problem("\n= 1").starts_with("gates, line 2: "));
}

#[test]
fn coverage_cannot_fail_and_takes_no_share_of_the_risk() {
    let gates = Gates::parse("[launch]\ncoverage = 0.5").unwrap();
    assert_eq!(gates.launch().count(), ScopeGates::default().count());
    assert_eq!(gates.launch().list().count(), 6);
}

#[test]
fn a_route_that_is_excepted_holds_up_nothing_unless_it_is_required_by_name() {
    let gates = Gates::parse(
        "[routes]\nexcept = ['POST /pay', 'POST /buy']\njudged = 0.8\n[[route]]\nroute = 'POST /buy'\nrequired = true",
    )
    .unwrap();
    assert_eq!(gates.judged, Some(0.8));
    assert!(gates.excepts("POST /pay") && !gates.requires("POST /pay", 0.5));
    assert!(!gates.excepts("POST /buy") && gates.requires("POST /buy", 0.0));
    assert!(!gates.excepts("GET /"));
}
