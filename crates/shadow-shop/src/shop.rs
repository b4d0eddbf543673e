//! The routes of the shop, served by either build.

use std::future::IntoFuture as _;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Build, stock};

/// The routes, as launches and masking declare them.
pub const ROUTES: &[&str] = &[
    "GET /products",
    "GET /products/{id}",
    "GET /search",
    "GET /carts/{id}",
    "POST /carts/{id}/items",
    "GET /orders/{id}",
    "GET /users/{id}",
    "GET /reports/sales",
    "GET /health",
];

/// One build of the shop.
#[derive(Clone, Copy, Debug)]
pub struct Shop {
    build: Build,
}

impl Shop {
    /// The shop as `build` serves it.
    pub const fn new(build: Build) -> Self {
        Self { build }
    }

    /// Serves on `listener` until `shutdown`, then finishes the answers under way.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(shutdown.cancelled_owned()).into_future().await
    }

    fn router(self) -> Router {
        Router::new()
            .route("/products", get(products))
            .route("/products/{id}", get(product))
            .route("/search", get(search))
            .route("/carts/{id}", get(cart))
            .route("/carts/{id}/items", post(add_item))
            .route("/orders/{id}", get(order))
            .route("/users/{id}", get(user))
            .route("/reports/sales", get(report))
            .route("/health", get(async || Json(json!({ "status": "ok" }))))
            .with_state(self.build)
    }
}

/// An answer with the time at which it was made.
fn dated(status: StatusCode, answer: impl Serialize) -> Response {
    match serde_json::to_value(answer) {
        Ok(Value::Object(mut members)) => {
            members.insert("generated_at".to_owned(), jiff::Timestamp::now().to_string().into());
            (status, Json(members)).into_response()
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn found(answer: Option<impl Serialize>) -> Response {
    match answer {
        Some(answer) => dated(StatusCode::OK, answer),
        None => failed(StatusCode::NOT_FOUND, "not found"),
    }
}

fn failed(status: StatusCode, error: &str) -> Response {
    dated(status, json!({ "error": error }))
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "first_page")]
    page: u32,
}

const fn first_page() -> u32 {
    1
}

async fn products(State(build): State<Build>, Query(Page { page }): Query<Page>) -> Response {
    let products = build.arrange(stock::page(page));
    dated(StatusCode::OK, json!({ "page": page, "pages": stock::PRODUCTS.div_ceil(stock::PAGE), "products": products }))
}

async fn product(State(build): State<Build>, Path(id): Path<u32>) -> Response {
    match stock::product(id) {
        Some(product) => dated(StatusCode::OK, product),
        None => failed(build.unknown_product(), "no such product"),
    }
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(State(build): State<Build>, Query(Search { q }): Query<Search>) -> Response {
    if build.search_fails(&q) {
        return failed(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
    }
    let results = stock::search(&q);
    dated(StatusCode::OK, json!({ "count": results.len(), "results": results }))
}

async fn cart(State(build): State<Build>, Path(id): Path<u32>) -> Response {
    found(stock::cart(id).map(|lines| {
        let total = build.cart_total(id, stock::total(&lines));
        json!({ "id": id, "lines": lines, "total": total, "currency": "EUR" })
    }))
}

#[derive(Deserialize)]
struct Item {
    product: u32,
    quantity: u32,
}

/// A write as far as anyone can tell from outside; the demo's carts keep nothing.
async fn add_item(Path(id): Path<u32>, Json(item): Json<Item>) -> Response {
    match stock::cart(id).and(stock::line(item.product, item.quantity)) {
        Some(line) => dated(StatusCode::CREATED, json!({ "cart": id, "line": line })),
        None => failed(StatusCode::UNPROCESSABLE_ENTITY, "no such cart or product"),
    }
}

async fn order(State(build): State<Build>, Path(id): Path<u32>) -> Response {
    found(stock::order(id).map(|order| {
        let mut answer = Map::new();
        answer.insert("id".to_owned(), order.id.into());
        answer.insert("user".to_owned(), order.user.into());
        answer.insert("state".to_owned(), order.state.into());
        answer.insert(build.order_total().to_owned(), stock::total(&order.lines).into());
        answer.insert("lines".to_owned(), json!(order.lines));
        answer
    }))
}

async fn user(Path(id): Path<u32>) -> Response {
    found(stock::user(id))
}

async fn report(State(build): State<Build>) -> Response {
    // Stands for work: the time passes whatever the load, so the two builds differ by the same on every machine.
    tokio::time::sleep(build.report_takes()).await;
    dated(StatusCode::OK, json!({ "year": 2025, "months": stock::sales() }))
}
