//! One request under way: which shop answers it, since when, and what the answer carries besides what was asked for.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Shop, stock};

/// Of ten carts, how many a pod has cached.
const CACHED: u32 = 4;

/// The request that a handler answers.
pub(crate) struct Asked {
    pub(crate) shop: Shop,
    at: Instant,
}

impl FromRequestParts<Shop> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, shop: &Shop) -> Result<Self, Infallible> {
        Ok(Self { shop: shop.clone(), at: Instant::now() })
    }
}

impl Asked {
    /// An answer with the time at which it was made, and what is volatile.
    pub(crate) fn answer(&self, status: StatusCode, answer: impl Serialize) -> Response {
        match serde_json::to_value(answer) {
            Ok(Value::Object(mut members)) => {
                members.insert("generated_at".to_owned(), jiff::Timestamp::now().to_string().into());
                self.add_volatile(&mut members);
                (status, Json(members)).into_response()
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    /// What was found, or 404.
    pub(crate) fn found(&self, answer: Option<impl Serialize>) -> Response {
        match answer {
            Some(answer) => self.answer(StatusCode::OK, answer),
            None => self.failed(StatusCode::NOT_FOUND, "not found"),
        }
    }

    /// An error.
    pub(crate) fn failed(&self, status: StatusCode, error: &str) -> Response {
        self.answer(status, json!({ "error": error }))
    }

    /// Whether this pod has the cart in its cache: each pod has others, and says so.
    pub(crate) fn has_cached(&self, cart: u32) -> bool {
        self.shop.pod.is_some_and(|pod| stock::draw(cart, pod, 10) < CACHED)
    }

    /// What differs between any two answers, whichever build gives them: no rule of the demo speaks of it.
    fn add_volatile(&self, members: &mut Map<String, Value>) {
        let Some(pod) = self.shop.pod else { return };
        members.insert("served_by".to_owned(), pod.into());
        members.insert("request_token".to_owned(), format!("{:016x}", RandomState::new().hash_one(pod)).into());
        members.insert("took_ms".to_owned(), (self.at.elapsed().as_secs_f64() * 1000.0).into());
    }
}
