//! Exchanges as an agent captures them: asked of a real service, masked, and appended under the key of their session.

use axum::http::HeaderMap;
use bytes::Bytes;
use shadow_kafka::{Delivery, Outgoing};
use shadow_mask::{MaskKey, Masker, RawBody, RawRequest, RawResponse, Ruleset};
use shadow_record::{Response, RouteTable, encode, topics};
use url::Url;

use crate::bench::Bench;

/// The replayers of the bench have the same key.
pub(crate) fn masker(rules: &str, routes: &[&str]) -> Masker {
    let key = MaskKey::parse(&"k".repeat(32)).unwrap();
    Masker::new(key, Ruleset::parse(rules).unwrap(), RouteTable::parse(routes).unwrap())
}

/// An agent in front of a primary.
pub(crate) struct Agent<'b> {
    bench: &'b mut Bench,
    pub(crate) masker: Masker,
    client: reqwest::Client,
}

/// What a client sends.
pub(crate) struct Asked<'a> {
    pub(crate) session: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, String)],
    pub(crate) body: String,
}

/// What the primary answered, for the client.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl<'b> Agent<'b> {
    pub(crate) fn new(bench: &'b mut Bench, masker: Masker) -> Self {
        // As the replayer does; whoever came first did the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { bench, masker, client: reqwest::Client::new() }
    }

    /// Relays the request to `primary` and captures the exchange; gives what the client gets.
    pub(crate) async fn relay(&mut self, primary: &Url, asked: Asked<'_>) -> Answered {
        let headers: HeaderMap =
            asked.headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let method = asked.method.parse().unwrap();
        let request = self.client.request(method, primary.join(asked.path).unwrap());
        let response = request.headers(headers.clone()).body(asked.body.clone()).send().await.unwrap();
        let (status, answered) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        let raw = RawResponse { status, headers: answered.clone(), body: RawBody::Whole(body.clone()) };
        let masked = self.masker.response(asked.method, asked.path, raw);
        self.capture(&asked, headers, Some(masked)).await;
        Answered { status, headers: answered, body }
    }

    /// Captures an exchange with this answer.
    pub(crate) async fn capture(&mut self, asked: &Asked<'_>, headers: HeaderMap, response: Option<Response>) {
        let Asked { session, method, path, body, .. } = asked;
        let mut exchange = self.bench.exchange(method, path);
        exchange.route = self.masker.route(method, path);
        exchange.request = self.masker.request(RawRequest {
            method: (*method).to_owned(),
            scheme: "http".to_owned(),
            authority: "shop.example".to_owned(),
            path: (*path).to_owned(),
            query: None,
            headers,
            body: RawBody::Whole(Bytes::from(body.clone())),
        });
        exchange.response = response;
        let key = self.masker.record_key(session.as_bytes());
        let (topic, payload) = (topics::captured(&self.bench.service), encode(&exchange));
        let record = Outgoing { topic: &topic, partition: Some(0), key: Some(&key), payload: &payload };
        let Delivery::Acknowledged { offset, .. } = self.bench.producer.publish(record).await else {
            panic!("not written")
        };
        self.bench.ends.insert(0, offset + 1);
    }
}
