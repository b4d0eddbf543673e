use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Scalar<'_> {
    Scalar { kind: Kind::Number, text }
}

fn within(absolute: Option<&str>, relative: Option<&str>) -> Equivalence {
    let amount = |text: Option<&str>| text.map(|text| Tolerance::amount(text).unwrap());
    Equivalence::Tolerance(Tolerance { absolute: amount(absolute), relative: amount(relative) })
}

#[test]
fn a_tolerance_is_exact_at_its_edge() {
    let cent = within(Some("0.01"), None);
    assert!(cent.holds(number("0.30"), number("0.31")));
    assert!(cent.holds(number("0.1"), number("0.11")), "which floating point denies");
    assert!(!cent.holds(number("0.1"), number("0.1100000000000000000000000001")));
    assert!(cent.holds(number("-0.005"), number("0.005")));
    assert!(!cent.holds(number("-0.005"), number("0.0051")));
    assert!(cent.holds(number("1e30"), number("1000000000000000000000000000000.01")));
    let percent = within(None, Some("0.01"));
    assert!(percent.holds(number("100"), number("99")));
    assert!(!percent.holds(number("100"), number("98.99")));
    assert!(percent.holds(number("-1e-300"), number("-1.01e-300")));
    assert!(!percent.holds(number("0"), number("1e-300")));
    assert!(!within(Some("0"), None).holds(number("1"), number("2")));
}

#[test]
fn huge_exponents_cost_nothing_and_are_never_near_by_mistake() {
    let cent = within(Some("0.01"), Some("0.01"));
    assert!(!cent.holds(number("1e999999999"), number("1")));
    assert!(!cent.holds(number("1e9223372036854775807"), number("1e-9223372036854775807")));
    assert!(!cent.holds(number("1e99999999999999999999"), number("1.001e99999999999999999999")));
    assert!(cent.holds(number("1e999999999"), number("1.001e999999999")));
    assert!(cent.holds(number("1e-999999999"), number("0")));
    assert!(cent.holds(number("1e-999999999"), number("-1e-5")));
}

#[test]
fn instants_are_near_or_not_in_every_notation() {
    let second = Equivalence::Timestamp { within: 1_000_000_000, any_notation: false };
    for (a, b) in [
        ("2024-05-01T08:30:00Z", "2024-05-01T10:30:00.9+02:00"),
        ("2024-05-01 08:30:00", "2024-05-01T08:30:01"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"),
        ("1714552200", "1714552201.0"),
    ] {
        assert!(second.holds(Scalar::header(a), Scalar::header(b)), "{a} {b}");
    }
    for (a, b) in [("1714552200", "1714552201"), ("1714552200123", "1714552201122"), ("1714552200.5", "1714552199.5")] {
        assert!(second.holds(number(a), number(b)), "{a} {b}");
    }
    for (a, b) in [
        ("2024-05-01T08:30:00Z", "2024-05-01T08:30:01.000000001Z"),
        ("2024-05-01T08:30:00Z", "soon"),
        ("2024-05-01T08:30:00Z", "2024-05-01T08:30:00+01:00"),
    ] {
        assert!(!second.holds(Scalar::header(a), Scalar::header(b)), "{a} {b}");
    }
    assert!(!second.holds(number("1714552200"), number("1714552202")));
    assert!(!second.holds(number("1714552200"), Scalar::header("1714552200")));
    assert!(!second.holds(number("1e400"), number("1e401")));
}

#[test]
fn another_notation_or_unit_is_equal_only_where_a_rule_says_so() {
    let rule = |any_notation| Equivalence::Timestamp { within: 1_000_000_000, any_notation };
    let texts = [
        "2024-05-01T08:30:00Z",
        "2024-05-01T08:30:00",
        "Wed, 01 May 2024 08:30:00 GMT",
        "1714552200",
        "1714552200000",
        "1714552200000000",
    ];
    for (at, a) in texts.iter().enumerate() {
        for (other, b) in texts.iter().enumerate() {
            let (a, b) = (Scalar::header(a), Scalar::header(b));
            assert_eq!(rule(false).holds(a, b), at == other, "{a:?} {b:?}");
            assert!(rule(true).holds(a, b), "{a:?} {b:?}");
            assert_eq!(rule(true).fold(a), rule(true).fold(b));
        }
    }
    assert!(!rule(true).holds(number("1714552200"), Scalar::header("1714552200")));
    let (berlin, york) = ("2024-05-01T08:30:00[Europe/Berlin]", "2024-05-01T08:30:00[America/New_York]");
    assert!(!rule(true).holds(Scalar::header(berlin), Scalar::header(york)), "neither is an instant");
}

#[test]
fn normalisation_drops_what_it_names_and_nothing_else() {
    let rule = |case, whitespace, number, number_type| {
        Equivalence::Normalization(Normalization { case, whitespace, number, number_type })
    };
    let texts = |rule: &Equivalence, a, b| rule.holds(Scalar::header(a), Scalar::header(b));
    assert!(texts(&rule(true, false, false, false), "Straße A", "STRASSE a") == ("straße" == "strasse"));
    assert!(texts(&rule(true, false, false, false), "ÄB", "äb"));
    assert!(!texts(&rule(true, false, false, false), "a b", "a  b"));
    assert!(texts(&rule(false, true, false, false), " a\n b ", "a b"));
    assert!(!texts(&rule(false, true, false, false), "ab", "a b"));
    assert!(texts(&rule(false, false, true, false), "1.0", "1.00"));
    assert!(!texts(&rule(false, false, true, false), "1.0", "1.01"));
    assert!(!texts(&rule(false, false, true, false), "007", "7"));
    assert!(!rule(false, false, true, false).holds(number("1"), Scalar::header("1")));
    assert!(rule(false, false, true, true).holds(number("1"), Scalar::header("1.0")));
    assert!(!rule(true, true, true, true).holds(number("1"), Scalar::header("x")));
}

#[test]
fn a_pattern_is_matched_by_both_values_as_a_whole() {
    let rule = Equivalence::Pattern(Pattern::parse("req-[0-9]+|none").unwrap());
    assert!(rule.holds(Scalar::header("req-1"), Scalar::header("none")));
    assert!(!rule.holds(Scalar::header("req-1"), Scalar::header("req-1x")));
    assert!(!rule.holds(Scalar::header("req-1"), Scalar::header("")));
    assert!(Pattern::parse("a)|(b").is_err());
}

#[test]
fn any_uuid_is_as_good_as_another() {
    let one = Scalar::header("0190a6f2-7c1e-7abc-8def-000000000001");
    assert!(Equivalence::Uuid.holds(one, Scalar::header("0190A6F27C1E7ABC8DEF000000000002")));
    for other in [
        "",
        "0190a6f2-7c1e-7abc-8def-00000000000",
        "0190a6f2-7c1e-7abc-8def-00000000000g",
        "ä190a6f27c1e7abc8def00000000002",
    ] {
        assert!(!Equivalence::Uuid.holds(one, Scalar::header(other)), "{other}");
    }
}

proptest! {
    #[test]
    fn a_tolerance_agrees_with_integer_arithmetic(a in -10_000i64..10_000, b in -10_000i64..10_000, t in 0i64..300, scale in 0u32..6) {
        let text = |n: i64| format!("{n}e-{scale}");
        let rule = within(Some(&text(t)), None);
        prop_assert_eq!(rule.holds(number(&text(a)), number(&text(b))), (a - b).abs() <= t);
        let rule = within(None, Some(&format!("{t}e-3")));
        prop_assert_eq!(rule.holds(number(&text(a)), number(&text(b))), 1000 * (a - b).abs() <= t * a.abs().max(b.abs()));
    }

    #[test]
    fn equivalences_are_symmetric_and_reflexive(a in value(), b in value()) {
        let rules = [
            within(Some("1.5"), Some("0.1")),
            Equivalence::Timestamp { within: 1_000_000_000_000, any_notation: false },
            Equivalence::Uuid,
            Equivalence::Pattern(Pattern::parse("[a-z]+|[0-9.]+").unwrap()),
            Equivalence::Normalization(Normalization { case: true, whitespace: true, number: true, number_type: true }),
        ];
        for rule in rules {
            let (x, y) = (Scalar { kind: a.0, text: &a.1 }, Scalar { kind: b.0, text: &b.1 });
            prop_assert_eq!(rule.holds(x, y), rule.holds(y, x));
            prop_assert_eq!(rule.holds(x, x), rule.fold(x).is_some());
            prop_assert!(!rule.holds(x, y) || rule.fold(x) == rule.fold(y));
        }
    }
}

fn value() -> impl Strategy<Value = (Kind, String)> {
    prop_oneof![
        "-?[1-9][0-9]{0,12}(\\.[0-9]{1,4})?".prop_map(|text| (Kind::Number, text)),
        "[ a-cA-C]{0,4}|[0-9]{1,4}\\.[0-9]{1,3}".prop_map(|text| (Kind::String, text)),
        Just((Kind::String, "2024-05-01T08:30:00Z".to_owned())),
        Just((Kind::String, "0190a6f2-7c1e-7abc-8def-000000000001".to_owned())),
        Just((Kind::Null, String::new())),
    ]
}
