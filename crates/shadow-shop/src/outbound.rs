//! What the shop asks of others while it serves a request, through the outbound proxy that it is configured with.
//!
//! It passes on what tells the request that a call is made for: the trace context, and Shadowline's mark when there is one. Guarantee: a call
//! is a pure function of what it is made for, its idempotency key included, so that the same checkout asks the same again.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

/// The payment provider, as the shop names it.
pub const PAYMENTS: &str = "pay.example";
/// The mail service, as the shop names it.
pub const MAIL: &str = "mail.example";

/// Headers of a request that its calls carry on.
const PASSED_ON: [&str; 4] = ["traceparent", "baggage", "shadowline-replay", "x-request-id"];
/// A partner that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The way out, shared by all requests.
#[derive(Clone, Debug)]
pub struct Outbound(reqwest::Client);

/// What cannot be called through.
#[derive(Debug, thiserror::Error)]
#[error("`{proxy}` is no outbound proxy; write http://HOST:PORT")]
pub struct InvalidProxy {
    proxy: String,
    source: reqwest::Error,
}

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No answer, or none that means anything.
    Unreachable,
    /// The partner said no.
    Declined,
}

/// One charge.
#[derive(Clone, Debug)]
pub(crate) struct Charge<'a> {
    /// Names this charge, and no other one, to the provider.
    pub(crate) key: String,
    pub(crate) checkout: &'a str,
    /// In the currency's smallest unit.
    pub(crate) amount: u64,
    pub(crate) currency: &'a str,
    pub(crate) card: &'a str,
}

impl Outbound {
    /// Calls through a forward proxy, `http://HOST:PORT`.
    ///
    /// # Errors
    /// [`InvalidProxy`] when it is none.
    pub fn through(proxy: &str) -> Result<Self, InvalidProxy> {
        // The client asks for a TLS provider though it speaks none here; whoever came first did the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let invalid = |source| InvalidProxy { proxy: proxy.to_owned(), source };
        let proxy = reqwest::Proxy::http(proxy).map_err(invalid)?;
        let client = reqwest::Client::builder().proxy(proxy).timeout(TIMEOUT).build().map_err(invalid)?;
        Ok(Self(client))
    }

    /// Charges a card, as Stripe's API would be asked to.
    pub(crate) async fn charge(&self, asked: &HeaderMap, charge: &Charge<'_>) -> Result<(), Refused> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("amount", &charge.amount.to_string())
            .append_pair("currency", charge.currency)
            .append_pair("source", charge.card)
            .append_pair("metadata[checkout]", charge.checkout)
            .finish();
        let mut headers = passed_on(asked);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Ok(key) = HeaderValue::from_str(&charge.key) {
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        self.post(format!("http://{PAYMENTS}/v1/charges"), headers, form).await
    }

    /// Sends a mail made of a template and its values, never of text: what a text becomes under masking depends on all of its words.
    pub(crate) async fn mail(&self, asked: &HeaderMap, to: &str, template: &str, data: Value) -> Result<(), Refused> {
        let mail = serde_json::json!({ "to": to, "template": template, "data": data }).to_string();
        let mut headers = passed_on(asked);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.post(format!("http://{MAIL}/v1/messages"), headers, mail).await
    }

    async fn post(&self, url: String, headers: HeaderMap, body: String) -> Result<(), Refused> {
        let answer = self.0.post(url).headers(headers).body(body).send().await.map_err(|_| Refused::Unreachable)?;
        let status = answer.status();
        // Read whole, so that the connection serves the next call.
        answer.bytes().await.map_err(|_| Refused::Unreachable)?;
        match status {
            status if status.is_success() => Ok(()),
            reqwest::StatusCode::PAYMENT_REQUIRED => Err(Refused::Declined),
            _ => Err(Refused::Unreachable),
        }
    }
}

fn passed_on(asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in PASSED_ON.map(HeaderName::from_static) {
        for value in asked.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_the_request_is_passed_on_and_nothing_else() {
        let mut asked = HeaderMap::new();
        for name in
            ["traceparent", "baggage", "baggage", "shadowline-replay", "x-request-id", "cookie", "authorization"]
        {
            asked.append(name, HeaderValue::from_static("x"));
        }
        let passed = passed_on(&asked);
        assert_eq!(passed.len(), 5, "{passed:?}");
        assert!(!passed.contains_key("cookie") && !passed.contains_key("authorization"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_the_form_of_one() {
        let error = Outbound::through("http://").unwrap_err().to_string();
        assert!(error.contains("http://HOST:PORT"), "{error}");
    }
}
