use super::*;

fn section(text: &str) -> EgressSection {
    toml::from_str(text).unwrap()
}

#[test]
fn everything_that_cannot_work_is_refused_with_its_key_and_a_remedy() {
    for (text, key) in [
        ("listen = \"0.0.0.0:8091\"", "egress.allow"),
        ("listen = \"127.0.0.1:0\"\nallow = []", "egress.allow"),
        ("listen = \"0.0.0.0:8091\"\nallow = [\"10.0.0.0/8\", \"0.0.0.0/0\"]", "egress.allow"),
        ("listen = \"0.0.0.0:8091\"\nallow = [\"0.0.0.0/1\", \"128.0.0.0/1\"]", "egress.allow"),
        ("listen = \"0.0.0.0:8091\"\nallow = [\"2001::/16\"]", "egress.allow"),
        ("listen = \"127.0.0.1:0\"\nconnect = \"0s\"", "egress.connect"),
        ("listen = \"127.0.0.1:0\"\nidle = \"0s\"", "egress.idle"),
        ("listen = \"127.0.0.1:0\"\nconnections = 0", "egress.connections"),
        ("listen = \"127.0.0.1:0\"\npartitions = 0", "egress.partitions"),
        ("listen = \"127.0.0.1:0\"\nroutes = [\"/v1\"]", "egress.routes"),
        ("listen = \"127.0.0.1:0\"\ntrust = \"/does/not/exist\"", "egress.trust"),
        ("listen = \"127.0.0.1:0\"\nintercept = [\"api.example\"]", "egress.intercept"),
        ("listen = \"127.0.0.1:0\"\naliases = [{ to = \"http://a\" }]", "egress.aliases"),
        ("listen = \"127.0.0.1:0\"\naliases = [{ path = \"/a/\", to = \"http://a\" }]", "egress.aliases"),
        ("listen = \"127.0.0.1:0\"\naliases = [{ path = \"/a\", to = \"ftp://a\" }]", "egress.aliases"),
        ("listen = \"127.0.0.1:0\"\naliases = [{ path = \"/a\", to = \"http://u@a\" }]", "egress.aliases"),
    ] {
        let problems: Vec<_> = section(text).problems().iter().map(ToString::to_string).collect();
        assert!(matches!(&problems[..], [only] if only.contains(key)), "{text}: {problems:?}");
    }
    let wrong = EgressSection { ca_key: Some(Secret::new("no key")), ..section("listen = \"127.0.0.1:0\"") };
    assert!(matches!(&wrong.problems()[..], [only] if only.to_string().contains("shadowctl stub ca --egress")));
    assert!(section("allow = []").problems().is_empty(), "it is off");
}

#[test]
fn only_the_networks_that_are_named_may_call() {
    let by_default = section("listen = \"127.0.0.1:8091\"");
    assert!(by_default.problems().is_empty(), "{:?}", by_default.problems());
    let named = section("listen = \"0.0.0.0:8091\"\nallow = [\"10.1.0.0/16\", \"2001:db8::/32\"]");
    assert!(named.problems().is_empty(), "{:?}", named.problems());
    for (client, default, when_named) in [
        ("127.0.0.9", true, false),
        ("::1", true, false),
        ("::ffff:127.0.0.1", true, false),
        ("10.1.2.3", false, true),
        ("::ffff:10.1.2.3", false, true),
        ("10.2.0.1", false, false),
        ("2001:db8::5", false, true),
    ] {
        let client: IpAddr = client.parse().unwrap();
        assert_eq!((by_default.allows(client), named.allows(client)), (default, when_named), "{client}");
    }
}

#[test]
fn hosts_match_whole_or_by_what_they_lie_below() {
    for (pattern, host, expected) in [
        ("API.example.com", "api.example.com", true),
        ("api.example.com", "xapi.example.com", false),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "badexample.com", false),
    ] {
        assert_eq!(HostPattern::parse(pattern).unwrap().matches(host), expected, "{pattern} {host}");
    }
    for wrong in ["a/b", "a:80", "*.", "*", "a.*.b", ""] {
        assert!(HostPattern::parse(wrong).is_err(), "{wrong}");
    }
}
