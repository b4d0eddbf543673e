//! The hot path: forwards, and lets the observer look on.
//!
//! Clients meet the protocol that they speak: HTTP/1 is relayed byte for byte (`http1`), HTTP/2 stream by stream (`http2`).
//!
//! Guarantee: bytes pass both ways as they come; nothing here waits for anything but the client and the primary. What is not
//! transparent is listed in `docs/proxy.md`.

mod forwarded;
pub(crate) mod http1;
mod http2;
mod listen;
mod rewind;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shadow_capture::Observer;
use shadow_record::CaptureError;
use shadow_runtime::ConfigError;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Protocol};
use crate::edge::accept::Door;
use crate::edge::dial::DialError;
use crate::edge::own::Own;
use crate::edge::tls::Alpn;
use crate::metrics::Edge;
use forwarded::Forwarding;
pub(crate) use http2::{join_cookies, remove_hop_by_hop};
pub(crate) use listen::{HotPath, Listening, Patience};
pub(crate) use rewind::Rewind;

/// How often the files of certificates are looked at.
const CERTIFICATES: Duration = Duration::from_secs(5);

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Proxy {
    door: Door,
    http1: Arc<http1::Shared>,
    http2: Arc<http2::Shared>,
    tasks: TaskTracker,
    /// Cancelled when the agent drains.
    drain: CancellationToken,
    /// Cancelled when the time for that is over.
    cut: CancellationToken,
}

impl Proxy {
    /// A proxy as configured, whose primary is none of `own`.
    ///
    /// # Errors
    /// A URL, certificate or key that cannot be used.
    pub(crate) fn new(
        config: &Config,
        own: &Own,
        observer: Observer,
        drain: CancellationToken,
    ) -> anyhow::Result<Self> {
        let (listen, primary) = (&config.listen, &config.primary);
        let dial = |protocol| match primary.dial(protocol) {
            Ok(dial) => Ok(dial.apart_from(own.clone())),
            Err(problem) => Err(ConfigError::from(vec![problem])),
        };
        let observer = Arc::new(observer);
        let http1 = http1::Shared {
            observer: observer.clone(),
            dial: dial(Alpn::Http1)?,
            forwarding: Forwarding(primary.forwarded),
            header: listen.header.get(),
            idle: listen.idle.get(),
            answer: primary.answer.map(|answer| answer.get()),
            drain: drain.clone(),
        };
        let protocol = match primary.protocol {
            Protocol::Http1 => Alpn::Http1,
            Protocol::Http2 => Alpn::Http2,
        };
        let http2 = http2::Shared {
            observer,
            dial: dial(protocol)?,
            primary: primary.clone(),
            authority: primary.authority().parse().context("primary.url has no usable host")?,
            idle: listen.idle.get(),
            drain: drain.clone(),
        };
        Ok(Self {
            door: listen.door(primary.protocol)?,
            http1: Arc::new(http1),
            http2: Arc::new(http2),
            tasks: TaskTracker::new(),
            drain,
            cut: CancellationToken::new(),
        })
    }

    /// Follows the certificates' files until `stop`.
    ///
    /// # Errors
    /// When the operating system refuses a signal handler.
    pub(crate) fn watch_certificates(&self, stop: &CancellationToken) -> std::io::Result<()> {
        // Also without certificates: by itself this signal ends a process.
        drop(signal(SignalKind::hangup())?);
        if let Some(tls) = &self.door.tls {
            tls.watch(CERTIFICATES, stop.clone())?;
        }
        for dial in [&self.http1.dial, &self.http2.dial] {
            if let Some(tls) = dial.tls() {
                tls.watch(CERTIFICATES, stop.clone())?;
            }
        }
        Ok(())
    }

    /// What the metrics show of the edge.
    pub(crate) fn edge(&self) -> Edge {
        Edge { door: self.door.clone(), dials: [self.http1.dial.clone(), self.http2.dial.clone()] }
    }
}

/// What a failed connection to the primary is in a record.
fn class_of(error: &DialError) -> CaptureError {
    match error {
        DialError::Timeout => CaptureError::Timeout,
        DialError::Connect(_) | DialError::Handshake(_) | DialError::Itself(_) => CaptureError::Connect,
        DialError::Protocol => CaptureError::Protocol,
    }
}

#[cfg(test)]
mod tests;
