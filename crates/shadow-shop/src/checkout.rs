//! The checkout: charges a card and mails a receipt, the one route of the shop that does something elsewhere.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::asked::Asked;
use crate::outbound::{Charge, Outbound, Refused};
use crate::stock;

/// What a client orders. The ID is the client's own, so that a checkout sent twice is one checkout.
#[derive(Deserialize)]
pub(crate) struct Checkout {
    id: String,
    cart: u32,
    currency: String,
    card: String,
    email: String,
    #[serde(default)]
    gift: bool,
}

/// Answers with what the shop decided, never with what a partner made up: those IDs are others each time.
pub(crate) async fn check_out(asked: Asked, headers: HeaderMap, Json(checkout): Json<Checkout>) -> Response {
    let Some(lines) = stock::cart(checkout.cart) else {
        return asked.failed(StatusCode::UNPROCESSABLE_ENTITY, "no such cart");
    };
    let total = stock::total(&lines);
    let Some(amount) = asked.shop.build.charged(&checkout.currency, total) else {
        return asked.failed(StatusCode::UNPROCESSABLE_ENTITY, "no such currency");
    };
    if let Some(outbound) = asked.shop.outbound.clone() {
        match settle(&asked, &outbound, &headers, &checkout, amount, total).await {
            Ok(()) => {}
            Err(Refused::Declined) => return asked.failed(StatusCode::PAYMENT_REQUIRED, "declined"),
            Err(Refused::Unreachable) => return asked.failed(StatusCode::BAD_GATEWAY, "a partner does not answer"),
        }
    }
    let Checkout { id, cart, email, .. } = checkout;
    asked.answer(
        StatusCode::CREATED,
        json!({ "id": id, "cart": cart, "state": "paid", "total": total, "currency": "EUR", "receipt": email }),
    )
}

/// Charges, then mails.
async fn settle(
    asked: &Asked,
    outbound: &Outbound,
    headers: &HeaderMap,
    checkout: &Checkout,
    amount: u64,
    total: u32,
) -> Result<(), Refused> {
    let Checkout { id, currency, card, email, gift, .. } = checkout;
    for number in 0..asked.shop.build.charges(*gift) {
        // A key for each charge: the provider takes none of them for another one's repetition.
        let charge = Charge { key: format!("{id}-{number}"), checkout: id, amount, currency, card };
        outbound.charge(headers, &charge).await?;
    }
    outbound.mail(headers, email, "receipt", json!({ "checkout": id, "total": total })).await
}
