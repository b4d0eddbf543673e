//! Connections to the primary.
//!
//! Guarantee: a request is sent at most once, except where RFC 9110 section 9.2.2 lets a proxy repeat it: the connection broke
//! before any answer, the method is idempotent and there is no body. A primary that closes an idle connection at the wrong
//! moment then costs nobody a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode, request};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use shadow_record::CaptureError;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::RequestBody;
use super::headers::Target;
use crate::config::{PrimarySection, Protocol};
use shadow_capture::fault;
use shadow_capture::tee::Tee;

use super::upload::Upload;

/// The way to the primary.
pub(crate) struct Upstream {
    way: Way,
    answer: Option<Duration>,
}

enum Way {
    Http1(Box<Client<HttpConnector, RequestBody>>),
    Http2(Shared),
}

/// The primary gave no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure(pub CaptureError);

impl Failure {
    /// What the client is told.
    pub(crate) fn status(self) -> StatusCode {
        match self.0 {
            CaptureError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl Upstream {
    /// Connects when first used.
    pub(crate) fn new(config: &PrimarySection, target: &Target) -> Self {
        let connect = config.connect.get();
        let way = match target.protocol {
            Protocol::Http1 => Way::Http1(Box::new(http1_client(config))),
            Protocol::Http2 => {
                Way::Http2(Shared { address: target.authority.to_string(), connect, connection: Arc::default() })
            }
        };
        Self { way, answer: config.answer.map(|answer| answer.get()) }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
        let Some(patience) = self.answer else { return self.send_repeatable(request).await };
        match timeout(patience, self.send_repeatable(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure(CaptureError::Timeout)),
        }
    }

    async fn send_repeatable(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
        let spare = spare_of(&request);
        match (self.send_once(request).await, spare) {
            (Err(Failure(CaptureError::Reset)), Some(parts)) => {
                self.send_once(Request::from_parts(parts, Tee::passing(Upload::Empty))).await
            }
            (outcome, _) => outcome,
        }
    }

    async fn send_once(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
        match &self.way {
            Way::Http1(client) => client.request(request).await.map_err(|error| {
                tracing::debug!(error = %chain(&error), "the primary gave no response");
                Failure(fault::classify(&error))
            }),
            Way::Http2(shared) => shared.send(request).await,
        }
    }
}

fn http1_client(config: &PrimarySection) -> Client<HttpConnector, RequestBody> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(config.connect.get()));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(config.idle.get())
        .http1_preserve_header_case(true)
        .set_host(false)
        .build(connector)
}

/// The head to send again if the connection turns out stale. `None` when the request must not be repeated.
fn spare_of(request: &Request<RequestBody>) -> Option<request::Parts> {
    let idempotent = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if !idempotent || !http_body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut spare = Request::new(());
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.version_mut() = request.version();
    *spare.headers_mut() = request.headers().clone();
    *spare.extensions_mut() = request.extensions().clone();
    Some(spare.into_parts().0)
}

/// One HTTP/2 connection that all requests share.
struct Shared {
    address: String,
    connect: Duration,
    connection: Arc<Mutex<Connection>>,
}

#[derive(Default)]
struct Connection {
    sender: Option<http2::SendRequest<RequestBody>>,
    failed: Option<(Instant, Failure)>,
}

impl Shared {
    async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
        let mut sender = self.sender().await?;
        sender.send_request(request).await.map_err(|error| {
            tracing::debug!(error = %chain(&error), "the primary gave no response");
            Failure(fault::classify(&error))
        })
    }

    async fn sender(&self) -> Result<http2::SendRequest<RequestBody>, Failure> {
        let asked = Instant::now();
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        // Those who waited while an attempt failed share its outcome, or they would wait in line for one time-out each.
        if let Some((_, failure)) = connection.failed.filter(|(at, _)| *at >= asked) {
            return Err(failure);
        }
        let outcome = timeout(self.connect, self.handshake()).await.unwrap_or(Err(Failure(CaptureError::Timeout)));
        match outcome {
            Ok(sender) => Ok(connection.sender.insert(sender).clone()),
            Err(failure) => {
                connection.failed = Some((Instant::now(), failure));
                Err(failure)
            }
        }
    }

    async fn handshake(&self) -> Result<http2::SendRequest<RequestBody>, Failure> {
        let unreachable = |_| Failure(CaptureError::Connect);
        let stream = TcpStream::connect(&self.address).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure(fault::classify(&error)))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %chain(&error), "the connection to the primary ended");
            }
        });
        Ok(sender)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
