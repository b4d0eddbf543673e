use super::*;

fn problem(text: &str) -> (usize, String) {
    let error = Rules::parse(text).unwrap_err();
    (error.line, error.problem)
}

#[test]
fn errors_name_their_line_and_say_what_to_do() {
    for (text, line, says) in [
        ("version = \"1\"\n[[ignore]]\njson = [\"$.a\",\n  \"b\"]", 4, "start with $"),
        ("\n[[ignore]]\npath = [\"$.a\"]", 3, "unknown field `path`"),
        ("\n[[ignroe]]\njson = [\"$.a\"]", 2, "unknown field `ignroe`"),
        ("\n\n[[ignore]]\nroute = \"GET /a\"", 3, "names no place"),
        ("[[tolerance]]\njson = [\"$.a\"]", 1, "absolute = 0.01"),
        ("[[tolerance]]\njson = [\"$.a\"]\nabsolute = -1", 3, ""),
        ("[[tolerance]]\njson = [\"$.a\"]\nabsolute = \"x\"", 3, "not a decimal"),
        ("[[tolerance]]\njson = [\"$.a\"]\nrelative = nan", 3, "not a decimal"),
        ("[[keyed]]\njson = [\"$.a\"]\nkey = \"*\"", 3, "one place"),
        ("[[pattern]]\njson = [\"$.a\"]\npattern = \"(\"", 3, "regular expression"),
        ("[[normalize]]\njson = [\"$.a\"]", 1, "case, whitespace"),
        ("[[timestamp]]\njson = [\"$.a\"]\nwithin = \"5 parsecs\"", 3, "5s"),
        ("[[unordered]]\njson = [\"$.a\"]\nas = \"bag\"", 3, "bag"),
        ("[[errors]]\njson = [\"$..type\"]", 2, "one place"),
        ("[[errors]]\njson = [\"$.type\",\n \"$\"]", 3, "the whole body"),
        ("[[measure]]\nroute = \"*\"", 1, "class"),
    ] {
        let (at, problem) = problem(text);
        assert_eq!(at, line, "{text}: {problem}");
        assert!(problem.contains(says), "{text}: {problem}");
    }
}

const EXPECTED: &str =
    "[[expected]]\nname = \"n\"\nplace = \"$.a\"\nowner = \"o\"\nexpires = \"2026-03-31\"\nwhy = \"w\"\n";

#[test]
fn an_expected_change_needs_an_owner_a_reason_and_an_end() {
    Rules::parse(EXPECTED).unwrap();
    for line in EXPECTED.lines().skip(1) {
        let name = line.split(' ').next().unwrap();
        let without = EXPECTED.replace(&format!("{line}\n"), "");
        assert!(problem(&without).1.contains(name), "{name}");
    }
    assert!(problem(&EXPECTED.replace("\"o\"", "\" \"")).1.contains("owner"));
    assert_eq!(problem(&EXPECTED.replace("2026-03-31", "soon")).0, 5);
    assert!(problem(&EXPECTED.replace("$.a", "$.a[1]")).1.contains("[*]"));
    assert!(problem(&format!("{EXPECTED}kind = \"gone\"")).1.contains("missing"));
    let (line, twice) = problem(&EXPECTED.repeat(2));
    assert!(line == 7 && twice.contains("line 1"), "{line}: {twice}");
}

#[test]
fn an_expected_change_says_which_difference_is_expected_where_its_place_does_not() {
    for place in ["$..*", "$.a.*", "$..*.b"] {
        let (line, says) = problem(&EXPECTED.replace("$.a", place));
        assert!(line == 3 && says.contains("kind"), "{place} {line}: {says}");
        Rules::parse(&format!("{}kind = \"added\"", EXPECTED.replace("$.a", place))).unwrap();
    }
    let status = EXPECTED.replace("$.a", "status");
    let (line, says) = problem(&format!("{status}kind = \"status\""));
    assert!(line == 3 && says.contains("transition"), "{line}: {says}");
    Rules::parse(&format!("{status}transition = \"200->201\"")).unwrap();
    for place in ["$..a", "$.*.a", "$.a[*]"] {
        Rules::parse(&EXPECTED.replace("$.a", place)).unwrap();
    }
}

#[test]
fn two_rules_for_one_route_of_which_one_can_hold_are_refused() {
    for rule in ["[[errors]]\nroute = \"GET /a\"\njson = [\"$.type\"]\n", "[[measure]]\nclass = \"$.label\"\n"] {
        let (line, says) = problem(&rule.repeat(2));
        assert!(line > 1 && says.contains("line 1"), "{line}: {says}");
        Rules::parse(&format!(
            "{rule}{}",
            rule.replace("]]\n", "]]\nroute = \"* /a\"\n").replace("route = \"GET /a\"\n", "")
        ))
        .unwrap();
    }
}

#[test]
fn two_rules_about_the_order_of_one_array_are_refused_where_they_meet() {
    let set = "[[unordered]]\nroute = \"GET /a\"\njson = [\"$.b\", \"$.items\"]\nas = \"set\"\n";
    for other in
        ["[[unordered]]\njson = [\"$.items\"]", "[[keyed]]\nroute = \"* /a\"\njson = [\"$.items\"]\nkey = \"id\""]
    {
        let (line, problem) = problem(&format!("{set}{other}"));
        assert!(line == 5 && problem.contains("line 1") && problem.contains("$.items"), "{line}: {problem}");
    }
    for other in [
        "[[unordered]]\nroute = \"GET /b\"\njson = [\"$.items\"]",
        "[[unordered]]\njson = [\"$.items\"]\nas = \"set\"",
        "[[keyed]]\njson = [\"$..items\"]\nkey = \"id\"",
    ] {
        Rules::parse(&format!("{set}{other}")).unwrap();
    }
}

#[test]
fn the_version_is_declared_or_a_hash_of_the_text() {
    assert_eq!(Rules::parse("version = \"7\"").unwrap().version(), "7");
    let (a, b) = (Rules::parse("headers = []").unwrap(), Rules::parse("headers = [\"a\"]").unwrap());
    assert_ne!(a.version(), b.version());
    assert_eq!(a.version(), Rules::parse("headers = []").unwrap().version());
}

#[test]
fn rules_are_listed_by_index_and_line_in_the_order_of_the_text() {
    let rules = Rules::parse(&format!(
        "[[unordered]]\njson = [\"$.b\"]\n[[ignore]]\nroute = \"GET /a\"\njson = [\"$.a\"]\nheader = [\"ETag\"]\n{EXPECTED}"
    ));
    let listed: Vec<_> = rules.unwrap().list().collect();
    assert_eq!(
        listed,
        [
            (0, "line 1, [[unordered]] on *: $.b".to_owned()),
            (1, "line 3, [[ignore]] on GET /a: $.a, header:etag".to_owned()),
            (2, "line 7, [[expected]] on *: n".to_owned()),
        ]
    );
}
