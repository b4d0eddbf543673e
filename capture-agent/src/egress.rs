//! The primary's outbound calls on their way to whom they are for: a forward proxy that records them.
//!
//! ```text
//! primary -> accept -> forward: target -> Effects::see -> dial -> destination
//!                        \ tunnel: bytes, or TLS that ends here (`egress.intercept`)
//! ```
//!
//! It runs on the proxy threads, and starts and stops with them: it takes calls until the last request has been answered.
//!
//! Guarantees:
//! - **It is no open proxy**: whoever is not in `egress.allow`, or on this host, is let go before a byte is read.
//! - **It opens nothing of this host to others** (`dial`): its loopback and link-local addresses are for whoever is on it.
//! - **The shadow reaches nobody through it**: a call that bears the mark is refused, and rings the alarm (`forward`).
//! - **Calls do not depend on recording**: with Kafka absent, slow or dead they pass, and what is lost is counted.
//! - **Memory is bounded** per connection, and by `egress.connections`.

mod clock;
pub(crate) mod config;
mod dial;
mod forward;
mod target;
mod tunnel;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shadow_ca::Ca;
use shadow_capture::Effects;
use shadow_runtime::Alias;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::edge::limits::{Connections, Permit};
use crate::edge::seldom::Seldom;
use config::{EgressSection, HostPattern, Trust};
use dial::Dial;

/// Pause after a failed accept, so that running out of file descriptors does not become a busy loop.
const BREATH: Duration = Duration::from_millis(20);
/// What whoever may not call is told, if its socket takes it at once.
const NOT_ALLOWED: &[u8] = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// A connection's place, held by all that comes of it.
type Place = Arc<Caller>;

/// Who holds a place.
struct Caller {
    _permit: Permit,
    /// It came over loopback: from this host, whose loopback services it may reach without the agent.
    near: bool,
}

/// Why calls or connections got nowhere, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The client is not in `egress.allow`.
    Client,
    /// The call bears the shadow's mark.
    Marked,
    /// The call names nobody that it could be for.
    NoDestination,
    /// The destination cannot be reached, or gave no answer.
    NoAnswer,
    /// The primary broke off the handshake of TLS that should have ended here.
    Handshake,
}

impl Refused {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Client, "client"),
        (Self::Marked, "marked"),
        (Self::NoDestination, "no_destination"),
        (Self::NoAnswer, "no_answer"),
        (Self::Handshake, "handshake"),
    ];
}

/// How many, by reason.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; Refused::ALL.len()]);

impl Counts {
    fn count(&self, why: Refused) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// By the names of metrics.
    pub(crate) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refused::ALL.iter().zip(&self.0).map(|((_, name), count)| (*name, count.load(Ordering::Relaxed)))
    }
}

/// What is counted of calls and connections. It keeps nothing of the hot path alive.
pub(crate) struct Counted {
    /// The places for connections.
    pub(crate) connections: Connections,
    /// What got nowhere.
    pub(crate) refused: Arc<Counts>,
}

/// Takes calls in. Clones share the socket.
#[derive(Clone)]
pub(crate) struct Egress {
    socket: Arc<std::net::TcpListener>,
    section: Arc<EgressSection>,
    connections: Connections,
    shared: Shared,
}

/// What all connections of one thread share.
#[derive(Clone)]
struct Shared {
    effects: Arc<Effects>,
    aliases: Arc<[Alias]>,
    intercept: Arc<[HostPattern]>,
    ca: Option<Arc<Ca>>,
    trust: Trust,
    dial: Dial,
    answer: Option<Duration>,
    idle: Duration,
    refused: Arc<Counts>,
    warning: Arc<Seldom>,
    tasks: TaskTracker,
    /// Cancelled when no further call is taken.
    drain: CancellationToken,
    /// Cancelled when the time for those under way is over.
    cut: CancellationToken,
}

impl Egress {
    /// Listens as configured. `None`: it is not asked to.
    ///
    /// # Errors
    /// An address that cannot be had, or a file that has changed since it was checked.
    pub(crate) fn bind(
        section: &EgressSection,
        sharing: Sharing,
        connections: usize,
        effects: Option<&Arc<Effects>>,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(listen), Some(effects)) = (section.listen, effects) else { return Ok(None) };
        let socket = bind(listen, sharing).map_err(|error| {
            anyhow::anyhow!("cannot listen on {listen} for the primary's calls: {error}; set egress.listen")
        })?;
        let problem = |problem| shadow_runtime::ConfigError::from(vec![problem]);
        let shared = Shared {
            effects: effects.clone(),
            aliases: section.aliases.clone().into(),
            intercept: section.intercepted().map_err(problem)?.into(),
            ca: section.ca().map_err(problem)?.map(Arc::new),
            trust: section.trusted().map_err(problem)?,
            dial: Dial {
                patience: section.connect.get(),
                own: socket.local_addr()?,
                admin: Arc::default(),
                resolve: Arc::new(section.resolved()),
            },
            answer: section.answer.map(|answer| answer.get()),
            idle: section.idle.get(),
            refused: Arc::default(),
            warning: Arc::default(),
            tasks: TaskTracker::new(),
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
        };
        let connections = Connections::new(connections, "egress.connections");
        Ok(Some(Self { socket: Arc::new(socket), section: Arc::new(section.clone()), connections, shared }))
    }

    /// Where calls come in.
    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.dial.own
    }

    /// Where the agent's own admin endpoint is, to which no call goes.
    pub(crate) fn keep_from(&self, admin: SocketAddr) {
        let _ = self.shared.dial.admin.set(admin);
    }

    /// What the metrics show of it.
    pub(crate) fn counted(&self) -> Counted {
        Counted { connections: self.connections.clone(), refused: self.shared.refused.clone() }
    }

    /// Takes calls on this thread's runtime.
    ///
    /// # Errors
    /// When the operating system gives no descriptor.
    pub(crate) fn start(&self) -> io::Result<Calling> {
        let listener = TcpListener::from_std(self.socket.try_clone()?)?;
        let (drain, cut, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let shared = Shared { drain: drain.clone(), cut, tasks, ..self.shared.clone() };
        let shared = Arc::new(shared);
        let accepting = tokio::spawn(accept(listener, self.clone(), shared.clone()));
        Ok(Calling { shared, accepting })
    }
}

/// A thread that takes calls.
pub(crate) struct Calling {
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Calling {
    /// Takes no further call, and waits for those under way until `patience` is over.
    pub(crate) async fn finish(self, patience: impl Future<Output = ()>) {
        let Self { shared, accepting } = self;
        shared.drain.cancel();
        // It ends by itself; a panic in it has been told.
        drop(accepting.await);
        shared.tasks.close();
        tokio::select! {
            () = shared.tasks.wait() => {}
            () = patience => tracing::warn!(connections = shared.tasks.len(), "cutting calls that are still under way"),
        }
        shared.cut.cancel();
        shared.tasks.wait().await;
    }
}

impl Shared {
    fn count(&self, why: Refused) {
        self.refused.count(why);
    }

    fn intercepts(&self, host: &str) -> bool {
        self.intercept.iter().any(|pattern| pattern.matches(host))
    }

    async fn until_cut(self: Arc<Self>, task: impl Future<Output = ()>) {
        tokio::select! { () = task => {}, () = self.cut.cancelled() => {} }
    }
}

async fn accept(listener: TcpListener, egress: Egress, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            () = shared.drain.cancelled() => return,
            accepted = egress.connections.accept(&listener) => accepted,
        };
        match accepted {
            Ok((socket, peer, place)) if egress.section.allows(peer.ip()) => {
                crate::edge::stream::tune(&socket);
                let caller = Caller { _permit: place, near: peer.ip().to_canonical().is_loopback() };
                let serving = forward::serve(shared.clone(), socket, None, Arc::new(caller));
                shared.tasks.spawn(shared.clone().until_cut(serving));
            }
            Ok((socket, peer, _)) => turn_away(&shared, &socket, peer),
            Err(error) => {
                tracing::warn!(%error, "cannot accept the primary's connections");
                sleep(BREATH).await;
            }
        }
    }
}

fn turn_away(shared: &Shared, socket: &TcpStream, peer: SocketAddr) {
    shared.count(Refused::Client);
    if shared.warning.is_due() {
        tracing::warn!(%peer, "a client that is not in egress.allow was let go; if it is the primary's host, add its network");
    }
    // A new socket has room for it; whether it does is no matter.
    let _ = socket.try_write(NOT_ALLOWED);
}

/// Who else may listen there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody.
    Alone,
    /// The next agent, while this one drains.
    WithTheNext,
}

fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(sharing == Sharing::WithTheNext)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
