//! The shop's clients: a deterministic mix over all routes, sent open-loop.
//!
//! Each request has its intended time from the start; a slow answer delays no other one until `max_in_flight` of them wait.
//! Guarantee: equal seeds plan equal requests, whatever the machine.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{Planned, planned};

/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where no load can be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a target for load; write http://HOST:PORT")]
pub struct InvalidTarget(String);

/// What is to be sent where, and how fast.
#[derive(Clone, Debug)]
pub struct Load {
    target: Uri,
    /// How many requests.
    pub requests: u64,
    /// How many a second.
    pub rate: NonZeroU32,
    /// What the mix depends on.
    pub seed: u64,
    /// Most requests, and so connections, at one time.
    pub max_in_flight: usize,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests with an answer or a failure.
    pub finished: u64,
    /// Requests in all.
    pub requests: u64,
}

/// What became of the load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Requests sent.
    pub sent: u64,
    /// Requests with a whole answer, whatever its status.
    pub succeeded: u64,
    /// Requests without one.
    pub failed: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// The first failure, for the message to the user.
    pub first_failure: Option<String>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// How far behind its intended time the latest request was sent.
    pub max_lag: Duration,
}

impl Load {
    /// The seed of the demo: in 2,000 requests every seeded regression is met several times.
    pub const SEED: u64 = 1;

    /// 2,000 requests to `target` (`http://HOST:PORT`), 500 a second.
    ///
    /// # Errors
    /// [`InvalidTarget`] when the target is no plain HTTP origin.
    pub fn new(target: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget(target.to_owned());
        let target: Uri = target.parse().map_err(|_| invalid())?;
        if target.scheme_str() != Some("http") || target.authority().is_none() || target.path() != "/" {
            return Err(invalid());
        }
        const RATE: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
        Ok(Self { target, requests: 2_000, rate: RATE, seed: Self::SEED, max_in_flight: 64 })
    }

    /// Sends everything, or until `stop`; `progress` is called after each request.
    pub async fn run(&self, stop: CancellationToken, mut progress: impl FnMut(Progress)) -> LoadReport {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(self.max_in_flight).build_http();
        let slots = Arc::new(Semaphore::new(self.max_in_flight.max(1)));
        let (mut report, mut flights) = (LoadReport::default(), JoinSet::new());
        let start = Instant::now();
        let mut next = 0;
        while next < self.requests || !flights.is_empty() {
            let intended = start + Duration::from_secs(1).mul_f64(next as f64 / f64::from(self.rate.get()));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(landed) = flights.join_next() => {
                    report.add(landed.unwrap_or_else(|panic| Err(panic.to_string())));
                    progress(Progress { finished: report.succeeded + report.failed, requests: self.requests });
                }
                slot = due(&slots, intended), if next < self.requests => {
                    report.max_lag = report.max_lag.max(intended.elapsed());
                    report.sent += 1;
                    flights.spawn(send(client.clone(), planned(self.seed, next).request(&self.target), slot));
                    next += 1;
                }
            }
        }
        report.elapsed = start.elapsed();
        report
    }
}

impl LoadReport {
    fn add(&mut self, landed: Result<u16, String>) {
        match landed {
            Ok(status) => {
                self.succeeded += 1;
                *self.statuses.entry(status).or_default() += 1;
            }
            Err(failure) => {
                self.failed += 1;
                self.first_failure.get_or_insert(failure);
            }
        }
    }
}

async fn due(slots: &Arc<Semaphore>, intended: Instant) -> tokio::sync::OwnedSemaphorePermit {
    tokio::time::sleep_until(intended).await;
    slots.clone().acquire_owned().await.expect("the semaphore is never closed")
}

async fn send(
    client: Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
    slot: tokio::sync::OwnedSemaphorePermit,
) -> Result<u16, String> {
    let exchange = async {
        let response = client.request(request).await.map_err(|error| chain(&error))?;
        let status = response.status().as_u16();
        response.into_body().collect().await.map_err(|error| chain(&error))?;
        Ok(status)
    };
    let landed = tokio::time::timeout(TIMEOUT, exchange).await;
    drop(slot);
    landed.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
}

/// The error with its causes: hyper's own text is only `client error`.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Planned {
    fn request(&self, target: &Uri) -> Request<Full<Bytes>> {
        let authority = target.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("http://{authority}{}", self.path))
            .header(header::USER_AGENT, "shadow-shop-load")
            .header(header::ACCEPT, "application/json")
            .header("traceparent", &self.traceparent)
            .header(header::COOKIE, format!("session={}", self.session))
            .header(header::AUTHORIZATION, format!("Bearer shop-{}", self.session));
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = self.body.clone().unwrap_or_default();
        request.body(Full::new(Bytes::from(body))).expect("planned paths, sessions and traces are plain ASCII")
    }
}
