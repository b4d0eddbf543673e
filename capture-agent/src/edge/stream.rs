//! A connection, with or without TLS, as HTTP sees it.
//!
//! Guarantee: without TLS every call goes straight to the socket. A connection that waits for its next request needs no buffer
//! ([`Stream::readable`]), and one that is given up can be reset, so that the other end does not take its end for an orderly one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::{RecvFlags, recv, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::tls::Alpn;

#[cfg(test)]
mod tests;

/// A silent connection is probed after this long,
const PROBE_AFTER: Duration = Duration::from_secs(60);
/// then this often,
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// and given up when so many probes went unanswered.
const PROBES: u32 = 3;

/// Sets what every socket has: no waiting for more bytes to send, and probes that find an end that is gone without a word.
pub(crate) fn tune(socket: &TcpStream) {
    // A socket that refuses an option works without it.
    let _ = socket.set_nodelay(true);
    let _ = sockopt::set_tcp_keepidle(socket, PROBE_AFTER);
    let _ = sockopt::set_tcp_keepintvl(socket, PROBE_EVERY);
    let _ = sockopt::set_tcp_keepcnt(socket, PROBES);
    let _ = sockopt::set_socket_keepalive(socket, true);
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Cleartext.
    Tcp(TcpStream),
    /// TLS, after the handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether it is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What was agreed on in the handshake; `None` without TLS, and where an end named nothing.
    pub(crate) fn alpn(&self) -> Option<Alpn> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol().and_then(Alpn::from_wire),
        }
    }

    /// Waits until a read would give bytes, the end or an error, without holding a buffer for it. Costs one system call. With
    /// TLS it may return early (a record that carries no data).
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => readable(socket).await,
            Self::Tls(tls) => {
                let (socket, session) = tls.get_ref();
                // A session that wants to read has neither decrypted bytes nor the other end's farewell.
                if session.wants_read() { readable(socket).await } else { Ok(()) }
            }
        }
    }

    /// Ends the connection at once with a reset: what is unsent is lost, and the other end gets an error.
    pub(crate) fn reset(self) {
        // A socket that refuses the option is closed in the ordinary way.
        let _ = self.socket().set_zero_linger();
    }
}

/// The runtime takes a new socket for readable until a read says otherwise; so one byte is looked at.
async fn readable(socket: &TcpStream) -> io::Result<()> {
    socket.async_io(Interest::READABLE, || Ok(recv(socket, &mut [0], RecvFlags::PEEK)?)).await.map(drop)
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
