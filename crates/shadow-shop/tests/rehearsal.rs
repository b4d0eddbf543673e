//! The whole promise of the demo without its plumbing: the plan is sent to the primary, masked, sent masked to the candidate,
//! and the masked answers are compared under the shipped rules. What differs must be what was seeded.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use shadow_diff::{CompareResult, Rules, compare};
use shadow_mask::{MaskKey, Masker, RawBody, RawRequest, RawResponse, Ruleset};
use shadow_record::{Request, Response, RouteTable, Timestamp};
use shadow_shop::{Build, COMPARISON_RULES, Load, MASKING_RULES, Planned, ROUTES, Shop, planned, seeded};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

async fn open(shop: Shop) -> (String, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    tokio::spawn(shop.serve(listener, shutdown.clone()));
    (origin, shutdown.drop_guard())
}

async fn ask(http: &Http, origin: &str, method: Method, path: &str) -> RawResponse {
    let request = http::Request::builder().method(method).uri(format!("{origin}{path}")).body(Full::default()).unwrap();
    let (parts, body) = http.request(request).await.unwrap().into_parts();
    let body = RawBody::Whole(body.collect().await.unwrap().to_bytes());
    RawResponse { status: parts.status.as_u16(), headers: parts.headers, body }
}

fn masker() -> Masker {
    let key = MaskKey::parse("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef").unwrap();
    Masker::new(key, Ruleset::parse(MASKING_RULES).unwrap(), RouteTable::parse(ROUTES).unwrap())
}

fn mask_request(masker: &Masker, plan: &Planned) -> Request {
    let (path, query) = match plan.path.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (plan.path.as_str(), None),
    };
    masker.request(RawRequest {
        method: plan.method.to_string(),
        scheme: "http".to_owned(),
        authority: "shop.example".to_owned(),
        path: path.to_owned(),
        query,
        headers: http::HeaderMap::new(),
        body: RawBody::empty(),
    })
}

/// Route, masked answer of the primary, masked answer of the candidate to the masked request.
async fn rehearse(masker: &Masker, http: &Http, origins: &[String; 2], plan: &Planned) -> (String, Response, Response) {
    let primary = ask(http, &origins[0], plan.method.clone(), &plan.path).await;
    let masked = mask_request(masker, plan);
    let query = masked.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let candidate = ask(http, &origins[1], plan.method.clone(), &format!("{}{query}", masked.path)).await;
    let path = plan.path.split('?').next().unwrap();
    let primary = masker.response("GET", path, primary);
    let candidate = masker.response("GET", &masked.path, candidate);
    (masker.route("GET", path), primary, candidate)
}

/// How often each signature shows, by route, place, kind and transition.
type Found = BTreeMap<(String, String, &'static str, String), u32>;

async fn differences(rules: &str) -> Found {
    between(rules, [Shop::new(Build::Primary), Shop::new(Build::Candidate)]).await
}

async fn between(rules: &str, [primary, candidate]: [Shop; 2]) -> Found {
    let ((primary, _a), (candidate, _b)) = (open(primary).await, open(candidate).await);
    let origins = std::sync::Arc::new([primary, candidate]);
    let (masker, rules) = (std::sync::Arc::new(masker()), Rules::parse(rules).unwrap());
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let mut tasks = JoinSet::new();
    let reads = (0..2_000).map(|index| planned(Load::SEED, index)).filter(|plan| plan.method == Method::GET);
    let mut reads = reads.peekable();
    let mut found = Found::new();
    loop {
        while tasks.len() < 32 && reads.peek().is_some() {
            let (masker, http, origins) = (masker.clone(), http.clone(), origins.clone());
            let plan = reads.next().unwrap();
            tasks.spawn(async move { rehearse(&masker, &http, &origins, &plan).await });
        }
        let Some(done) = tasks.join_next().await else { return found };
        let (route, primary, candidate) = done.unwrap();
        let comparison = compare(&route, &primary, &candidate, &rules, Timestamp::now());
        assert!(
            matches!(comparison.result, CompareResult::Matched | CompareResult::Differing),
            "{route}: {:?}",
            comparison.result
        );
        for d in comparison.differences {
            *found.entry((route.clone(), d.place, d.kind.as_str(), d.transition)).or_default() += 1;
        }
    }
}

fn expected() -> BTreeSet<(String, String, &'static str, String)> {
    seeded()
        .into_iter()
        .flat_map(|fault| {
            let signature = move |d: shadow_shop::SeededDifference| {
                (fault.route.to_owned(), d.place.to_owned(), d.kind, d.transition.to_owned())
            };
            fault.differences.into_iter().map(signature)
        })
        .collect()
}

#[tokio::test]
async fn the_shipped_rules_find_exactly_the_seeded_regressions() {
    let (found, expected) = (differences(COMPARISON_RULES).await, expected());
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), expected, "{found:#?}");
    for (signature, count) in found {
        assert!(count >= 5, "{signature:?} was met {count} times");
    }
}

/// What makes the demo's noise learnable: each volatile member shows on a second copy of the live build often enough, and no
/// seeded regression does.
#[tokio::test]
async fn volatile_members_show_on_a_copy_of_the_live_build_too() {
    let primary = Shop::new(Build::Primary).volatile("pod-a");
    let candidate = between(COMPARISON_RULES, [primary, Shop::new(Build::Candidate).volatile("pod-b")]).await;
    let control = between(COMPARISON_RULES, [primary, Shop::new(Build::Primary).volatile("pod-c")]).await;
    let left: BTreeSet<_> = candidate.keys().filter(|signature| !control.contains_key(*signature)).cloned().collect();
    assert_eq!(left, expected(), "{candidate:#?}");
    for ((route, place, kind, transition), count) in &control {
        assert!(*count >= 30, "{route} {place} {kind} {transition} shows {count} times");
    }
    let flapping = control.keys().filter(|(_, place, ..)| place == "$.from_cache").map(|(.., kind, _)| *kind);
    assert_eq!(flapping.collect::<Vec<_>>(), ["added", "missing"]);
}

#[tokio::test]
async fn without_the_shipped_rules_the_reordered_list_and_the_timestamp_would_show() {
    let found = differences("").await;
    let shows = |route: &str, place: &str| found.keys().any(|(r, p, ..)| r == route && p.starts_with(place));
    assert!(shows("GET /products", "$.products"), "{found:#?}");
    assert!(shows("GET /users/{id}", "$.generated_at"), "{found:#?}");
}

#[tokio::test]
async fn nothing_private_is_left_in_a_masked_answer() {
    let (origin, _running) = open(Shop::new(Build::Primary)).await;
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    for id in 1..=20 {
        let path = format!("/users/{id}");
        let raw = ask(&http, &origin, Method::GET, &path).await;
        let RawBody::Whole(body) = &raw.body else { unreachable!("it was read whole") };
        let private: serde_json::Value = serde_json::from_slice(body).unwrap();
        let masked = masker().response("GET", &path, raw);
        let shown = String::from_utf8(masked.body.content.unwrap().to_vec()).unwrap();
        let address = &private["address"];
        for value in [&private["name"], &private["email"], &private["phone"], &address["street"], &address["city"]] {
            assert!(!shown.contains(value.as_str().unwrap()), "{value} in {shown}");
        }
        assert!(shown.contains(&format!("\"id\":{id}")), "{shown}");
    }
}
