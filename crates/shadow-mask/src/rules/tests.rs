//! Rules that are refused say where and why; rules that are taken select what they say.

use super::{JsonPath, Ruleset};

#[test]
fn refused_rules_name_line_and_reason() {
    for (rules, line, reason) in [
        ("vesion = \"1\"", 1, "unknown field"),
        ("version = \" \"", 1, "is empty"),
        ("[[rule]]\nstrategy = \"hash\"", 2, "unknown variant"),
        ("[[rule]]\nheader = [\"x\"]", 1, "missing field `strategy`"),
        ("[[rule]]\nstrategy = \"keep\"\nheaders = [\"x\"]", 3, "unknown field"),
        ("[[rule]]\nstrategy = \"keep\"", 2, "selects nothing"),
        (
            "[[rule]]\nstrategy = \"keep\"\nquery = [\"a\"]\n\n[[rule]]\nstrategy = \"keep\"\n\njson = [\"$.a[0]\"]",
            8,
            "`[0]`",
        ),
        ("[[rule]]\nstrategy = \"keep\"\nroute = \"search\"\nquery = [\"q\"]", 3, "no method"),
        ("[[rule]]\nstrategy = \"keep\"\nheader = [\"a\",\n \"Authorization\"]", 4, "credentials"),
        ("[[rule]]\nstrategy = \"token\"\nheader = [\"Cookie\"]", 3, "cookie = [..]"),
        ("[[rule]]\nstrategy = \"token\"\nheader = [\"a b\"]", 3, "not a header name"),
        ("[[rule]]\nstrategy = \"token\"\nheader = [\"Upgrade\"]", 3, "never recorded"),
        ("[[rule]]\nstrategy = \"token\"\nheader = [\"Content-Type\"]", 3, "always kept"),
        ("[[rule]]\nstrategy = \"keep\"\ncookie = [\"*\"]", 3, "name those"),
        ("[[rule]]\nstrategy = \"drop\"\npath = [\"id\"]", 3, "redact"),
        ("[[rule]]\nstrategy = \"drop\"\njson = [\"$\"]", 3, "whole body"),
        ("[[rule]]\nstrategy = \"token\"\ntext = true", 3, "only be kept"),
        ("[[rule]\n", 1, ""),
    ] {
        let error = Ruleset::parse(rules).expect_err(rules);
        assert_eq!(error.line(), Some(line), "{error}\n{rules}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn paths_outside_the_subset_are_refused_with_what_is_supported() {
    for path in
        ["", "a", "$.", "$..", "$[", "$[0]", "$[1:2]", "$[?@.a]", "$['a", "$['a'", "$.a-b", "$.1", "$ .a", "$['a','b']"]
    {
        let reason = JsonPath::parse(path).expect_err(path);
        assert!(reason.contains("supported are"), "{reason}");
    }
}

#[test]
fn paths_select_as_rfc_9535_says() {
    let selected = |path: &str, way: &[Option<&str>]| {
        let path = JsonPath::parse(path).unwrap();
        path.selects(way.iter().fold(1, |states, name| path.advance(states, name.map(str::as_bytes))))
    };
    let (items, element, name) = (Some("items"), None, Some("name"));
    for (path, way, expected) in [
        ("$", &[][..], true),
        ("$", &[items], false),
        ("$.items[*].name", &[items, element, name], true),
        ("$.items[*].name", &[items, name], false),
        ("$.items.*", &[items, element], true),
        ("$['items'][*][\"name\"]", &[items, element, name], true),
        ("$..name", &[name], true),
        ("$..name", &[items, element, name], true),
        ("$..name", &[items, element], false),
        ("$..items..name", &[items, element, items, name], true),
        ("$..items..name", &[name], false),
        ("$..*", &[items, element, name], true),
        ("$..*", &[], false),
        ("$..[*].name", &[items, element, name], true),
        ("$['it\\'s']", &[Some("it's")], true),
    ] {
        assert_eq!(selected(path, way), expected, "{path} {way:?}");
    }
}

#[test]
fn versions_follow_what_the_rules_say() {
    let rule = "[[rule]]\nstrategy = \"keep\"\nquery = [\"a\"]";
    let version = |text: &str| Ruleset::parse(text).unwrap().version().to_owned();
    assert_eq!(version(""), Ruleset::default().version());
    assert_eq!(version(rule), version(&format!("# why\n\n{rule}\n")));
    assert_ne!(version(rule), version(&rule.replace("\"a\"", "\"b\"")));
    assert_ne!(version(rule), version(""));
    assert_eq!(version(&format!("version = \"2024-05\"\n{rule}")), "2024-05");
    assert!(Ruleset::keep_everything().version().starts_with("strict-2+"));
}
