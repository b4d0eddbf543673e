//! Rules that are refused say where and why; rules that are taken select what they say.

use super::{Child, JsonPath, Ruleset};

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
            "[[rule]]\nstrategy = \"keep\"\nquery = [\"a\"]\n\n[[rule]]\nstrategy = \"keep\"\n\njson = [\"$.a[-1]\"]",
            8,
            "from the end",
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
        ("[[rule]]\nstrategy = \"token\"\ntext = [\"(\"]", 3, "no pattern"),
        ("[[rule]]\nstrategy = \"token\"\ntext = [\"x*\"]", 3, "everywhere"),
        ("[[rule]]\nstrategy = \"truncate\"\nquery = [\"q\"]", 2, "needs `length`"),
        ("[[rule]]\nstrategy = \"token\"\nlength = 3\nquery = [\"q\"]", 3, "only `truncate`"),
        ("[[rule]]\nstrategy = \"drop\"\nas = \"mail\"\nquery = [\"q\"]", 3, "only `token`"),
        ("[[rule]]\nstrategy = \"token\"\nas = \"email\"\nquery = [\"q\"]", 3, "unknown variant"),
        ("[[rule]]\nstrategy = \"keep\"\nxml = [\"a/b\"]", 3, "no path"),
        ("[[rule]]\nstrategy = \"keep\"\ncontent_type = [\"json\"]\nquery = [\"q\"]", 3, "no content type"),
        ("profile = \"lax\"", 1, "unknown variant"),
        ("names = [\"*\"]", 1, "no name"),
        ("[[profile_for]]\nroutes = []\nprofile = \"detect\"", 1, "names no routes"),
        ("phone_regions = [\"XX\"]", 1, "unknown variant"),
        ("[[rule]\n", 1, ""),
    ] {
        let error = Ruleset::parse(rules).expect_err(rules);
        assert_eq!(error.line(), Some(line), "{error}\n{rules}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn paths_outside_the_subset_are_refused_with_what_is_supported() {
    for path in [
        "", "a", "$.", "$..", "$[", "$[-1]", "$[1:2:0]", "$[::-1]", "$[?@.a]", "$['a", "$['a'", "$.a-b", "$.1", "$ .a",
        "$[]", "$[1 2]",
    ] {
        let reason = JsonPath::parse(path).expect_err(path);
        assert!(reason.contains("supported are"), "{reason}");
    }
}

#[test]
fn paths_select_as_rfc_9535_says() {
    let selected = |path: &str, way: &[Child<'_>]| {
        let path = JsonPath::parse(path).unwrap();
        path.selects(way.iter().fold(1, |states, child| path.advance(states, *child)))
    };
    let (items, element, name) = (Child::Member(b"items"), Child::Element(3), Child::Member(b"name"));
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
        ("$['it\\'s']", &[Child::Member(b"it's")], true),
        ("$.items[3].name", &[items, element, name], true),
        ("$.items[2].name", &[items, element, name], false),
        ("$.items[1:4]", &[items, element], true),
        ("$.items[0:9:2]", &[items, element], false),
        ("$.items[1::2]", &[items, element], true),
        ("$.items[:3]", &[items, element], false),
        ("$.items[0, 3]['x','name']", &[items, element, name], true),
        ("$..[3]", &[items, element], true),
        ("$[3]", &[name], false),
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
    assert!(Ruleset::keep_everything().version().starts_with("strict-4+"));
}
