//! The whole promise of the demo without its plumbing: the plan is sent to the primary, masked, sent masked to the candidate,
//! and the masked answers are compared under the shipped rules, as is what either asked of the partners. What differs must be what was
//! seeded.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture as _;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use shadow_diff::{CompareResult, Rules, compare};
use shadow_mask::{MaskKey, Masker, RawBody, RawRequest, RawResponse, Ruleset};
use shadow_record::{Request, Response, RouteTable, Timestamp};
use shadow_shop::{Build, COMPARISON_RULES, Load, MASKING_RULES, Outbound, Planned, ROUTES, Shop, planned, seeded};
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

async fn ask(http: &Http, origin: &str, method: Method, path: &str, body: Bytes) -> RawResponse {
    let request = http::Request::builder().method(method).uri(format!("{origin}{path}"));
    let request = request.header("content-type", "application/json").body(Full::new(body)).unwrap();
    let (parts, body) = http.request(request).await.unwrap().into_parts();
    let body = RawBody::Whole(body.collect().await.unwrap().to_bytes());
    RawResponse { status: parts.status.as_u16(), headers: parts.headers, body }
}

fn key() -> MaskKey {
    MaskKey::parse("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef").unwrap()
}

fn masker() -> Masker {
    Masker::new(key(), Ruleset::parse(MASKING_RULES).unwrap(), RouteTable::parse(ROUTES).unwrap())
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
        headers: http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]),
        body: RawBody::Whole(Bytes::from(plan.body.clone().unwrap_or_default())),
    })
}

/// Route, masked answer of the primary, masked answer of the candidate to the masked request.
async fn rehearse(masker: &Masker, http: &Http, origins: &[String; 2], plan: &Planned) -> (String, Response, Response) {
    let body = Bytes::from(plan.body.clone().unwrap_or_default());
    let primary = ask(http, &origins[0], plan.method.clone(), &plan.path, body).await;
    let masked = mask_request(masker, plan);
    let query = masked.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{query}", masked.path);
    let body = masked.body.content.clone().unwrap_or_default();
    let candidate = ask(http, &origins[1], plan.method.clone(), &target, body).await;
    let (method, path) = (plan.method.as_str(), plan.path.split('?').next().unwrap());
    let primary = masker.response(method, path, primary);
    let candidate = masker.response(method, &masked.path, candidate);
    (masker.route(method, path), primary, candidate)
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
    let mut plans = (0..2_000).map(|index| planned(Load::SEED, index)).peekable();
    let mut found = Found::new();
    loop {
        while tasks.len() < 32 && plans.peek().is_some() {
            let (masker, http, origins) = (masker.clone(), http.clone(), origins.clone());
            let plan = plans.next().unwrap();
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
            // What was asked of the partners is compared below.
            fault.differences.into_iter().filter(|d| !d.place.starts_with("effects")).map(signature)
        })
        .collect()
}

/// A partner that takes everything and keeps what it was asked, masked as it is recorded: by the request that it was asked for.
#[derive(Clone)]
struct Recording {
    masker: std::sync::Arc<Masker>,
    asked: std::sync::Arc<std::sync::Mutex<BTreeMap<String, Vec<String>>>>,
}

impl Recording {
    /// Serves as the outbound proxy of a shop.
    async fn open() -> (Self, Outbound) {
        let routes = RouteTable::parse(&["POST /v1/charges", "POST /v1/messages"]).unwrap();
        let masker = Masker::new(key(), Ruleset::parse(MASKING_RULES).unwrap(), routes);
        let recording = Self { masker: std::sync::Arc::new(masker), asked: std::sync::Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outbound = Outbound::through(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let kept = recording.clone();
        let take = move |request: axum::extract::Request| {
            let kept = kept.clone();
            async move { kept.keep(request).await }
        };
        tokio::spawn(axum::serve(listener, axum::Router::new().fallback(take)).into_future());
        (recording, outbound)
    }

    async fn keep(&self, request: axum::extract::Request) {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let trace = parts.headers["traceparent"].to_str().unwrap().to_owned();
        let host = parts.uri.host().unwrap().to_owned();
        let request = self.masker.request(RawRequest {
            method: parts.method.to_string(),
            scheme: "http".to_owned(),
            authority: host.clone(),
            path: parts.uri.path().to_owned(),
            query: None,
            headers: parts.headers,
            body: RawBody::Whole(body),
        });
        let body = String::from_utf8(request.body.content.unwrap().to_vec()).unwrap();
        let call = format!("{} {host}{} {body}", request.method, request.path);
        self.asked.lock().unwrap().entry(trace).or_default().push(call);
    }

    fn of(&self, trace: &str) -> Vec<String> {
        self.asked.lock().unwrap().get(trace).cloned().unwrap_or_default()
    }
}

/// What a build asks of the partners for the checkouts of the plan, each as a client would send it or as a replayer would.
async fn asked(build: Build, is_replayed: bool) -> Vec<(Planned, Vec<String>, Response)> {
    let (recording, outbound) = Recording::open().await;
    let (origin, _open) = open(Shop::new(build).calling(outbound)).await;
    let (masker, http) = (masker(), Client::builder(TokioExecutor::new()).build_http());
    let mut done = Vec::new();
    for plan in (0..2_000).map(|index| planned(Load::SEED, index)).filter(|plan| plan.path == "/checkouts") {
        let body = match is_replayed {
            true => mask_request(&masker, &plan).body.content.unwrap(),
            false => Bytes::from(plan.body.clone().unwrap()),
        };
        let request = http::Request::post(format!("{origin}/checkouts"))
            .header("content-type", "application/json")
            .header("traceparent", &plan.traceparent)
            .body(Full::new(body))
            .unwrap();
        let http: &Http = &http;
        let (parts, body) = http.request(request).await.unwrap().into_parts();
        let body = RawBody::Whole(body.collect().await.unwrap().to_bytes());
        let raw = RawResponse { status: parts.status.as_u16(), headers: parts.headers, body };
        let calls = recording.of(&plan.traceparent);
        done.push((plan, calls, masker.response("POST", "/checkouts", raw)));
    }
    done
}

#[tokio::test]
async fn a_checkout_asks_for_what_was_seeded_and_answers_the_same() {
    let (primary, candidate) = (asked(Build::Primary, false).await, asked(Build::Candidate, true).await);
    let rules = Rules::parse(COMPARISON_RULES).unwrap();
    let (mut twice, mut rounded, mut equal) = (0, 0, 0);
    for ((plan, by_primary, told), (_, by_candidate, answer)) in primary.iter().zip(&candidate) {
        let body = plan.body.as_deref().unwrap();
        let (is_gift, in_dollars) = (body.contains(r#""gift":true"#), body.contains("USD"));
        assert_eq!(told.status, 201, "{told:?}");
        let compared = compare("POST /checkouts", told, answer, &rules, Timestamp::now());
        assert_eq!(compared.result, CompareResult::Matched, "{:?}", compared.differences);
        let [charge, mail] = &by_primary[..] else { panic!("a charge and a mail, not {by_primary:?}") };
        assert!(charge.starts_with("POST pay.example/v1/charges amount="), "{charge}");
        assert!(mail.starts_with("POST mail.example/v1/messages {"), "{mail}");
        let (mail_again, charges) = by_candidate.split_last().unwrap();
        assert_eq!(mail_again, mail);
        assert_eq!(charges.len(), if is_gift { 2 } else { 1 }, "{charges:?}");
        let differs = charges.iter().any(|again| again != charge);
        assert!(in_dollars || !differs, "{charge} {charges:?}");
        (twice, rounded, equal) =
            (twice + u32::from(is_gift), rounded + u32::from(differs), equal + u32::from(!is_gift && !differs));
        assert!(!body.contains("customer") || !mail.contains("customer"), "{mail}");
    }
    assert!(twice >= 10 && rounded >= 10 && equal >= 10, "{twice} {rounded} {equal}");
    let live = asked(Build::Primary, true).await;
    let calls =
        |all: &[(Planned, Vec<String>, Response)]| all.iter().map(|(_, calls, _)| calls.clone()).collect::<Vec<_>>();
    assert_eq!(calls(&primary), calls(&live), "a copy of the live build asks the same");
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
    let candidate = between(COMPARISON_RULES, [primary.clone(), Shop::new(Build::Candidate).volatile("pod-b")]).await;
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
        let raw = ask(&http, &origin, Method::GET, &path, Bytes::new()).await;
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
