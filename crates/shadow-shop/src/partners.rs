//! Whom the shop calls: a payment provider and a mail service, as far as a checkout needs them. They stand for the real ones, so only the
//! live build may reach them.
//!
//! They serve as the end of an outbound proxy's way as well as behind it: both forms of a request's address mean the same here.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::stock;

/// What the partners were asked, for whoever wants to know whether anything real happened.
#[derive(Clone, Debug, Default)]
pub struct Partners {
    charges: Arc<AtomicU64>,
    mails: Arc<AtomicU64>,
    replayed: Arc<AtomicU64>,
}

impl Partners {
    /// Charges so far.
    pub fn charges(&self) -> u64 {
        self.charges.load(Ordering::Relaxed)
    }

    /// Mails so far.
    pub fn mails(&self) -> u64 {
        self.mails.load(Ordering::Relaxed)
    }

    /// Charges and mails among them that carried the mark of a replayed request: each is one too many.
    pub fn replayed(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// The number of what is asked now.
    fn asked(&self, of: &AtomicU64, headers: &HeaderMap) -> u64 {
        self.replayed.fetch_add(u64::from(headers.contains_key("shadowline-replay")), Ordering::Relaxed);
        of.fetch_add(1, Ordering::Relaxed)
    }

    /// Serves both on `listener` until `shutdown`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        let router =
            Router::new().route("/v1/charges", post(charge)).route("/v1/messages", post(mail)).with_state(self);
        axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).into_future().await
    }
}

#[derive(Deserialize)]
struct Charge {
    amount: u64,
    currency: String,
}

async fn charge(State(partners): State<Partners>, headers: HeaderMap, Form(charge): Form<Charge>) -> Json<Value> {
    let number = partners.asked(&partners.charges, &headers);
    let Charge { amount, currency } = charge;
    Json(json!({
        "id": made_up("ch", number), "object": "charge", "amount": amount, "currency": currency, "paid": true, "status": "succeeded"
    }))
}

async fn mail(State(partners): State<Partners>, headers: HeaderMap, Json(_): Json<Value>) -> (StatusCode, Json<Value>) {
    let number = partners.asked(&partners.mails, &headers);
    (StatusCode::ACCEPTED, Json(json!({ "id": made_up("msg", number), "state": "queued" })))
}

/// An ID as partners give them.
fn made_up(kind: &str, number: u64) -> String {
    format!("{kind}_{:016x}", stock::mix(number))
}
