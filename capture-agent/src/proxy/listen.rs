//! Accepts connections, sees what they speak, and sees them off.
//!
//! The hot path has threads of its own, each with an event loop that shares nothing with the others but the listening socket:
//! whatever else the agent does, it does elsewhere.
//!
//! Guarantee: from the stop on no connection is accepted; open ones are told with their next response, or end when they have
//! been idle for a moment, or are cut when the drain time is over; then nothing of the hot path is left.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Proxy;
use super::http1::{self, Relay};
use super::http2;
use crate::edge::limits::{Connections, Permit};
use crate::edge::stream::Stream;
use crate::edge::tls::Alpn;
use crate::egress::Egress;
use shadow_capture::measure_lag;

/// Pause after a failed accept, so that running out of file descriptors does not become a busy loop.
const BREATH: Duration = Duration::from_millis(20);
/// The first bytes of an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read to see what a connection speaks.
const FIRST_READ: usize = 16 << 10;

/// Where and how connections are accepted.
pub(crate) struct Listening {
    /// The listening socket.
    pub socket: std::net::TcpListener,
    /// The places for connections.
    pub connections: Connections,
    /// Threads that carry traffic.
    pub threads: usize,
    /// How long open connections may take to finish.
    pub patience: Patience,
    /// Takes the primary's own calls in, where they are seen.
    pub egress: Option<Egress>,
}

/// How long open connections may take to finish once the agent drains.
#[derive(Clone)]
pub(crate) struct Patience {
    /// Cancelled when the agent must stop.
    pub shutdown: CancellationToken,
    /// From then on.
    pub stop: Duration,
    /// When nobody asks it to stop: another agent has taken over.
    pub takeover: Duration,
}

impl Patience {
    async fn ends(self) {
        let stopped = async {
            self.shutdown.cancelled().await;
            sleep(self.stop).await;
        };
        tokio::select! { () = stopped => {}, () = sleep(self.takeover) => {} }
    }
}

/// The threads that carry the traffic.
pub(crate) struct HotPath {
    ended: mpsc::Receiver<()>,
}

impl HotPath {
    /// Starts the threads. They end when the agent drains and has drained.
    ///
    /// # Errors
    /// When the operating system gives no socket, event loop or thread.
    pub(crate) fn start(listening: &Listening, proxy: &Proxy) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel(1);
        for number in 0..listening.threads {
            let socket = listening.socket.try_clone()?;
            socket.set_nonblocking(true)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (connections, patience) = (listening.connections.clone(), listening.patience.clone());
            let (proxy, alive, egress) = (proxy.for_thread(), alive.clone(), listening.egress.clone());
            std::thread::Builder::new().name(format!("proxy-{number}")).spawn(move || {
                let _alive = alive;
                runtime.block_on(async move {
                    match TcpListener::from_std(socket) {
                        Ok(listener) => serve(listener, &connections, proxy, egress, patience).await,
                        Err(error) => tracing::error!(%error, "a proxy thread cannot use the listening socket"),
                    }
                });
            })?;
        }
        Ok(Self { ended })
    }

    /// Waits until every thread has ended.
    pub(crate) async fn finish(mut self) {
        while self.ended.recv().await.is_some() {}
    }
}

/// Serves until the proxy drains, and drains.
async fn serve(
    listener: TcpListener,
    connections: &Connections,
    proxy: Proxy,
    egress: Option<Egress>,
    patience: Patience,
) {
    let calling = egress.and_then(|egress| match egress.start() {
        Ok(calling) => Some(calling),
        Err(error) => {
            tracing::error!(%error, "a proxy thread cannot take the primary's calls");
            None
        }
    });
    let lag = tokio::spawn(measure_lag(proxy.http1.observer.latency.clone()));
    loop {
        let accepted = tokio::select! {
            () = proxy.drain.cancelled() => break,
            accepted = connections.accept(&listener) => accepted,
        };
        match accepted {
            Ok((socket, peer, permit)) => {
                proxy.tasks.spawn(proxy.clone().connection(socket, peer, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    tracing::info!(connections = proxy.tasks.len(), "no longer accepting; finishing what is open");
    proxy.tasks.close();
    let mut ends = std::pin::pin!(patience.ends());
    let in_time = tokio::select! {
        () = proxy.tasks.wait() => true,
        () = &mut ends => {
            tracing::warn!(connections = proxy.tasks.len(), "the drain time is over; cutting what is still open");
            false
        }
    };
    proxy.cut.cancel();
    proxy.tasks.wait().await;
    // Requests have been answered: what the primary still calls for them is the last.
    if let Some(calling) = calling {
        calling
            .finish(async {
                if in_time {
                    ends.await
                }
            })
            .await;
    }
    lag.abort();
}

/// What a connection speaks, and the bytes read to see it.
enum Speaks {
    Http1(BytesMut),
    Http2(BytesMut),
}

impl Proxy {
    /// The same proxy, with tasks of its own.
    fn for_thread(&self) -> Self {
        // A token that threads share is a lock that they share, and each connection asks it at every turn.
        let drain = self.drain.child_token();
        let http1 = Arc::new(http1::Shared { drain: drain.clone(), ..http1::Shared::clone(&self.http1) });
        Self { tasks: Default::default(), cut: CancellationToken::new(), drain, http1, ..self.clone() }
    }

    async fn connection(self, socket: TcpStream, peer: SocketAddr, permit: Permit) {
        let cut = self.cut.clone();
        tokio::select! {
            biased;
            // The relay hears of the cut itself, and ends as befits what it is in.
            () = self.carry(socket, peer) => {}
            () = cut.cancelled() => {}
        }
        drop(permit);
    }

    async fn carry(self, socket: TcpStream, peer: SocketAddr) {
        let (mut client, ends) = match self.door.admit(socket, peer).await {
            Ok(admitted) => admitted,
            Err(refusal) => return tracing::debug!(%refusal, %peer, "a connection was not let in"),
        };
        let speaks = tokio::select! {
            speaks = timeout(self.http1.header, speaks(&mut client)) => speaks,
            () = http1::idle_in_drain(&self.drain) => return,
        };
        match speaks {
            // Boxed, so that a connection that has said nothing yet is small.
            Ok(Ok(Speaks::Http1(read))) => Box::pin(Relay::new(self.http1, client, ends, read, self.cut).run()).await,
            Ok(Ok(Speaks::Http2(read))) => Box::pin(http2::serve(self.http2, client, ends, read)).await,
            // It said nothing at all.
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

async fn speaks(client: &mut Stream) -> io::Result<Speaks> {
    let agreed = client.alpn() == Some(Alpn::Http2);
    let mut read = BytesMut::new();
    loop {
        client.readable().await?;
        read.reserve(FIRST_READ);
        if client.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Who agreed on it and sends something else is told by the library.
        if read.starts_with(PREFACE) || agreed && !PREFACE.starts_with(&read) {
            return Ok(Speaks::Http2(read));
        }
        if !PREFACE.starts_with(&read) {
            return Ok(Speaks::Http1(http1::fitting(read)));
        }
        read = http1::fitting(read);
    }
}
