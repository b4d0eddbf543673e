//! What a configuration may say.

use super::*;
use crate::edge::tls::tests::Authority;

fn listen(toml: &str) -> Vec<Problem> {
    toml::from_str::<ListenSection>(toml).unwrap().problems()
}

fn primary(toml: &str) -> Vec<Problem> {
    toml::from_str::<PrimarySection>(toml).unwrap().problems()
}

/// Each problem as `key: cause; remedy`.
fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_defaults_and_a_url_are_enough() {
    assert!(listen("").is_empty());
    for url in ["http://127.0.0.1:3000", "https://shop.test", "https://[::1]:8443", "http://shop.test"] {
        let problems = primary(&format!("url = {url:?}"));
        assert!(problems.is_empty(), "{}", told(&problems));
    }
}

#[test]
fn certificates_are_checked_when_the_configuration_is() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    authority.issue("other", "shop.test", None);
    let directory = authority.file("");
    let text = |toml: &str| toml.replace("DIR", directory.to_str().unwrap().trim_end_matches('/'));

    let good = "certificate = 'DIR/shop.pem'\nkey = 'DIR/shop.key'\nclient_ca = 'DIR/ca.pem'";
    assert!(listen(&text(good)).is_empty());
    let url = "url = 'https://shop.test'\n";
    let good =
        format!("{url}ca = 'DIR/ca.pem'\nname = 'bank.test'\ncertificate = 'DIR/shop.pem'\nkey = 'DIR/shop.key'");
    assert!(primary(&text(&good)).is_empty());

    for (toml, key, cause) in [
        ("certificate = 'DIR/shop.pem'", "listen.key", "is missing"),
        ("key = 'DIR/shop.key'", "listen.certificate", "is missing"),
        ("certificate = 'DIR/none.pem'\nkey = 'DIR/shop.key'", "listen.certificate", "cannot be read"),
        ("certificate = 'DIR/shop.pem'\nkey = 'DIR/other.key'", "listen.key", "does not belong"),
        ("certificate = 'DIR/shop.pem'\nkey = 'DIR/ca.pem'", "listen.key", "holds no unencrypted private key"),
        ("client_ca = 'DIR/ca.pem'", "listen.client_ca", "without a certificate"),
        (
            "certificate = 'DIR/shop.pem'\nkey = 'DIR/shop.key'\nclient_ca = 'DIR/other.key'",
            "listen.client_ca",
            "holds no certificate",
        ),
    ] {
        let told = told(&listen(&text(toml)));
        assert!(told.starts_with(&format!("{key}: ")) && told.contains(cause) && told.contains("; "), "{told}");
    }
    for (toml, key, cause) in [
        ("ca = 'DIR/none.pem'", "primary.ca", "cannot be read"),
        ("name = 'not a name'", "primary.name", "neither a host name"),
        ("certificate = 'DIR/shop.pem'", "primary.key", "is missing"),
        ("certificate = 'DIR/shop.pem'\nkey = 'DIR/other.key'", "primary.key", "does not belong"),
    ] {
        let told = told(&primary(&text(&format!("{url}{toml}"))));
        assert!(told.starts_with(&format!("{key}: ")) && told.contains(cause) && told.contains("; "), "{told}");
    }
}

#[test]
fn what_cannot_work_is_refused_by_its_key() {
    for (toml, key) in [
        ("header = '0s'", "listen.header"),
        ("idle = '0s'", "listen.idle"),
        ("connections = 0", "listen.connections"),
        ("threads = 0", "listen.threads"),
        ("takeover = 'relative.sock'", "listen.takeover"),
        ("takeover = '/nonexistent/agent.sock'", "listen.takeover"),
    ] {
        let told = told(&listen(toml));
        assert!(told.starts_with(&format!("{key}: ")) && told.contains("; "), "{told}");
    }
    assert!(told(&listen(&format!("takeover = '/tmp/{}'", "x".repeat(103)))).contains("107 bytes"));
    for (toml, key) in [
        ("", "primary.url"),
        ("url = 'ftp://host'", "primary.url"),
        ("url = 'http://user@host'", "primary.url"),
        ("url = 'https://host/path'", "primary.url"),
        ("url = 'http://host'\nca = '/ca.pem'", "primary.ca"),
        ("url = 'http://host'\nconnect = '0s'", "primary.connect"),
    ] {
        let told = told(&primary(toml));
        assert!(told.starts_with(&format!("{key}: ")) && told.contains("; "), "{told}");
    }
}

#[test]
fn http2_is_offered_only_when_the_primary_speaks_it() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let section = ListenSection {
        certificate: Some(authority.file("shop.pem")),
        key: Some(authority.file("shop.key")),
        ..ListenSection::default()
    };
    for (primary, offered) in [(Protocol::Http1, vec!["http/1.1"]), (Protocol::Http2, vec!["h2", "http/1.1"])] {
        let tls = section.door(primary).unwrap().tls.expect("there is a certificate");
        assert_eq!(tls.alpn(), offered);
    }
    assert!(ListenSection::default().door(Protocol::Http1).unwrap().tls.is_none());
}

#[test]
fn there_is_always_a_thread_and_a_connection() {
    assert!(ListenSection::default().proxy_threads() >= 1);
    assert_eq!(ListenSection { threads: Some(3), ..ListenSection::default() }.proxy_threads(), 3);
    assert!(ListenSection::default().most_connections(0) >= 64);
    assert_eq!(ListenSection { connections: Some(7), ..ListenSection::default() }.most_connections(0), 7);
}
