//! Heads before and after.

use super::*;

fn parts(version: Version, uri: &str, lines: &[(&str, &str)]) -> request::Parts {
    let mut request = http::Request::builder().version(version).uri(uri);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn target(protocol: Protocol, forwarded: Forwarded) -> Target {
    Target {
        authority: Authority::from_static("primary:3000"),
        protocol,
        forwarded,
        scheme: Scheme::HTTPS,
        client_scheme: "http",
    }
}

fn lines(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

fn forward(mut parts: request::Parts, content: Content, target: &Target) -> request::Parts {
    towards_primary(&mut parts, content, target, "[::ffff:192.0.2.7]:5000".parse().unwrap());
    parts
}

#[test]
fn hop_by_hop_fields_and_those_the_connection_names_go_and_all_else_stays() {
    let given = [
        ("host", "shop.example"),
        ("connection", "close, X-Private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("accept", "a"),
        ("accept", "b"),
        ("proxy-authorization", "kept: a gateway is not its proxy"),
    ];
    let sent =
        forward(parts(Version::HTTP_11, "/p?q", &given), Content::Absent, &target(Protocol::Http1, Forwarded::Keep));
    let expected = [given[0], given[7], given[8], given[9]].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(lines(&sent.headers), expected);
    assert_eq!(sent.uri, "https://primary:3000/p?q");
}

#[test]
fn a_connection_header_cannot_remove_the_host_or_the_length() {
    let given = [("host", "h"), ("connection", "host, content-length"), ("content-length", "3")];
    let sent =
        forward(parts(Version::HTTP_11, "/", &given), Content::Present, &target(Protocol::Http1, Forwarded::Keep));
    assert_eq!(sent.headers[HOST], "h");
    assert_eq!(sent.headers[CONTENT_LENGTH], "3");
    assert!(!sent.headers.contains_key(TRANSFER_ENCODING));
}

#[test]
fn content_of_unknown_length_is_chunked_even_for_get() {
    let given = parts(Version::HTTP_11, "/", &[("host", "h"), ("transfer-encoding", "chunked")]);
    let sent = forward(given, Content::Present, &target(Protocol::Http1, Forwarded::Keep));
    assert_eq!(sent.headers[TRANSFER_ENCODING], "chunked");
    let bare = forward(
        parts(Version::HTTP_11, "/", &[("host", "h")]),
        Content::Absent,
        &target(Protocol::Http1, Forwarded::Keep),
    );
    assert!(!bare.headers.contains_key(TRANSFER_ENCODING));
}

#[test]
fn http2_heads_become_http1_heads() {
    let given = parts(Version::HTTP_2, "http://shop.example/x", &[("cookie", "a=1"), ("cookie", "b=2")]);
    let sent = forward(given, Content::Absent, &target(Protocol::Http1, Forwarded::Keep));
    assert_eq!(sent.headers[HOST], "shop.example");
    assert_eq!(sent.headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    assert_eq!(sent.version, Version::HTTP_11);
}

#[test]
fn towards_http2_a_head_stays_as_it_is_but_for_its_address() {
    let given = [("te", "trailers"), ("cookie", "a=1"), ("x", "1"), ("cookie", "b=2")];
    let sent = forward(
        parts(Version::HTTP_2, "http://shop.example/x", &given),
        Content::Present,
        &target(Protocol::Http2, Forwarded::Keep),
    );
    assert_eq!(sent.uri, "https://shop.example/x");
    let expected = [given[0], given[1], given[3], given[2]].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(lines(&sent.headers), expected);
}

#[test]
fn an_absolute_target_outranks_the_host_header() {
    let given = parts(Version::HTTP_11, "http://asked.example/x", &[("host", "other.example")]);
    let sent = forward(given, Content::Absent, &target(Protocol::Http1, Forwarded::Keep));
    assert_eq!(sent.headers[HOST], "asked.example");
    assert_eq!(sent.uri, "https://primary:3000/x");
}

#[test]
fn the_clients_address_is_appended_only_when_configured() {
    let given = || parts(Version::HTTP_11, "/", &[("host", "h"), ("x-forwarded-for", "198.51.100.1")]);
    let kept = forward(given(), Content::Absent, &target(Protocol::Http1, Forwarded::Keep));
    assert_eq!(kept.headers[FORWARDED_FOR], "198.51.100.1");
    let appended = forward(given(), Content::Absent, &target(Protocol::Http1, Forwarded::Append));
    assert_eq!(appended.headers[FORWARDED_FOR], "198.51.100.1, 192.0.2.7");
    assert_eq!(
        (&appended.headers[FORWARDED_PROTO], &appended.headers[FORWARDED_HOST]),
        (&"http".parse().unwrap(), &"h".parse().unwrap())
    );
}
