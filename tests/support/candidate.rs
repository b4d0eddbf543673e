//! A candidate that is a pure function of the path, with seeded faults, and remembers when it was last asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::any};
use serde_json::json;
use shadow_record::Timestamp;

/// What one candidate has seen.
#[derive(Default)]
pub struct Seen {
    requests: AtomicU64,
    last_at: AtomicI64,
}

/// A candidate listening on loopback until the test ends.
pub struct Candidate {
    pub url: String,
    seen: Arc<Seen>,
}

impl Candidate {
    /// Starts one. `/orders/{n}` answers 500 for n % 97 == 0, a total that is off by one for n % 50 == 7, and otherwise what
    /// the captured primary answered.
    pub async fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let app = Router::new().route("/orders/{id}", any(order)).with_state(seen.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// When the last one arrived.
    pub fn last_at(&self) -> Timestamp {
        Timestamp(self.seen.last_at.load(Ordering::SeqCst))
    }
}

async fn order(State(seen): State<Arc<Seen>>, Path(id): Path<i64>) -> Response {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    seen.last_at.fetch_max(Timestamp::now().micros(), Ordering::SeqCst);
    if id % 97 == 0 {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"error": "boom"}))).into_response();
    }
    let off = i64::from(id % 50 == 7);
    Json(json!({"id": id, "total": id * 3 + off})).into_response()
}
