use super::*;

fn aliases() -> Vec<Alias> {
    let alias = |host: Option<&str>, path: &str, to: &str| Alias {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        to: to.parse().unwrap(),
    };
    vec![
        alias(None, "/stripe", "https://api.stripe.com"),
        alias(Some("API.example"), "", "http://pay:81/v2/"),
        alias(None, "/six", "http://[2001:DB8::1]:8080"),
    ]
}

fn found(uri: &str, host: Option<&str>) -> Option<String> {
    let headers = host.map(|host| (HOST, host.parse().unwrap())).into_iter().collect();
    let (target, path) = asked(&uri.parse().unwrap(), &headers, &aliases())?;
    Some(target.uri(path).unwrap().to_string())
}

#[test]
fn a_call_is_for_whom_its_url_or_an_alias_names_and_for_nobody_else() {
    for (uri, host, expected) in [
        ("http://pay.example/a?b=%20", None, Some("http://pay.example/a?b=%20")),
        ("http://PAY.example.:80", None, Some("http://pay.example/")),
        ("https://u:p@pay.example:8443/", Some("elsewhere"), Some("https://pay.example:8443/")),
        ("http://pay.example/stripe/x", None, Some("http://pay.example/stripe/x")),
        ("http://[::1]:99/x", None, Some("http://[::1]:99/x")),
        ("/stripe/v1/charges?limit=1", None, Some("https://api.stripe.com/v1/charges?limit=1")),
        ("/stripe", Some("agent:8091"), Some("https://api.stripe.com/")),
        ("/stripes/v1", Some("agent:8091"), None),
        ("/x", Some("api.EXAMPLE:8091"), Some("http://pay:81/v2/x")),
        ("/x", Some("pay.example"), None),
        ("/x", None, None),
        ("/six/a", None, Some("http://[2001:db8::1]:8080/a")),
        ("ftp://pay.example/x", None, None),
        ("*", Some("agent"), None),
    ] {
        assert_eq!(found(uri, host).as_deref(), expected, "{uri} {host:?}");
    }
}

#[test]
fn records_name_a_port_only_where_the_scheme_does_not() {
    for (secure, authority, expected) in [
        (true, "Pay.example:443", "pay.example"),
        (true, "pay.example", "pay.example"),
        (true, "pay.example:80", "pay.example:80"),
        (false, "pay.example:443", "pay.example:443"),
        (false, "192.0.2.1:80", "192.0.2.1"),
    ] {
        let destination = Target::of(secure, &authority.parse().unwrap()).unwrap().destination();
        assert_eq!((destination.host.as_str(), destination.scheme == "https"), (expected, secure));
    }
}
