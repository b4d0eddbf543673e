//! Identities, traces and dry runs, as a target sees them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use shadow_control::{Control, Launch, WritePolicy, WriteRule};
use shadow_mask::{RawBody, RawResponse};
use shadow_record::{Outcome, encode};
use tokio::net::TcpListener;
use url::Url;

use crate::bench::{Answers, Bench, Candidate};
use crate::captured::{Agent, Asked, masker};

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/identity/testdata");
const API_KEY: &str = "hunter2-hunter2";

/// What a target was asked, and what was wrong with it.
type Seen = Arc<Mutex<Vec<(Uri, HeaderMap)>>>;

/// A target that believes tokens which its key verifies, and repeats in its answer what it was sent.
async fn target(verifier: Option<UnparsedPublicKey<Vec<u8>>>) -> (Url, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let seen = Seen::default();
    let (log, verifier) = (seen.clone(), Arc::new(verifier));
    let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
        let (log, verifier) = (log.clone(), verifier.clone());
        async move {
            let sent = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            let status = match (&*verifier, &sent) {
                (None, _) => StatusCode::OK,
                (Some(key), Some(bearer)) if is_good(key, bearer) => StatusCode::OK,
                _ => StatusCode::UNAUTHORIZED,
            };
            let key = headers.get("x-api-key").map_or("", |value| value.to_str().unwrap()).to_owned();
            let sent = sent.unwrap_or_default();
            log.lock().unwrap().push((uri, headers));
            let body = format!(r#"{{"you_sent":"{sent}","note":["key {key}"]}}"#);
            let name = HeaderName::from_static("x-echo");
            (status, [(header::CONTENT_TYPE, "application/json".to_owned()), (name, sent)], body).into_response()
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

/// Whether the token's signature verifies and it is good now.
fn is_good(key: &UnparsedPublicKey<Vec<u8>>, bearer: &str) -> bool {
    let Some((signed, signature)) = bearer.strip_prefix("Bearer ").and_then(|token| token.rsplit_once('.')) else {
        return false;
    };
    let claims = claims_of(signed);
    let now = shadow_record::Timestamp::now().micros() / 1_000_000;
    let lives = claims["iat"].as_i64().unwrap() <= now && now < claims["exp"].as_i64().unwrap();
    lives && key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_ok()
}

fn claims_of(signed: &str) -> serde_json::Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// The public key that openssl wrote: of the SubjectPublicKeyInfo, ring wants what is behind the algorithm.
fn public_key(file: &str, algorithm: &'static dyn VerificationAlgorithm, prefix: usize) -> UnparsedPublicKey<Vec<u8>> {
    let pem = std::fs::read_to_string(format!("{KEYS}/{file}")).unwrap();
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    UnparsedPublicKey::new(algorithm, der[prefix..].to_vec())
}

fn launch(bench: &Bench, candidate: Url) -> Launch {
    let change = shadow_control::Change::by("test", "test");
    Launch::of(bench.launch.clone(), bench.service.clone(), candidate, change)
}

/// A client's token for the primary.
fn captured_token(subject: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("Bearer {}.{}.c2lnbmVk", part(r#"{"alg":"RS256"}"#), part(&format!(r#"{{"sub":"{subject}"}}"#)))
}

pub(crate) async fn targets_get_tokens_of_their_own_and_records_do_not(brokers: &str) {
    let mut bench = Bench::new(brokers, "identities", 1).await;
    let (candidate, seen) = target(Some(public_key("eddsa.pub.pem", &ED25519, 12))).await;
    let (control, seen_by_control) = target(Some(public_key("rs256.pub.pem", &RSA_PKCS1_2048_8192_SHA256, 24))).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), API_KEY).unwrap();
    let identities = format!(
        r#"
        [[identity]]
        name = "shadow-eddsa"
        to = ["{candidate}"]
        host = "captured"
        set = {{ x-api-key = {{ file = "{}" }} }}
        jwt = {{ algorithm = "EdDSA", key = {{ file = "{KEYS}/eddsa.pem" }}, claims = {{ iss = "shadow" }}, copy = ["sub"] }}

        [[identity]]
        name = "shadow-rs256"
        to = ["{control}"]
        jwt = {{ algorithm = "RS256", key = {{ file = "{KEYS}/rs256.pem" }}, copy = ["sub"] }}
        "#,
        key.path().display()
    );
    std::fs::write(file.path(), identities).unwrap();

    let rules = "claims = ['sub']\n[[rule]]\nstrategy = 'keep'\nheader = ['traceparent']";
    let mut agent = Agent::new(&mut bench, masker(rules, &["GET /orders/{id}"]));
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    // Good at the primary, not good there, without a token, and without an answer.
    for (token, status) in
        [(Some("alice"), Some(200)), (Some("mallory"), Some(401)), (None, Some(200)), (Some("eve"), None)]
    {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", format!("00-{trace}-{span}-01").parse().unwrap());
        headers.insert("shadowline-claims", r#"{"sub":"admin"}"#.parse().unwrap());
        if let Some(subject) = token {
            headers.insert("authorization", captured_token(subject).parse().unwrap());
        }
        let asked = Asked { session: "s", method: "GET", path: "/orders/1", headers: &[], body: String::new() };
        let raw = |status| RawResponse { status, headers: HeaderMap::new(), body: RawBody::empty() };
        let answer = status.map(|status| agent.masker.response("GET", "/orders/1", raw(status)));
        agent.capture(&asked, headers, answer).await;
    }
    let subject = agent.masker.value("alice");
    let mut put = launch(&bench, candidate.clone());
    put.control = Some(Control { url: control.clone(), sample: 1.0 });
    bench.put(put).await;
    let path = file.path().to_owned();
    let replayer = bench.replayer_with("identities-1", |config| config.replay.identity_file = Some(path));
    let account = bench.outcomes().await;
    replayer.stop().await;

    let mut secrets = vec![API_KEY.to_owned()];
    let control_host = control.authority().to_owned();
    for (seen, host, key) in [(seen, "shop.example", Some(API_KEY)), (seen_by_control, &*control_host, None)] {
        let seen = seen.lock().unwrap();
        let text = |at: usize, name: &str| Some(seen[at].1.get(name)?.to_str().unwrap().to_owned());
        for at in 0..4 {
            assert_eq!((text(at, "x-api-key").as_deref(), text(at, "host").as_deref()), (key, Some(host)));
            assert_eq!(text(at, "shadowline-claims"), None);
            let parent = text(at, "traceparent").unwrap();
            assert!(!parent.contains(trace) && parent.ends_with("-01"), "{parent}");
            assert_eq!(text(at, "tracestate").unwrap(), format!("shadowline={trace}-{span}"));
        }
        // The control's requests may overtake each other.
        let tokens: Vec<String> = (0..4).filter_map(|at| text(at, "authorization")).collect();
        let [token] = &tokens[..] else { panic!("{} tokens", tokens.len()) };
        assert_eq!(claims_of(token)["sub"], *subject);
        secrets.push(token.rsplit('.').next().unwrap().to_owned());
        let traces: std::collections::BTreeSet<_> = (0..4).map(|at| text(at, "traceparent")).collect();
        assert_eq!(traces.len(), 4);
    }
    for record in &account.records {
        let Outcome::Completed(answer) = &record.outcome else { panic!("{:?}", record.outcome) };
        let status = if record.offset == 0 { 200 } else { 401 };
        let of_control = record.control.as_ref().unwrap().answer.as_ref().unwrap();
        assert_eq!((answer.status, of_control.status), (status, status), "offset {}", record.offset);
        assert_eq!(record.rewritten, ["identity:shadow-eddsa"]);
        let body = answer.body.content.as_ref().unwrap();
        assert!(body.windows(12).any(|w| w == b"msk_redacted"), "the echo is there, redacted");
        let bytes = encode(record);
        for secret in &secrets {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
}

pub(crate) async fn a_write_policy_decides_route_by_route(brokers: &str) {
    let mut bench = Bench::new(brokers, "policies", 1).await;
    let (candidate, seen) = target(None).await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        let exchange = encode(&bench.exchange(method, "/items/1"));
        bench.capture(0, &exchange).await;
    }
    let rule = |route: &str, policy| WriteRule { route: route.to_owned(), policy, header: None, query: None };
    let mut put = launch(&bench, candidate);
    put.replay.writes = vec![
        WriteRule {
            header: Some("X-Dry-Run: yes".to_owned()),
            query: Some("dry=1".to_owned()),
            ..rule("POST /items/{id}", WritePolicy::DryRun)
        },
        rule("PUT /items/{id}", WritePolicy::RecordOnly),
        rule("DELETE /items/{id}", WritePolicy::Isolated),
        rule("*", WritePolicy::Skip),
    ];
    bench.put(put).await;
    let replayer = bench.replayer("policies-1");
    let account = bench.outcomes().await;
    replayer.stop().await;
    let labels: Vec<_> = (0..5).map(|offset| account.label(0, offset)).collect();
    assert_eq!(labels, ["completed", "completed", "record_only", "unsafe_method", "write_policy"]);
    let rewritten = |offset| account.records.iter().find(|r| r.offset == offset).unwrap().rewritten.clone();
    assert_eq!((rewritten(0), rewritten(1)), (vec![], vec!["dry_run".to_owned()]));
    let seen = seen.lock().unwrap();
    let dry: Vec<_> = seen.iter().filter(|(_, headers)| headers.contains_key("x-dry-run")).collect();
    assert_eq!((seen.len(), dry.len()), (2, 1));
    assert_eq!((dry[0].0.query(), &dry[0].1["x-dry-run"]), (Some("dry=1"), &"yes".parse().unwrap()));
}

pub(crate) async fn a_write_policy_changed_meanwhile_holds_for_what_was_admitted(brokers: &str) {
    let mut bench = Bench::new(brokers, "tightens", 1).await;
    let candidate = Candidate::start(Answers::Held).await;
    let mut put = bench.launch(&candidate);
    let dry = WriteRule {
        route: "*".to_owned(),
        policy: WritePolicy::DryRun,
        header: Some("x-dry-run: 1".to_owned()),
        query: None,
    };
    put.replay.writes = vec![dry];
    put.limits.max_in_flight = 1;
    for _ in 0..5 {
        let exchange = encode(&bench.exchange("POST", "/items/1"));
        bench.capture(0, &exchange).await;
    }
    bench.put(put.clone()).await;
    let replayer = bench.replayer("tightens-1");
    candidate.asked_at_least(1).await;
    put.replay.writes[0] = WriteRule { route: "*".to_owned(), policy: WritePolicy::Skip, header: None, query: None };
    let version = bench.put(put).await;
    bench.acknowledged("tightens-1", version, shadow_record::State::Running).await;
    candidate.let_go();
    assert_eq!(bench.outcomes().await.counts(), [("completed", 1), ("write_policy", 4)].into());
    assert_eq!(candidate.asked(), 1);
    replayer.stop().await;
}

pub(crate) async fn a_replay_that_cannot_work_does_not_run(brokers: &str) {
    let mut bench = Bench::new(brokers, "problems", 1).await;
    let candidate = Candidate::start(Answers::AtOnce).await;
    bench.capture_requests(3).await;
    let mut put = bench.launch(&candidate);
    put.replay.session_limit_ms = 0;
    bench.put(put.clone()).await;
    let replayer = bench.replayer("problems-1");
    bench.heartbeat("problems-1", |s| s.counters.get("launch_errors").is_some_and(|tries| *tries >= 2)).await;
    assert_eq!(candidate.asked(), 0);
    put.replay.session_limit_ms = 1000;
    bench.put(put).await;
    assert_eq!(bench.outcomes().await.counts()["completed"], 3);
    replayer.stop().await;
}
