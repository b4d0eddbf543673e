//! CONNECT: bytes to and fro, or, for the hosts in `egress.intercept`, TLS that ends here.
//!
//! Guarantee: what is in a tunnel passes unread and unchanged, and everything that was asked while bytes went up it counts as not
//! recorded; what is not TLS is never intercepted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use shadow_capture::{Calls, Marked};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::clock::Timed;
use super::dial::Inner;
use super::forward::{Answered, Connection, Inside, classify, given, marked, own, serve};
use super::target::{Target, bare};
use super::{Place, Refused, Shared};
use crate::proxy::Rewind;

/// The first byte of a TLS connection: a handshake record.
const HANDSHAKE: u8 = 22;
/// What is read to see whether it is one.
const FIRST_READ: usize = 4 << 10;

/// Answers a CONNECT.
pub(super) async fn open(connection: Arc<Connection>, mut request: Request<Incoming>) -> Response<Answered> {
    let target = request.uri().authority().filter(|to| to.port_u16().is_some()).and_then(|to| Target::of(true, to));
    let Some(target) = target else {
        return connection.refuse(StatusCode::BAD_REQUEST, Refused::NoDestination, "CONNECT names no host:port");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let (shared, place) = (connection.shared.clone(), connection.place.clone());
    if shared.intercepts(&target.host) {
        if let Err(Marked) = shared.effects.check(&parts) {
            return marked(&shared);
        }
        let tunnel = Tunnel { shared: shared.clone(), target, place };
        shared.tasks.spawn(shared.clone().until_cut(tunnel.intercept(upgrade)));
        return established();
    }
    let observation = match shared.effects.see(&parts, target.destination()) {
        Ok(observation) => observation,
        Err(Marked) => return marked(&shared),
    };
    match shared.dial.reach(&target.host, target.port, connection.inner(false)).await {
        Err(error) => {
            let failure = classify(&error);
            if let Some(observation) = &observation {
                observation.failed(failure.class);
            }
            shared.count(Refused::NoAnswer);
            given(observation.as_deref(), own(failure.status(), &failure.cause))
        }
        Ok(socket) => {
            let answer = established();
            let (parts, body) = answer.into_parts();
            if let Some(observation) = &observation {
                observation.answered(&parts);
            }
            let tunnel = Tunnel { shared: shared.clone(), target, place };
            shared.tasks.spawn(shared.clone().until_cut(tunnel.pass(upgrade, socket)));
            Response::from_parts(parts, body)
        }
    }
}

fn established() -> Response<Answered> {
    Response::new(Timed::of(Either::Right(Full::new(Bytes::new()))))
}

/// A tunnel that has been agreed to.
struct Tunnel {
    shared: Arc<Shared>,
    target: Target,
    /// Held for as long as the tunnel is open.
    place: Place,
}

impl Tunnel {
    async fn pass(self, upgrade: OnUpgrade, socket: TcpStream) {
        if let Ok(client) = upgrade.await {
            self.pass_on(TokioIo::new(client), socket).await;
        }
    }

    async fn pass_on<S: AsyncRead + AsyncWrite + Unpin>(self, client: S, mut socket: TcpStream) {
        let mut client = Unseen { stream: client, calls: self.shared.effects.calls().clone() };
        if let Err(error) = copy_bidirectional(&mut client, &mut socket).await {
            tracing::debug!(%error, "a tunnel broke");
        }
        drop(self.place);
    }

    async fn intercept(self, upgrade: OnUpgrade) {
        let Ok(client) = upgrade.await else { return };
        let mut client = TokioIo::new(client);
        let mut read = BytesMut::with_capacity(FIRST_READ);
        match timeout(self.shared.idle, client.read_buf(&mut read)).await {
            Ok(Ok(1..)) => {}
            // It said nothing at all.
            _ => return,
        }
        let tls = read[0] == HANDSHAKE;
        let client = Rewind::new(read, client);
        if tls {
            return self.shake(client).await;
        }
        let inner = if self.place.near { Inner::Allowed } else { Inner::Refused };
        match self.shared.dial.reach(&self.target.host, self.target.port, inner).await {
            Ok(socket) => self.pass_on(client, socket).await,
            Err(error) => tracing::debug!(%error, "no connection for a tunnel"),
        }
    }

    async fn shake(self, client: Rewind<TokioIo<Upgraded>>) {
        let Self { shared, target, place } = self;
        let shaken = timeout(shared.dial.patience, async {
            let hello = LazyConfigAcceptor::new(Default::default(), client).await?;
            let asked = hello.client_hello().server_name().map(bare);
            let name = asked.unwrap_or_else(|| target.host.clone());
            let ca = shared.ca.as_ref().ok_or_else(|| io::Error::other("there is no authority"))?;
            let config = ca.server(&name).map_err(io::Error::other)?;
            Ok::<_, io::Error>((hello.into_stream(config).await?, name))
        });
        match shaken.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok((stream, host)) => {
                let reached = (target.host, target.port);
                let inside = Inside { target: Target { secure: true, host, port: target.port }, reached };
                serve(shared, stream, Some(inside), place).await;
            }
            Err(error) => {
                shared.count(Refused::Handshake);
                if shared.warning.is_due() {
                    let host = target.host;
                    tracing::warn!(
                        host, %error,
                        "a TLS handshake with the primary failed: have it trust the authority of egress.ca_key, or take the host out of egress.intercept"
                    );
                }
            }
        }
    }
}

/// The client's end of a tunnel: what it sends is not seen.
struct Unseen<S> {
    stream: S,
    calls: Arc<Calls>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Unseen<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.calls.passed_unseen();
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unseen<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
