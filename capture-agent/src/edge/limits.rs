//! How many connections the agent takes, and the file descriptors that allow them.
//!
//! Guarantee: a full agent accepts nothing, so that the kernel queues and no connection is taken only to be dropped; every
//! connection gives its place back, however it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::seldom::Seldom;

#[cfg(test)]
mod tests;

/// Descriptors kept for all but connections: Kafka, files, the admin endpoint, the runtime.
const RESERVED: u64 = 512;
/// Each connection is one to the primary too.
const PER_CONNECTION: u64 = 2;
/// A connection of the primary's calls has connections to up to four destinations.
const PER_CALLER: u64 = 5;
/// One part of so many is for those.
const CALLS_SHARE: u64 = 4;
/// However low the limit is.
const LEAST: usize = 64;
/// Where there is no limit on descriptors.
const MOST: usize = 1 << 20;

/// Raises this process's soft limit of open files to the hard one; gives what is then in force (`None`: no limit).
pub(crate) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "cannot raise the limit of open files");
            limit.current
        }
    }
}

/// The connections that this many open files allow besides so many of the primary's calls.
pub(crate) fn connections_for(open_files: Option<u64>, calls: usize) -> usize {
    let calls = u64::try_from(calls).unwrap_or(u64::MAX).saturating_mul(PER_CALLER);
    let fit = open_files.map(|files| files.saturating_sub(RESERVED).saturating_sub(calls) / PER_CONNECTION);
    fit.map_or(MOST, |fit| usize::try_from(fit).unwrap_or(MOST)).clamp(LEAST, MOST)
}

/// How many of the connections wanted for the primary's calls this many open files allow: they take at most their share, and clients'
/// connections come first.
pub(crate) fn calls_for(open_files: Option<u64>, wanted: usize) -> usize {
    let fit = open_files.map(|files| files.saturating_sub(RESERVED) / CALLS_SHARE / PER_CALLER);
    wanted.min(fit.map_or(MOST, |fit| usize::try_from(fit).unwrap_or(MOST)).max(1))
}

/// The places for connections, shared by all who accept.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Places>);

#[derive(Debug)]
struct Places {
    limit: usize,
    /// What sets it.
    key: &'static str,
    free: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
    full: AtomicU64,
    warning: Seldom,
}

/// The place of one connection; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Permit {
    _place: OwnedSemaphorePermit,
    open: Arc<AtomicUsize>,
}

impl Connections {
    /// So many places, at least one, as the configuration says under `key`.
    pub(crate) fn new(limit: usize, key: &'static str) -> Self {
        let limit = limit.clamp(1, MOST);
        Self(Arc::new(Places {
            limit,
            key,
            free: Arc::new(Semaphore::new(limit)),
            open: Arc::default(),
            full: AtomicU64::new(0),
            warning: Seldom::default(),
        }))
    }

    /// Waits for a place, then for a connection to take it. Cancelling loses neither.
    ///
    /// # Errors
    /// What `accept` says; the place is free again. Take a breath before the next try: it may be out of descriptors.
    pub(crate) async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr, Permit)> {
        let place = self.place().await;
        let (stream, peer) = listener.accept().await?;
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Ok((stream, peer, Permit { _place: place, open: self.0.open.clone() }))
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        const OPEN: &str = "the semaphore is never closed";
        match self.0.free.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => {
                // Else some places are held by those who wait for a connection to come: there is room.
                if self.open() >= self.0.limit {
                    self.0.full.fetch_add(1, Ordering::Relaxed);
                    self.warn();
                }
                self.0.free.clone().acquire_owned().await.expect(OPEN)
            }
            Err(TryAcquireError::Closed) => unreachable!("{OPEN}"),
        }
    }

    fn warn(&self) {
        if self.0.warning.is_due() {
            tracing::warn!(
                limit = self.0.limit,
                key = self.0.key,
                "as many connections as allowed; new ones wait. Raise it or the limit of open files"
            );
        }
    }

    /// Connections now.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Most connections at once.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }

    /// How often accepting had to wait because connections held all places.
    pub(crate) fn full(&self) -> u64 {
        self.0.full.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
