//! One request to one target and its answer, every way it can end.
//!
//! Guarantees: redirects are answers, not instructions; an answer costs at most the body limit in memory, however long it is;
//! nothing is sent again by itself; every error has its [`FailureClass`].

use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use shadow_mask::{Digester, RawBody, RawResponse};
use shadow_record::{FailureClass, Timestamp, Withheld};

use crate::target::{ProvingResolver, Refusal};

/// Idle connections are closed before the servers do it (uvicorn and Node at 5 s), or the next request would meet a reset
/// that says nothing about the target.
const IDLE: Duration = Duration::from_secs(4);

/// Bounds of one request.
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the whole answer.
    pub timeout: Duration,
    /// Longest body kept; of longer ones only digest and length are.
    pub max_response_body: usize,
    /// Idle connections kept.
    pub idle_connections: usize,
}

/// How a request ended, and when.
#[derive(Debug)]
pub struct Sent {
    /// When it was handed to the connection.
    pub sent_at: Timestamp,
    /// From then to the answer's head.
    pub first_byte: Option<Duration>,
    /// From then to its last byte, or to the failure.
    pub total: Duration,
    /// The answer, unmasked.
    pub answer: Result<RawResponse, FailureClass>,
}

/// Sends the requests of one launch to one target.
pub struct Sender {
    client: reqwest::Client,
    limits: SendLimits,
}

impl Sender {
    /// A sender that resolves names through `resolver`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn new(limits: SendLimits, resolver: ProvingResolver) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(limits.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(limits.idle_connections)
            .dns_resolver(Arc::new(resolver))
            .build()?;
        Ok(Self { client, limits })
    }

    /// Sends it once and waits for the whole answer. Dropping the future cancels the request.
    pub async fn send(&self, request: reqwest::Request, digester: Digester) -> Sent {
        let (sent_at, start) = (Timestamp::now(), Instant::now());
        let mut first_byte = None;
        let exchange = async {
            let response = self.client.execute(request).await.map_err(|error| classify(&error))?;
            first_byte = Some(start.elapsed());
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = self.body(response, digester).await.map_err(|error| classify(&error))?;
            Ok(RawResponse { status, headers, body })
        };
        let answer = tokio::time::timeout(self.limits.timeout, exchange).await.unwrap_or(Err(FailureClass::Timeout));
        Sent { sent_at, first_byte, total: start.elapsed(), answer }
    }

    /// Keeps the body up to the limit; of a longer one only the digest and length of the whole.
    async fn body(&self, mut response: reqwest::Response, mut digester: Digester) -> reqwest::Result<RawBody> {
        let limit = self.limits.max_response_body;
        let (mut kept, mut length) = (BytesMut::new(), 0u64);
        while let Some(chunk) = response.chunk().await? {
            length += chunk.len() as u64;
            digester.update(&chunk);
            if length <= limit as u64 {
                kept.extend_from_slice(&chunk);
            } else {
                kept = BytesMut::new();
            }
        }
        if length <= limit as u64 {
            return Ok(RawBody::Whole(Bytes::from(kept)));
        }
        Ok(RawBody::Withheld { length, digest: digester.finish(), why: Withheld::Truncated })
    }
}

/// The class of an error, from what lies beneath it.
fn classify(error: &reqwest::Error) -> FailureClass {
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        match cause.downcast_ref::<Refusal>() {
            // Nobody refused it: there is no such host, or not now.
            Some(Refusal::Unresolved { .. }) => return FailureClass::Connect,
            Some(_) => return FailureClass::TargetRefused,
            None => {}
        }
        beneath = cause.source();
    }
    if error.is_connect() {
        return FailureClass::Connect;
    }
    if error.is_timeout() {
        return FailureClass::Timeout;
    }
    let mut beneath = error.source();
    while let Some(cause) = beneath {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                ErrorKind::InvalidData | ErrorKind::InvalidInput => FailureClass::Protocol,
                _ => FailureClass::Reset,
            };
        }
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return FailureClass::Reset;
        }
        beneath = cause.source();
    }
    FailureClass::Protocol
}

#[cfg(test)]
mod tests;
