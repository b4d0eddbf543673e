//! The routes of the shop, served by either build.

use std::future::IntoFuture as _;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, json};
use shadow_runtime::metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::asked::Asked;
use crate::checkout::check_out;
use crate::{Build, Outbound, stock};

/// The routes, as launches and masking declare them. `GET /metrics` is none: its clients are not the shop's.
pub const ROUTES: &[&str] = &[
    "GET /products",
    "GET /products/{id}",
    "GET /search",
    "GET /carts/{id}",
    "POST /carts/{id}/items",
    "POST /checkouts",
    "GET /orders/{id}",
    "GET /users/{id}",
    "GET /reports/sales",
    "GET /health",
];

/// One build of the shop.
#[derive(Clone, Debug)]
pub struct Shop {
    pub(crate) build: Build,
    pub(crate) pod: Option<&'static str>,
    pub(crate) outbound: Option<Outbound>,
}

impl Shop {
    /// The shop as `build` serves it.
    pub const fn new(build: Build) -> Self {
        Self { build, pod: None, outbound: None }
    }

    /// The same with volatile members in its answers (`served_by`, which is `pod`, `request_token`, `took_ms`, and `from_cache` in
    /// some carts), as most services have them. Shops with the same pod have the same carts cached.
    pub fn volatile(self, pod: &'static str) -> Self {
        Self { pod: Some(pod), ..self }
    }

    /// The same with a way to its partners. Without one a checkout takes every card and calls nobody.
    pub fn calling(self, outbound: Outbound) -> Self {
        Self { outbound: Some(outbound), ..self }
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
            .route("/checkouts", post(check_out))
            .route("/orders/{id}", get(order))
            .route("/users/{id}", get(user))
            .route("/reports/sales", get(report))
            .route("/health", get(async || Json(json!({ "status": "ok" }))))
            .route("/metrics", get(async || metrics::exposition(&metrics::of_process())))
            .with_state(self)
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "first_page")]
    page: u32,
}

const fn first_page() -> u32 {
    1
}

async fn products(asked: Asked, Query(Page { page }): Query<Page>) -> Response {
    let (products, pages) = (asked.shop.build.arrange(stock::page(page)), stock::PRODUCTS.div_ceil(stock::PAGE));
    asked.answer(StatusCode::OK, json!({ "page": page, "pages": pages, "products": products }))
}

async fn product(asked: Asked, Path(id): Path<u32>) -> Response {
    match stock::product(id) {
        Some(product) => asked.answer(StatusCode::OK, product),
        None => asked.failed(asked.shop.build.unknown_product(), "no such product"),
    }
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(asked: Asked, Query(Search { q }): Query<Search>) -> Response {
    if asked.shop.build.search_fails(&q) {
        return asked.failed(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
    }
    let results = stock::search(&q);
    asked.answer(StatusCode::OK, json!({ "count": results.len(), "results": results }))
}

async fn cart(asked: Asked, Path(id): Path<u32>) -> Response {
    asked.found(stock::cart(id).map(|lines| {
        let total = asked.shop.build.cart_total(id, stock::total(&lines));
        let mut answer = json!({ "id": id, "lines": lines, "total": total, "currency": "EUR" });
        if asked.has_cached(id) {
            answer["from_cache"] = true.into();
        }
        answer
    }))
}

#[derive(Deserialize)]
struct Item {
    product: u32,
    quantity: u32,
}

/// A write as far as anyone can tell from outside; the demo's carts keep nothing.
async fn add_item(asked: Asked, Path(id): Path<u32>, Json(item): Json<Item>) -> Response {
    match stock::cart(id).and(stock::line(item.product, item.quantity)) {
        Some(line) => asked.answer(StatusCode::CREATED, json!({ "cart": id, "line": line })),
        None => asked.failed(StatusCode::UNPROCESSABLE_ENTITY, "no such cart or product"),
    }
}

async fn order(asked: Asked, Path(id): Path<u32>) -> Response {
    asked.found(stock::order(id).map(|order| {
        let mut answer = Map::new();
        answer.insert("id".to_owned(), order.id.into());
        answer.insert("user".to_owned(), order.user.into());
        answer.insert("state".to_owned(), order.state.into());
        answer.insert(asked.shop.build.order_total().to_owned(), stock::total(&order.lines).into());
        answer.insert("lines".to_owned(), json!(order.lines));
        answer
    }))
}

async fn user(asked: Asked, Path(id): Path<u32>) -> Response {
    asked.found(stock::user(id))
}

async fn report(asked: Asked) -> Response {
    // Stands for work: the time passes whatever the load, so the two builds differ by the same on every machine.
    tokio::time::sleep(asked.shop.build.report_takes()).await;
    asked.answer(StatusCode::OK, json!({ "year": 2025, "months": stock::sales() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn its_process_is_shown_under_the_usual_names_and_is_no_route_of_its_clients() {
        // The HTTP client asks for a TLS provider even where it speaks none; whoever came first did the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let shop = tokio::spawn(Shop::new(Build::Candidate).serve(listener, stop.clone()));
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some_and(|value| value >= 0.0), "{name} is not in\n{text}");
        }
        assert!(!text.contains("shadow_"), "{text}");
        assert!(ROUTES.iter().all(|route| !route.contains("metrics")));
        stop.cancel();
        shop.await.unwrap().unwrap();
    }
}
