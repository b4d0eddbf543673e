//! Credentials: claims that rules keep of a token, what stands behind a scheme, secrets that the shadow's answers repeat.

use crate::support::{masker, request, response, show_response};

const KEPT: &str = "claims = ['sub', 'tenant', 'mail', 'xref']\n[[rule]]\nstrategy = 'keep'\njson = ['$.tenant.name']";

fn bearer(payload: &str) -> String {
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    format!("Bearer {}.{}.c2lnbmF0dXJl", encode(r#"{"alg":"none"}"#), encode(payload))
}

/// The kept claims of a request with these headers.
fn claims(rules: &str, lines: &[(&str, &str)]) -> Vec<String> {
    let masked = masker(rules, &[]).request(request("/", lines, b""));
    masked.headers.into_iter().filter(|h| h.name == shadow_mask::CLAIMS_HEADER).map(|h| h.value).collect()
}

#[test]
fn named_claims_of_a_bearer_token_are_kept_and_masked_like_json() {
    let payload = r#"{"sub":"alice","tenant":{"name":"Acme Corp","id":7},"mail":"alice@example.com","role":"admin","exp":1700000000,"xref":12345678}"#;
    let token = bearer(payload);
    let kept = claims(KEPT, &[("authorization", &token)]);
    let masker = masker(KEPT, &[]);
    let body = response(&[("content-type", "application/json")], payload.as_bytes());
    let body = masker.response("GET", "/", body).body.content.unwrap();
    let of_body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept[0]).unwrap();
    for name in ["sub", "tenant", "mail", "xref"] {
        assert_eq!(kept[name], of_body[name], "{name}");
    }
    assert_eq!(kept.as_object().unwrap().len(), 4);
    assert_eq!(kept["tenant"]["name"], "Acme Corp");
    assert!(!kept.to_string().contains("alice"), "{kept}");
}

#[test]
fn only_a_whole_bearer_token_has_claims() {
    let token = bearer(r#"{"sub":"a"}"#);
    assert_eq!(claims(KEPT, &[("authorization", &token)]).len(), 1);
    assert_eq!(claims("", &[("authorization", &token)]).len(), 0, "no rule names claims");
    assert_eq!(claims(KEPT, &[("authorization", &token), ("authorization", &token)]).len(), 0);
    assert_eq!(claims(KEPT, &[("x-auth", &token)]).len(), 0);
    for wrong in [
        "Bearer a.b.c".to_owned(),
        "Bearer secret".to_owned(),
        token.replace("Bearer", "Basic"),
        format!("{token}.more"),
        bearer("[]"),
        bearer(r#"{"role":"admin"}"#),
        bearer(&format!(r#"{{"sub":"{}"}}"#, "a ".repeat(20_000))),
        bearer(r#"{"sub":"a""#),
    ] {
        assert_eq!(claims(KEPT, &[("authorization", &wrong)]).len(), 0, "{wrong}");
    }
}

#[test]
fn a_clients_own_claims_are_never_recorded() {
    for rules in ["", KEPT, "profile = 'detect'", "[[rule]]\nstrategy = 'keep'\nheader = ['*', 'shadowline-claims']"] {
        assert_eq!(claims(rules, &[("shadowline-claims", r#"{"sub":"admin"}"#)]), Vec::<String>::new(), "{rules}");
    }
    let token = bearer(r#"{"sub":"a"}"#);
    let both = claims(KEPT, &[("shadowline-claims", r#"{"sub":"admin"}"#), ("authorization", &token)]);
    assert!(both.len() == 1 && !both[0].contains("admin"), "{both:?}");
}

#[test]
fn a_credential_behind_its_scheme_has_the_token_of_the_answer_that_issued_it() {
    let masker = masker("[[rule]]\nstrategy = 'token'\nheader = ['authorization']", &[]);
    let masked = |value: &str| {
        let masked = masker.request(request("/", &[("authorization", value)], b""));
        masked.header("authorization").unwrap().to_owned()
    };
    let issued = masker.value("a secret token");
    assert_eq!(masked("Bearer a secret token"), format!("Bearer {issued}"));
    assert_eq!(masked(&masked("Bearer a secret token")), format!("Bearer {issued}"));
    assert_eq!(masked("a secret token"), masker.value("a secret token"));
    assert_eq!(masked("Unknown a secret token"), masker.value("Unknown a secret token"));
}

#[test]
fn what_is_hidden_leaves_in_no_answer_whatever_the_rules_keep() {
    let secret = "hunter2/hunter2+é";
    let hidden: Vec<std::sync::Arc<str>> = vec![secret.into(), "ab1".into(), "87654321".into()];
    let json =
        r#"{"echo":"Bearer hunter2\/hunter2+\u00e9","deep":[{"hunter2/hunter2+é":"ab1"}],"n":87654321,"fine":"ab12"}"#;
    let xml = "<a b=\"hunter2/hunter2+&#233;\">x hunter2/hunter2+é y</a>";
    let bodies = [
        ("application/json", json.to_owned()),
        ("text/plain", format!("one\n{secret}\nab1\n")),
        ("application/x-www-form-urlencoded", "a=hunter2%2Fhunter2%2B%C3%A9&b=ab1".to_owned()),
        ("text/event-stream", format!("data: {secret}\n\ndata: {{\"a\":\"{secret}\"}}\n\n")),
        ("application/xml", xml.to_owned()),
    ];
    let everything = shadow_mask::Ruleset::KEEP_EVERYTHING;
    for rules in ["", "profile = 'detect'", everything] {
        let masker = masker(rules, &[]);
        for (kind, body) in &bodies {
            let lines = [
                ("content-type", *kind),
                ("x-echo", secret),
                ("set-cookie", "a=ab1"),
                ("location", "/hunter2%2Fhunter2%2B%C3%A9?a=1"),
            ];
            let answer = || response(&lines, body.as_bytes());
            let shown = |masked| {
                let shown = show_response(&masked);
                ["hunter2", "\"ab1\"", "\nab1", "=ab1", "87654321"].iter().filter(|s| shown.contains(**s)).count()
            };
            let masked = masker.response_hiding("GET", "/", answer(), &hidden);
            assert!(masked.body.content.is_some(), "{rules} {kind}");
            assert_eq!(shown(masked), 0, "{rules} {kind}");
            if rules == everything {
                assert!(shown(masker.response("GET", "/", answer())) > 0, "{kind}: the test can fail");
            }
        }
    }
}
