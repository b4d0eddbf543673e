//! HTTP/2, forwarded stream by stream: messages are the HTTP library's, bodies pass frame by frame.
//!
//! Each client connection has its own way to the primary (`upstream`): one HTTP/2 connection, or as many HTTP/1 connections as
//! it has requests at once. What the library and the change of protocol alter is listed in `docs/proxy.md`.

mod headers;
mod streams;
mod upstream;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body as _;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use shadow_capture::tee::Tee;
use shadow_capture::{Observation, Observer, RequestSide, ResponseSide};
use tokio_util::sync::CancellationToken;

use crate::config::Protocol;
use crate::edge::Ends;
use crate::edge::config::PrimarySection;
use crate::edge::dial::Dial;
use crate::edge::stream::Stream;
use crate::proxy::rewind::Rewind;
use headers::{Content, Target, towards_client, towards_primary};
pub(crate) use headers::{join_cookies, remove_hop_by_hop};
use streams::{Counted, InProgress, Streams};
use upstream::{Failure, Upstream};

/// Bytes that may be on their way and unread, of a stream and of all streams of a connection. It takes 64 streams that nobody
/// reads to hold up the others. The library counts what unread frames lack to 256 bytes against half of the latter, and ends the
/// connection of whoever has too many: with its default that is a burst of a hundred small gRPC messages, with this one of more
/// than 130,000.
const WINDOWS: (u32, u32) = (1 << 20, 64 << 20);

/// The primary's answer passing through, or one of the agent's own.
type Passing = Either<Tee<Incoming, ResponseSide>, Full<Bytes>>;

/// It, with the stream that ends when it does.
type Answer = Counted<Passing>;

/// What all connections share.
pub(crate) struct Shared {
    /// Who looks on.
    pub observer: Arc<Observer>,
    /// The way to the primary.
    pub dial: Dial,
    /// The primary as configured.
    pub primary: PrimarySection,
    /// Its `host:port`.
    pub authority: http::uri::Authority,
    /// Longest time without a request, and for a client to show that it lives.
    pub idle: Duration,
    /// Cancelled when the agent drains.
    pub drain: CancellationToken,
}

/// Serves one connection of which the first bytes have been read, until it ends or has drained.
pub(crate) async fn serve(shared: Arc<Shared>, client: Stream, ends: Ends, read: BytesMut) {
    let stop = shared.drain.clone();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_concurrent_streams(streams_at_once(shared.primary.protocol))
        // Clients that are gone without a word are found out.
        .keep_alive_interval(shared.idle)
        .max_header_list_size(64 << 10);
    let (encrypted, idle) = (client.is_tls(), shared.idle);
    let connection = Arc::new(Connection::new(shared, ends, encrypted));
    let streams = connection.streams.clone();
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move { Ok::<_, Infallible>(connection.forward(request).await) }
    });
    let serving = builder.serve_connection(TokioIo::new(Rewind::new(read, client)), service);
    let mut serving = std::pin::pin!(serving);
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        () = async { tokio::select! { () = stop.cancelled() => {}, () = streams.quiet(idle) => {} } } => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a client connection ended");
    }
}

/// Requests that a client may have in progress at once; the others wait at the client. An HTTP/1 primary gets a connection for
/// each.
fn streams_at_once(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Http1 => 100,
        Protocol::Http2 => 10_000,
    }
}

/// One client's connection.
struct Connection {
    shared: Arc<Shared>,
    target: Target,
    ends: Ends,
    upstream: Upstream,
    streams: Arc<Streams>,
}

impl Connection {
    fn new(shared: Arc<Shared>, ends: Ends, encrypted: bool) -> Self {
        let target = Target {
            authority: shared.authority.clone(),
            protocol: shared.primary.protocol,
            forwarded: shared.primary.forwarded,
            scheme: if shared.dial.tls().is_some() { Scheme::HTTPS } else { Scheme::HTTP },
            client_scheme: if encrypted { "https" } else { "http" },
        };
        let upstream = Upstream::new(&shared.primary, shared.dial.clone(), ends);
        Self { shared, target, ends, upstream, streams: Arc::default() }
    }

    /// Forwards one request. Every way out of here leaves the request accounted for.
    async fn forward(&self, request: Request<Incoming>) -> Response<Answer> {
        let mut stream = self.streams.begin();
        self.answer_to(request, &mut stream).await.map(|body| Counted::new(body, stream))
    }

    async fn answer_to(&self, request: Request<Incoming>, stream: &mut InProgress) -> Response<Passing> {
        let begun = Instant::now();
        if request.method() == Method::CONNECT {
            self.shared.observer.see_tunnel();
            return own(StatusCode::NOT_IMPLEMENTED, "shadowline: CONNECT over HTTP/2 is not supported\n");
        }
        let (parts, body) = request.into_parts();
        let observation = self.shared.observer.see(&parts);
        stream.under_way = self.shared.observer.under_way(&parts, observation.as_ref());
        let request = self.outgoing(parts, body, observation.as_ref());
        let before = begun.elapsed();
        let outcome = self.upstream.send(request).await;
        let answered = Instant::now();
        let answer = self.answer(outcome, observation);
        self.shared.observer.added(before + answered.elapsed());
        answer
    }

    fn outgoing(
        &self,
        mut parts: request::Parts,
        body: Incoming,
        observation: Option<&Arc<Observation>>,
    ) -> Request<upstream::Body> {
        let content = if body.is_end_stream() { Content::Absent } else { Content::Present };
        towards_primary(&mut parts, content, &self.target, self.ends.peer);
        let deposit = observation.filter(|_| content == Content::Present).map(|o| RequestSide(o.clone()));
        Request::from_parts(parts, upstream::Body::of(Tee::new(body, &self.shared.observer.limits, deposit)))
    }

    fn answer(
        &self,
        outcome: Result<Response<Incoming>, Failure>,
        observation: Option<Arc<Observation>>,
    ) -> Response<Passing> {
        match outcome {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                if let Some(observation) = &observation {
                    observation.answered(&parts);
                }
                towards_client(&mut parts);
                let body = Tee::new(body, &self.shared.observer.limits, observation.map(ResponseSide));
                Response::from_parts(parts, Either::Left(body))
            }
            Err(failure) => {
                if let Some(observation) = observation {
                    observation.failed(failure.0);
                }
                own(failure.status(), "shadowline: the primary gave no response\n")
            }
        }
    }
}

/// An answer of the agent's own, where the primary gave none.
fn own(status: StatusCode, text: &'static str) -> Response<Passing> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
