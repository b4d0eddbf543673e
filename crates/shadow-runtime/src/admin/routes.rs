//! What the admin endpoint answers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::watch;

use super::{Pausable, access};
use crate::Secret;
use crate::metrics::exposition;

/// What is shown and acted on.
#[derive(Default)]
pub(super) struct Served {
    pub(super) registry: Registry,
    pub(super) ready: Option<watch::Receiver<bool>>,
    pub(super) config: serde_json::Value,
    pub(super) pausable: Option<Arc<dyn Pausable>>,
    pub(super) more: Router,
}

pub(super) fn router(mut served: Served, token: Option<Secret>) -> Router {
    let guard = middleware::from_fn_with_state(token.map(Arc::new), access::guard);
    let more = std::mem::take(&mut served.more);
    let served = Arc::new(served);
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .with_state(served.clone())
        .merge(more)
        .route_layer(guard);
    let probes = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(served);
    probes.merge(guarded)
}

async fn ready(State(served): State<Arc<Served>>) -> (StatusCode, &'static str) {
    match &served.ready {
        Some(ready) if !*ready.borrow() => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => (StatusCode::OK, "ready\n"),
    }
}

async fn metrics(State(served): State<Arc<Served>>) -> Response {
    exposition(&served.registry)
}

async fn config(State(served): State<Arc<Served>>) -> Json<serde_json::Value> {
    Json(served.config.clone())
}

async fn pause(State(served): State<Arc<Served>>) -> Response {
    act(&served, "pause", |pausable| pausable.pause())
}

async fn resume(State(served): State<Arc<Served>>) -> Response {
    act(&served, "resume", |pausable| pausable.resume())
}

fn act(served: &Served, what: &str, action: impl FnOnce(&dyn Pausable)) -> Response {
    let Some(pausable) = served.pausable.as_deref() else {
        return (StatusCode::NOT_FOUND, "nothing here can be paused\n").into_response();
    };
    action(pausable);
    let paused = pausable.paused();
    tracing::info!(action = what, paused, "admin endpoint was called");
    Json(json!({ "paused": paused })).into_response()
}
