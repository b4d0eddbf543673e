//! A client connection's way to the primary.
//!
//! Guarantee: a request is sent at most once, except where RFC 9110 section 9.2.2 lets a proxy repeat it: the connection to an
//! HTTP/1 primary broke before any answer, the method is safe and there is no body. A primary that closes an idle connection at
//! the wrong moment then costs nobody a request. An HTTP/2 primary says what it will not serve; what was not sent goes to a
//! new connection, whatever it is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, request};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection as Pooled};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use shadow_capture::tee::Tee;
use shadow_capture::{RequestSide, fault};
use shadow_record::CaptureError;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::Protocol;
use crate::edge::Ends;
use crate::edge::config::PrimarySection;
use crate::edge::dial::{Dial, DialError};
use crate::edge::stream::Stream;
use crate::edge::tls::Alpn;
use crate::proxy::class_of;
use crate::proxy::http2::WINDOWS;

/// Of the head of a response and of its trailers. The agent keeps the primary's limits, not its own.
const RESPONSE_HEAD: u32 = 1 << 20;

/// A request's body on its way to the primary; nothing when it is sent once more. It gives no size: the library would add a
/// `content-length` that the client did not send.
pub(super) struct Body(Option<Tee<Incoming, RequestSide>>);

impl Body {
    /// The client's.
    pub(super) fn of(body: Tee<Incoming, RequestSide>) -> Self {
        Self(Some(body))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }
}

/// The way to the primary.
pub(super) struct Upstream {
    way: Way,
    answer: Option<Duration>,
}

enum Way {
    Http1(Box<Client<Connector, Body>>),
    Http2(Shared),
}

/// The primary gave no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure(pub CaptureError);

impl Failure {
    /// What the client is told.
    pub(super) fn status(self) -> StatusCode {
        match self.0 {
            CaptureError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

impl Upstream {
    /// Connects when first used.
    pub(super) fn new(config: &PrimarySection, dial: Dial, ends: Ends) -> Self {
        let connector = Connector { dial, ends };
        let way = match config.protocol {
            Protocol::Http1 => Way::Http1(Box::new(
                Client::builder(TokioExecutor::new())
                    .pool_timer(TokioTimer::new())
                    .pool_idle_timeout(config.idle.get())
                    .set_host(false)
                    .build(connector),
            )),
            Protocol::Http2 => Way::Http2(Shared { connector, connection: Arc::default() }),
        };
        Self { way, answer: config.answer.map(|answer| answer.get()) }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        let Some(patience) = self.answer else { return self.send_unhurried(request).await };
        match timeout(patience, self.send_unhurried(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure(CaptureError::Timeout)),
        }
    }

    async fn send_unhurried(&self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        match &self.way {
            Way::Http1(client) => send_repeatable(client, request).await,
            Way::Http2(shared) => shared.send(request).await,
        }
    }
}

async fn send_repeatable(
    client: &Client<Connector, Body>,
    request: Request<Body>,
) -> Result<Response<Incoming>, Failure> {
    let send = async |request| {
        client.request(request).await.map_err(|error| {
            tracing::debug!(error = %chain(&error), "the primary gave no response");
            Failure(fault::classify(&error))
        })
    };
    let spare = spare_of(&request);
    match (send(request).await, spare) {
        (Err(Failure(CaptureError::Reset)), Some(parts)) => send(Request::from_parts(parts, Body(None))).await,
        (outcome, _) => outcome,
    }
}

/// The head to send again if the connection turns out stale. `None` when the request must not be repeated.
fn spare_of(request: &Request<Body>) -> Option<request::Parts> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if !safe || !request.body().is_end_stream() {
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

/// Opens connections on behalf of one client.
#[derive(Clone)]
struct Connector {
    dial: Dial,
    ends: Ends,
}

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, DialError>> + Send>>;

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = DialError;
    type Future = Connecting<TokioIo<Stream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { dial, ends } = self.clone();
        Box::pin(async move { dial.connect(ends).await.map(TokioIo::new) })
    }
}

impl Pooled for Stream {
    fn connected(&self) -> Connected {
        // Of the primary's only what was offered can have been agreed on.
        if self.alpn() == Some(Alpn::Http2) { Connected::new().negotiated_h2() } else { Connected::new() }
    }
}

/// One HTTP/2 connection that all requests of a client connection share.
struct Shared {
    connector: Connector,
    connection: Arc<Mutex<Connection>>,
}

#[derive(Default)]
struct Connection {
    sender: Option<http2::SendRequest<Body>>,
    failed: Option<(Instant, Failure)>,
}

impl Shared {
    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        match self.sender().await?.try_send_request(request).await {
            Ok(response) => Ok(response),
            Err(mut refused) => match refused.take_message() {
                // The primary said goodbye before this was sent; by now the connection counts as closed.
                Some(unsent) => self.sender().await?.send_request(unsent).await.map_err(|error| failure(&error)),
                None => Err(failure(refused.error())),
            },
        }
    }

    async fn sender(&self) -> Result<http2::SendRequest<Body>, Failure> {
        let asked = Instant::now();
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        // Those who waited while an attempt failed share its outcome, or they would wait in line for one time-out each.
        if let Some((_, failure)) = connection.failed.filter(|(at, _)| *at >= asked) {
            return Err(failure);
        }
        match self.handshake().await {
            Ok(sender) => Ok(connection.sender.insert(sender).clone()),
            Err(failure) => {
                connection.failed = Some((Instant::now(), failure));
                Err(failure)
            }
        }
    }

    async fn handshake(&self) -> Result<http2::SendRequest<Body>, Failure> {
        let Connector { dial, ends } = &self.connector;
        let stream = dial.connect(*ends).await.map_err(|error| {
            tracing::debug!(%error, "no connection to the primary");
            Failure(class_of(&error))
        })?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_header_list_size(RESPONSE_HEAD)
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

fn failure(error: &hyper::Error) -> Failure {
    tracing::debug!(error = %chain(error), "the primary gave no response");
    Failure(fault::classify(error))
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
