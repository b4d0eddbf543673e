//! Takes calls in, as whatever they come: to the stub's own address (the shadow's configured base URL, or a DNS alias), through it as a
//! forward proxy, through a tunnel, with and without TLS.
//!
//! Guarantees: nothing is forwarded, whatever is asked; every call that was understood is handed to [`Answers`] exactly once; connections,
//! headers, bodies and time are bounded, and what is refused for that is counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use shadow_ca::Ca;
use shadow_runtime::Alias;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::accept;
use crate::alias;
use crate::engine::Answer;
use crate::refused::{Refusals, Refused};
use crate::request::Call;
use crate::rules::Fault;

mod again;
mod body;
mod response;

use again::Again;
use body::{Room, Unread};
use response::{Answered, plain, told, truncated, whole};

/// For a handshake, and for the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// For a request's body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection without an answer is held open.
const HANG: Duration = Duration::from_secs(600);
/// Longest head.
const HEAD_BYTES: usize = 64 << 10;
/// Requests at a time on one HTTP/2 connection, and what each may send before it is read.
const STREAMS: u32 = 20;
const WINDOW: u32 = 64 << 10;

/// Decides what a call is answered with, and records it.
pub trait Answers: Send + Sync + 'static {
    /// Answers one call. What it returns is what the caller gets.
    fn answer(&self, call: Call) -> impl Future<Output = Answer> + Send;
}

/// Bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Connections at a time, for each listener; further ones wait to be accepted.
    pub connections: usize,
    /// Longest body of a call.
    pub body: usize,
    /// Bytes of the bodies of all calls that are not recorded yet; calls beyond them are refused with 503.
    pub bodies: usize,
}

/// The server's parts that all connections share.
pub struct Server<A> {
    answers: A,
    ca: Option<Ca>,
    aliases: Vec<Alias>,
    limits: ServeLimits,
    room: Room,
    refusals: Refusals,
}

/// One connection, as its requests see it.
#[derive(Clone, Default)]
struct Link {
    towards: Towards,
    /// A request has begun.
    begun: CancellationToken,
    /// The connection is to be closed at once.
    broken: CancellationToken,
    /// The connection and its tunnels are over.
    over: CancellationToken,
    tunnels: TaskTracker,
}

/// Whom the connection was made to, as far as it is known before a request.
#[derive(Clone, Debug, Default)]
struct Towards {
    scheme: &'static str,
    /// From the handshake or the tunnel; requests must name the same.
    host: Option<String>,
    port: Option<u16>,
}

/// What a listener expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// HTTP: direct calls, a forward proxy's, tunnels.
    Http,
    /// TLS: direct calls to a DNS alias.
    Tls,
}

impl<A: Answers> Server<A> {
    /// A server; `ca` where calls come with TLS, `aliases` where they come to the stub's own address.
    pub fn new(answers: A, ca: Option<Ca>, aliases: Vec<Alias>, limits: ServeLimits, refusals: Refusals) -> Arc<Self> {
        Arc::new(Self { answers, ca, aliases, limits, room: Room::new(limits.bodies), refusals })
    }

    fn refuse(&self, reason: Refused) {
        self.refusals.count(reason);
    }

    /// Serves a listener until `stop`, which ends its connections; what [`Answers`] was handed by then is its own to end.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, expects: Expects, stop: CancellationToken) {
        let most = self.limits.connections;
        accept(listener, most, stop, |stream| self.clone().connection(stream, expects)).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, expects: Expects) {
        drop(stream.set_nodelay(true));
        let port = stream.local_addr().map(|address| address.port()).ok();
        match expects {
            Expects::Http => self.http(stream, Towards { scheme: "http", host: None, port: None }).await,
            // A DNS alias leads here under the port that the caller used.
            Expects::Tls => self.tls(stream, Towards { scheme: "https", host: None, port }).await,
        }
    }

    async fn tls<S>(self: Arc<Self>, stream: S, towards: Towards)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(ca) = &self.ca else { return self.refuse(Refused::NoCa) };
        let hello = match timeout(HEAD_PATIENCE, LazyConfigAcceptor::new(Default::default(), stream)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(_)) | Err(_) => return self.refuse(Refused::Malformed),
        };
        let asked = hello.client_hello().server_name().map(str::to_ascii_lowercase);
        if let (Some(asked), Some(host)) = (&asked, &towards.host)
            && asked != host
        {
            tracing::debug!(asked, host, "the handshake asks for another host than the tunnel");
            return self.refuse(Refused::Misdirected);
        }
        let Some(host) = asked.or(towards.host) else { return self.refuse(Refused::NoHost) };
        let config = match ca.server(&host) {
            Ok(config) => config,
            Err(error) => {
                tracing::warn!(%error, "no certificate");
                return self.refuse(Refused::Handshake);
            }
        };
        match timeout(HEAD_PATIENCE, hello.into_stream(config)).await {
            Ok(Ok(stream)) => self.http(stream, Towards { host: Some(host), ..towards }).await,
            Ok(Err(error)) => {
                tracing::warn!(host, %error, "TLS handshake failed: does the shadow trust the stub's authority?");
                self.refuse(Refused::Handshake);
            }
            Err(_) => self.refuse(Refused::Handshake),
        }
    }

    /// Serves requests on one connection. Boxed, because tunnels lead back here.
    fn http<S>(self: Arc<Self>, stream: S, towards: Towards) -> Pin<Box<dyn Future<Output = ()> + Send>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Box::pin(async move {
            let link = Link { towards, ..Link::default() };
            let _over = link.over.clone().drop_guard();
            let service = service_fn({
                let (server, link) = (self.clone(), link.clone());
                move |request| {
                    link.begun.cancel();
                    server.clone().request(request, link.clone())
                }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_BYTES);
            builder
                .http2()
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_header_list_size(HEAD_BYTES as u32);
            let io = TokioIo::new(stream);
            let connection = builder.serve_connection_with_upgrades(io, service);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    // A first head that never ends runs out of hyper's time and of `silent`'s at once; between requests it is idleness.
                    let first = !link.begun.is_cancelled();
                    let malformed = |error: &hyper::Error| error.is_parse() || (first && error.is_timeout());
                    if error.downcast_ref().is_some_and(malformed) {
                        self.refuse(Refused::Malformed);
                    }
                    tracing::debug!(%error, "connection ended");
                },
                () = link.broken.cancelled() => return,
                // Telling HTTP/1 from HTTP/2 has no time limit of its own.
                () = silent(&link.begun) => return self.refuse(Refused::Malformed),
            }
            // A tunnel takes the place of the connection that it came by.
            link.tunnels.close();
            link.tunnels.wait().await;
        })
    }

    async fn request(self: Arc<Self>, request: Request<Incoming>, link: Link) -> Result<Response<Answered>, io::Error> {
        let Link { towards, broken, .. } = &link;
        if request.method() == Method::CONNECT {
            return Ok(self.tunnel(request, &link));
        }
        let Some((scheme, host, port)) = destination(request.uri(), request.headers(), towards) else {
            self.refuse(Refused::NoHost);
            return Ok(told(StatusCode::BAD_REQUEST, "the request names no host"));
        };
        if towards.host.as_ref().is_some_and(|expected| *expected != host) {
            self.refuse(Refused::Misdirected);
            return Ok(told(StatusCode::MISDIRECTED_REQUEST, "the request is for another host than the connection"));
        }
        let (parts, body) = request.into_parts();
        let read = timeout(BODY_PATIENCE, self.room.read(body, self.limits.body)).await;
        let body = match read.unwrap_or(Err(Unread::Broken)) {
            Ok(body) => body,
            Err(unread) => return Ok(self.unread(unread)),
        };
        let mut call = Call {
            method: parts.method.as_str().to_owned(),
            scheme,
            host,
            port,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: end_to_end(parts.headers),
            body,
        };
        alias::resolve(&self.aliases, &mut call);
        let answer = self.answers.answer(call).await;
        // Even no time at all would be a millisecond of the timer's.
        if !answer.delay.is_zero() {
            tokio::time::sleep(answer.delay).await;
        }
        match answer.fault {
            None => Ok(plain(answer)),
            Some(Fault::Hang) => {
                tokio::time::sleep(HANG).await;
                broken.cancel();
                Ok(plain(answer))
            }
            // An error from here closes the connection without an answer.
            Some(Fault::Close) => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            Some(Fault::Truncate) => Ok(truncated(answer)),
        }
    }

    fn unread(&self, why: Unread) -> Response<Answered> {
        let (reason, status, told_why) = match why {
            Unread::TooLong => (Refused::Body, StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than the stub takes"),
            Unread::Broken => (Refused::Body, StatusCode::BAD_REQUEST, "the body ended early"),
            Unread::NoRoom => {
                (Refused::NoRoom, StatusCode::SERVICE_UNAVAILABLE, "the stub has no room for more bodies now")
            }
        };
        self.refuse(reason);
        told(status, told_why)
    }

    /// A tunnel leads back into the stub: with TLS inside, or without.
    fn tunnel(self: Arc<Self>, request: Request<Incoming>, link: &Link) -> Response<Answered> {
        let authority = request.uri().authority().cloned();
        let Some(authority) = authority.filter(|authority| !authority.host().is_empty()) else {
            self.refuse(Refused::NoHost);
            return told(StatusCode::BAD_REQUEST, "CONNECT names no host");
        };
        let (host, port) = (bare(authority.host()), authority.port_u16().unwrap_or(443));
        let inside = async move {
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            let mut stream = TokioIo::new(upgraded);
            let mut first = [0];
            // What comes first tells TLS from HTTP.
            let read = timeout(HEAD_PATIENCE, stream.read(&mut first)).await;
            if !matches!(read, Ok(Ok(1))) {
                return self.refuse(Refused::Malformed);
            }
            let stream = Again { first: Some(first[0]), stream };
            const HANDSHAKE: u8 = 22;
            let (host, port) = (Some(host), Some(port));
            if first[0] == HANDSHAKE {
                self.tls(stream, Towards { scheme: "https", host, port }).await;
            } else {
                self.http(stream, Towards { scheme: "http", host, port }).await;
            }
        };
        let over = link.over.clone();
        link.tunnels.spawn(async move {
            tokio::select! { () = over.cancelled() => {}, () = inside => {} }
        });
        Response::new(whole(Bytes::new()))
    }
}

/// Resolves when no request has begun in time.
async fn silent(begun: &CancellationToken) {
    if timeout(HEAD_PATIENCE, begun.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Scheme, host and port that a request is for.
fn destination(uri: &Uri, headers: &HeaderMap, towards: &Towards) -> Option<(&'static str, String, u16)> {
    let scheme = match uri.scheme_str() {
        Some("https") => "https",
        Some(_) => "http",
        None => towards.scheme,
    };
    let default = if scheme == "https" { 443 } else { 80 };
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => headers.get(header::HOST)?.to_str().ok()?.parse().ok()?,
    };
    let host = bare(authority.host());
    let port = authority.port_u16().or(towards.port).unwrap_or(default);
    (!host.is_empty()).then_some((scheme, host, port))
}

/// A host in lower case, an IPv6 address without its brackets, a name without a dot at its end.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Without what belongs to the connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let own = ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer"];
    for name in own.into_iter().chain(["transfer-encoding", "upgrade"]).chain(named.iter().map(String::as_str)) {
        headers.remove(name);
    }
    headers
}
