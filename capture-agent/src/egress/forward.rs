//! One client's connection: its calls, forwarded to whom they are for and shown to the recorder.
//!
//! Guarantees: bodies pass as they come, both ways; a call waits for nobody but its destination; a call that bears the shadow's mark goes
//! no further; a connection to a destination lives no longer than the client's, and serves nobody else.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE};
use http::{Method, Request, Response, StatusCode, Version, request};
use http_body::Body as _;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use shadow_capture::head::MAX_LINES;
use shadow_capture::tee::Tee;
use shadow_capture::{Marked, Observation, RequestSide, ResponseSide, fault};
use shadow_record::CaptureError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::clock::{Clock, Timed};
use super::dial::{Connector, Inner};
use super::target::{Target, asked};
use super::{Place, Refused, Shared};
use crate::proxy::{join_cookies, remove_hop_by_hop};

/// Longest head of a call. Longer than what servers take, so that the destination refuses it and not the agent.
const HEAD: usize = 256 << 10;
/// Destinations to which one client's connection keeps connections.
const DESTINATIONS: usize = 4;
/// How long an unused connection to a destination is kept; shorter than what networks forget.
const UNUSED: Duration = Duration::from_secs(90);
/// Calls of one HTTP/2 connection at once; the others wait at the client.
const STREAMS: u32 = 100;

/// How long a client may take to hear that its unused connection ends.
const FAREWELL: Duration = Duration::from_secs(5);

const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");

type Answer = Timed<Either<Tee<Incoming, ResponseSide>, Full<Bytes>>>;
type Way = Client<Connector, Tee<Incoming, RequestSide>>;

/// Where calls without a destination of their own go.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    /// Who the client asked for.
    pub(super) target: Target,
    /// What is connected to: a name may have been resolved by the client.
    pub(super) reached: (String, u16),
}

/// One client's connection.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    /// The tunnel that it is in, if TLS ended here.
    inside: Option<Inside>,
    /// The last used last.
    ways: Mutex<Vec<((Target, Inner), Way)>>,
    /// Its place among the connections, which tunnels share.
    pub(super) place: Place,
}

/// A connection being served. Of one type, because what is in a tunnel is served like what it came in.
pub(super) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Serves a connection until it ends, or has finished what is under way when the agent drains.
pub(super) fn serve<S>(shared: Arc<Shared>, stream: S, inside: Option<Inside>, place: Place) -> Serving
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(serve_all(shared, stream, inside, place))
}

async fn serve_all<S>(shared: Arc<Shared>, stream: S, inside: Option<Inside>, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new()).preserve_header_case(true);
    builder
        .http1()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .header_read_timeout(shared.idle)
        .max_headers(MAX_LINES)
        .max_buf_size(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD as u32);
    let (drain, idle) = (shared.drain.clone(), shared.idle);
    let clock = Clock::default();
    let begun = clock.clone();
    let connection = Arc::new(Connection { shared, inside, ways: Mutex::default(), place });
    let service = service_fn(move |request| {
        let connection = connection.clone();
        let call = begun.begin();
        // An error closes the connection without an answer.
        async move { Ok::<_, io::Error>(connection.answer(request).await?.map(|body| body.during(call))) }
    });
    let mut serving = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        // The library's own clock begins with the first bytes of HTTP/1 only.
        () = clock.unused(idle) => {
            serving.as_mut().graceful_shutdown();
            tokio::select! { ended = &mut serving => ended, () = clock.unused(idle.min(FAREWELL)) => return }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection of the primary ended");
    }
}

impl Connection {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Answer>> {
        if request.method() != Method::CONNECT {
            return self.forward(request).await;
        }
        Ok(match self.inside {
            None => super::tunnel::open(self, request).await,
            Some(_) => self.refuse(StatusCode::NOT_IMPLEMENTED, Refused::NoDestination, "a tunnel in a tunnel"),
        })
    }

    async fn forward(&self, request: Request<Incoming>) -> io::Result<Response<Answer>> {
        let asked = match &self.inside {
            None => asked(request.uri(), request.headers(), &self.shared.aliases),
            Some(inside) => Some((inside.target.clone(), request.uri().path_and_query().cloned())),
        };
        let uri = asked.and_then(|(target, path)| Some((target.uri(path)?, target)));
        let Some((uri, target)) = uri else {
            let text =
                "the call names no destination: ask for an absolute URL, or name what is meant in egress.aliases";
            return Ok(self.refuse(StatusCode::BAD_REQUEST, Refused::NoDestination, text));
        };
        let (mut parts, body) = request.into_parts();
        let http2 = parts.version == Version::HTTP_2;
        let aliased = self.inside.is_none() && parts.uri.authority().is_none();
        self.readdress(&mut parts, &target);
        parts.uri = uri;
        let observation = match self.shared.effects.see(&parts, target.destination()) {
            Ok(observation) => observation,
            Err(Marked) => return Ok(marked(&self.shared)),
        };
        let side = observation.as_ref().filter(|_| !body.is_end_stream()).map(|seen| RequestSide(seen.clone()));
        let request = Request::from_parts(parts, Tee::new(body, self.shared.effects.limits(), side));
        let sent = self.way(&target, self.inner(aliased), http2).request(request);
        let outcome = match self.shared.answer {
            None => sent.await.map_err(|error| classify(&error)),
            Some(patience) => match timeout(patience, sent).await {
                Ok(outcome) => outcome.map_err(|error| classify(&error)),
                Err(_) => Err(Failure { class: CaptureError::Timeout, cause: "no answer in time".to_owned() }),
            },
        };
        match outcome {
            Ok(response) => Ok(self.passing(response, observation)),
            Err(failure) => self.failed(&target, &failure, observation.as_deref()),
        }
    }

    /// What a proxy must change in a call's head.
    fn readdress(&self, parts: &mut request::Parts, target: &Target) {
        let trailers = parts.headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
        remove_hop_by_hop(&mut parts.headers);
        parts.headers.remove(PROXY_AUTHORIZATION);
        if parts.version == Version::HTTP_2 {
            join_cookies(&mut parts.headers);
            if trailers {
                parts.headers.insert(TE, HeaderValue::from_static("trailers"));
            }
        } else if self.inside.is_none()
            && let Some(host) = target.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
        {
            parts.headers.insert(HOST, host);
        }
        parts.version = Version::HTTP_11;
    }

    /// Whether a call may go to this host's own addresses.
    pub(super) fn inner(&self, aliased: bool) -> Inner {
        if aliased || self.place.near { Inner::Allowed } else { Inner::Refused }
    }

    /// The client's own connections to a destination.
    fn way(&self, target: &Target, inner: Inner, http2: bool) -> Way {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = ways.iter().position(|((known, reach), _)| known == target && *reach == inner) {
            let known = ways.remove(at);
            let way = known.1.clone();
            ways.push(known);
            return way;
        }
        let trust = &self.shared.trust;
        let tls = if http2 { trust.http2.clone() } else { trust.http1.clone() };
        let instead = self.inside.as_ref().map(|inside| inside.reached.clone());
        let way = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(UNUSED)
            .http1_preserve_header_case(true)
            .http1_max_headers(MAX_LINES)
            .build(Connector { dial: self.shared.dial.clone(), instead, inner, tls });
        if ways.len() >= DESTINATIONS {
            ways.remove(0);
        }
        ways.push(((target.clone(), inner), way.clone()));
        way
    }

    fn passing(&self, response: Response<Incoming>, observation: Option<Arc<Observation>>) -> Response<Answer> {
        let (mut parts, body) = response.into_parts();
        if let Some(observation) = &observation {
            observation.answered(&parts);
        }
        remove_hop_by_hop(&mut parts.headers);
        parts.version = Version::HTTP_11;
        let body = Tee::new(body, self.shared.effects.limits(), observation.map(ResponseSide));
        Response::from_parts(parts, Timed::of(Either::Left(body)))
    }

    /// There is no answer. A destination that broke off is passed on as that, so that the caller does what it always did; else the caller
    /// is told what a forward proxy says.
    fn failed(
        &self,
        target: &Target,
        failure: &Failure,
        observation: Option<&Observation>,
    ) -> io::Result<Response<Answer>> {
        if let Some(observation) = observation {
            observation.failed(failure.class);
        }
        self.shared.count(Refused::NoAnswer);
        tracing::debug!(host = target.host, port = target.port, cause = failure.cause, "a call got no answer");
        match failure.class {
            CaptureError::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(given(observation, own(failure.status(), &failure.cause))),
        }
    }

    /// A call that goes no further.
    pub(super) fn refuse(&self, status: StatusCode, why: Refused, text: &str) -> Response<Answer> {
        self.shared.effects.see_refused();
        self.shared.count(why);
        own(status, text)
    }
}

/// Why there is no answer.
pub(super) struct Failure {
    pub(super) class: CaptureError,
    pub(super) cause: String,
}

impl Failure {
    /// What the caller is told.
    pub(super) fn status(&self) -> StatusCode {
        match self.class {
            CaptureError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Of any error, with the last of its causes, which says most.
pub(super) fn classify(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    Failure { class: fault::classify(error), cause: format!("the destination gave no answer: {last}") }
}

/// The answer to a call that a shadow made.
pub(super) fn marked(shared: &Shared) -> Response<Answer> {
    shared.count(Refused::Marked);
    own(StatusCode::FORBIDDEN, "a replayed request's call has reached production; it is not forwarded")
}

/// Records an answer of the agent's own, without its text, as what the primary was given: so the shadow is given it too.
pub(super) fn given(observation: Option<&Observation>, answer: Response<Answer>) -> Response<Answer> {
    let (parts, body) = answer.into_parts();
    if let Some(observation) = observation {
        observation.answered(&parts);
    }
    Response::from_parts(parts, body)
}

/// An answer of the agent's own.
pub(super) fn own(status: StatusCode, text: &str) -> Response<Answer> {
    let mut response = Response::new(Timed::of(Either::Right(Full::new(Bytes::from(format!("shadowline: {text}\n"))))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

pub(super) type Answered = Answer;
