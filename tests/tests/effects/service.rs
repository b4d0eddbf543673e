//! The service under test: one route, whose answer is the same whatever it asked of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::plan::{Call, Order, Plan, TELLING};

/// What tells the request of a call; services differ in which of it they pass on.
const TOLD_BY: [&[&str]; TELLING as usize] = [
    &["traceparent", "baggage", "shadowline-replay", "x-request-id"],
    &["traceparent"],
    &["baggage", "x-request-id"],
    &["shadowline-replay", "x-request-id"],
];

/// One version, listening on loopback until the test ends.
pub(crate) struct Version {
    pub(crate) url: String,
    requests: Arc<AtomicU64>,
}

struct Serving {
    plans: Vec<Plan>,
    http: reqwest::Client,
    partners: String,
    /// How long it works before it calls anybody.
    work: Duration,
    requests: Arc<AtomicU64>,
}

#[derive(Deserialize)]
struct Asked {
    amount: u32,
    email: String,
}

impl Version {
    /// Serves what `plans` says of each order, without a plan for it as the live version; calls leave through the proxy `way_out`.
    pub(crate) async fn start(plans: Vec<Plan>, way_out: &str, partners: &str, work: Duration) -> Self {
        let proxy = reqwest::Proxy::http(way_out).unwrap();
        let http = reqwest::Client::builder().proxy(proxy).build().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let serving = Serving { plans, http, partners: partners.to_owned(), work, requests: requests.clone() };
        let app = Router::new().route("/orders/{number}", post(order)).with_state(Arc::new(serving));
        Self { url: listen(app).await, requests }
    }

    /// Requests that reached it so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// The partners: they take everything. Gives their address.
pub(crate) async fn partners() -> String {
    let taken = Router::new().fallback(async |request: Request| {
        // What the egress must not let through.
        assert!(!request.headers().contains_key("shadowline-replay"), "the shadow reached a partner");
        Json(json!({ "taken": true }))
    });
    listen(taken).await.trim_start_matches("http://").to_owned()
}

async fn listen(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn order(
    State(serving): State<Arc<Serving>>,
    Path(number): Path<u32>,
    headers: HeaderMap,
    Json(asked): Json<Asked>,
) -> Response {
    serving.requests.fetch_add(1, Ordering::SeqCst);
    let Asked { amount, email } = asked;
    let order = Order { number, amount, email };
    // Whoever asked may be killed meanwhile: what was begun is done all the same, or sending again would do nothing twice.
    let done = tokio::spawn(async move { serving.fulfil(&order, &passed_on(&headers, number)).await });
    match done.await {
        Ok(true) => Json(json!({ "order": number, "paid": true })).into_response(),
        _ => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn passed_on(headers: &HeaderMap, number: u32) -> HeaderMap {
    let names = TOLD_BY[number as usize % TOLD_BY.len()].iter().map(|name| HeaderName::from_static(name));
    names.filter_map(|name| Some((name.clone(), headers.get(&name)?.clone()))).collect()
}

/// Whether a call for this order does not say which send it is of.
pub(crate) fn is_told_by_trace_only(number: u32) -> bool {
    TOLD_BY[number as usize % TOLD_BY.len()] == ["traceparent"]
}

impl Serving {
    /// Works, then makes every call of an order; whether all were answered well.
    async fn fulfil(&self, order: &Order, headers: &HeaderMap) -> bool {
        tokio::time::sleep(self.work).await;
        let plan = self.plans.get(order.number as usize).cloned().unwrap_or_default();
        for call in plan.calls(order) {
            if !self.make(call, headers.clone()).await {
                return false;
            }
        }
        true
    }

    async fn make(&self, call: Call, mut headers: HeaderMap) -> bool {
        let Call { method, path, content_type, idempotency_key, body } = call;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(key) = idempotency_key {
            headers.insert("idempotency-key", HeaderValue::from_str(&key).unwrap());
        }
        let method = method.parse().unwrap();
        let request = self.http.request(method, format!("http://{}{path}", self.partners)).headers(headers).body(body);
        match request.send().await {
            Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
            Err(_) => false,
        }
    }
}
