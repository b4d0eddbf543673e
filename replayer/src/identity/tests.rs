use shadow_record::Header;

use super::*;
use crate::samples;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/identity/testdata");

fn load(text: &str) -> Result<Identities, Vec<String>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text.replace("KEYS", KEYS)).unwrap();
    let environment = |name: &str| (name == "SHADOW_KEY").then(|| "hunter2-hunter2".to_owned());
    let loaded = Identities::load_from(file.path(), &environment);
    loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn applied(identities: &Identities, target: &str, claims: Option<&str>, accepted: bool) -> (reqwest::Request, Applied) {
    let mut captured = samples::captured("GET", "/").request;
    captured.headers.extend(claims.map(|claims| Header::of(CLAIMS_HEADER, claims)));
    let target: Url = target.parse().unwrap();
    let mut request = reqwest::Request::new(reqwest::Method::GET, target.clone());
    for (name, value) in [("x-api-key", "captured"), ("x-csrf", "captured"), ("authorization", "msk_captured")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let applied = identities.apply(&target, &captured, accepted, &mut request).unwrap();
    (request, applied)
}

fn value<'r>(request: &'r reqwest::Request, name: &str) -> Option<&'r str> {
    let mut values = request.headers().get_all(name).iter();
    let value = values.next()?.to_str().unwrap();
    assert!(values.next().is_none());
    Some(value)
}

const WHOLE: &str = r#"
[[identity]]
name = "shadow"
to = ["http://candidate:8080"]
host = "captured"
remove = ["X-CSRF"]
set = { "X-Api-Key" = { env = "SHADOW_KEY" }, x-env = "shadow" }

[identity.jwt]
algorithm = "EdDSA"
key = { file = "KEYS/eddsa.pem" }
claims = { iss = "shadow", aud = ["shop"] }
copy = ["sub"]

[[identity]]
name = "gateway"
to = ["https://control", "http://control:81"]
host = "shop.example:8443"
basic = { user = "shadow", password = { env = "SHADOW_KEY" } }
"#;

#[test]
fn an_identity_replaces_what_was_captured_for_its_targets_only() {
    let identities = load(WHOLE).unwrap();
    let (request, applied_to_it) = applied(&identities, "http://candidate:8080/v2", Some(r#"{"sub":"msk_a"}"#), true);
    assert_eq!(applied_to_it.name.as_deref(), Some("identity:shadow"));
    assert_eq!(value(&request, "x-api-key"), Some("hunter2-hunter2"));
    assert_eq!(value(&request, "x-env"), Some("shadow"));
    assert_eq!(value(&request, "x-csrf"), None);
    assert_eq!(value(&request, "host"), Some("shop.example"));
    let token = value(&request, "authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let hidden: Vec<_> = applied_to_it.hidden.iter().map(|hidden| &**hidden).collect();
    assert_eq!(hidden, ["hunter2-hunter2", signature], "what stands in the file itself, answers may have too");

    let (request, applied_to_it) = applied(&identities, "https://control:443/", None, true);
    assert_eq!(applied_to_it.name.as_deref(), Some("identity:gateway"));
    // `printf shadow:hunter2-hunter2 | base64`
    assert_eq!(value(&request, "authorization"), Some("Basic c2hhZG93Omh1bnRlcjItaHVudGVyMg=="));
    assert_eq!(value(&request, "host"), Some("shop.example:8443"));
    assert!(applied_to_it.hidden.iter().any(|hidden| **hidden == *"hunter2-hunter2"));

    for other in ["http://candidate", "https://candidate:8080", "http://candidate.example:8080", "http://control"] {
        let (request, applied_to_it) = applied(&identities, other, Some(r#"{"sub":"msk_a"}"#), true);
        assert_eq!((applied_to_it.name, applied_to_it.hidden.len()), (None, 0), "{other}");
        assert_eq!((value(&request, "x-api-key"), value(&request, "host")), (Some("captured"), None), "{other}");
    }
}

#[test]
fn a_token_is_minted_only_for_one_that_the_primary_accepted() {
    let identities = load(WHOLE).unwrap();
    for (claims, accepted, minted) in
        [(Some(r#"{"sub":"a"}"#), true, true), (Some(r#"{"sub":"a"}"#), false, false), (None, true, false)]
    {
        let (request, _) = applied(&identities, "http://candidate:8080/", claims, accepted);
        assert_eq!(value(&request, "authorization").is_some(), minted, "{claims:?} {accepted}");
    }
}

#[test]
fn the_example_of_the_documentation_can_be_used() {
    let page = include_str!("../../../docs/replay.md");
    let block =
        page.split("```toml").find(|block| block.contains("[[identity]]")).unwrap().split("```").next().unwrap();
    let block = block
        .replace("SHADOW_API_KEY", "SHADOW_KEY")
        .replace("/run/secrets/shadow-jwt.pem", "KEYS/rs256.pem")
        .replace("/run/secrets/gateway-password", "KEYS/hs256.key");
    let (_, applied) = applied(&load(&block).unwrap(), "http://checkout-v2:8080/", None, true);
    assert_eq!(applied.name.as_deref(), Some("identity:shadow-users"));
}

#[test]
fn no_secret_shows_in_debug_output() {
    let identities = load(WHOLE).unwrap();
    let (request, _) = applied(&identities, "http://candidate:8080/", Some(r#"{"sub":"a"}"#), true);
    let token = value(&request, "authorization").unwrap();
    for shown in [format!("{identities:?}"), format!("{identities:#?}"), format!("{request:?}")] {
        assert!(shown.contains("shadow") || shown.contains("Request"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains(token) && !shown.contains("c2hhZG93"), "{shown}");
    }
}

#[test]
fn each_problem_is_named_without_its_secret() {
    let identity = |more: &str| format!("[[identity]]\nname = \"a\"\nto = [\"http://c:1\"]\n{more}");
    let jwt = |more: &str| identity(&format!("[identity.jwt]\nalgorithm = \"HS256\"\n{more}"));
    let good_key = "key = 'hunter2-hunter2-hunter2-hunter2-hunter2'\n";
    let with_key = |more: &str| jwt(&format!("{good_key}{more}"));
    let table = [
        (identity("sett = {}"), "line 4: unknown field `sett`"),
        (identity("set = { x-a = 5 }"), "line 4: a value is"),
        (identity("set = { x-a = { text = 'hunter2' } }"), "a value is"),
        (identity("set = { x-a = { env = 'NOT_SET' } }"), "`set.x-a`: the environment variable `NOT_SET`"),
        (identity("set = { x-a = { file = '/nonexistent/a' } }"), "`/nonexistent/a` cannot be read"),
        (identity("set = { x-a = \"hunter2\\n\" }"), "characters that no header"),
        (identity("set = { host = 'a' }"), "`host` is no header that an identity may set"),
        (identity("set = { X-A = 'hunter2', x-a = 'b' }"), "writes `x-a`"),
        (identity("remove = ['shadowline-replay']"), "may set or remove"),
        (identity("host = 'a/b'"), "`host` is neither"),
        (identity("basic = { user = 'a:b', password = 'hunter2' }"), "`basic.user` has a colon"),
        (identity("[[identity]]\nname = 'a'\nto = ['http://d']"), "the name is given twice"),
        (identity("[[identity]]\nname = 'b'\nto = ['http://c:1/']"), "`http://c:1` has an identity already"),
        ("[[identity]]\nname = 'a'\nto = ['http://c/v2']".to_owned(), "more or less than scheme"),
        ("[[identity]]\nname = 'a b'\nto = ['http://c']".to_owned(), "a name is 1 to 64"),
        ("[[identity]]\nname = 'a'\nto = []".to_owned(), "names no target"),
        (jwt("key = 'hunter2'"), "the key has 7 bytes"),
        (jwt("key = { file = 'KEYS/none.pem' }"), "cannot be read"),
        (with_key("ttl = '1s'"), "`jwt.ttl` is 1s"),
        (with_key("copy = ['exp']"), "the claim `exp` follows"),
        (with_key("claims = { sub = 'a' }\ncopy = ['sub']"), "both fixed and copied"),
        (with_key("claims = { nbf = 2024-01-01 }"), "has a TOML date"),
        (with_key("header = 'te'"), "`te` is no header"),
    ];
    for (text, expected) in table {
        let problems = load(&text).err().unwrap_or_default();
        assert!(matches!(&problems[..], [only] if only.contains(expected)), "{text}\n{problems:?}");
        assert!(problems[0].starts_with("replay.identity_file: ") && !problems[0].contains("hunter2"), "{problems:?}");
    }
    let several = load(&identity("remove = ['te']\nhost = 'a b'\nset = { x-a = { env = 'NOT_SET' } }"));
    assert_eq!(several.unwrap_err().len(), 3);
}
