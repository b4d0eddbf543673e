//! Which streams of a client's connection are in progress, to find the connection idle.
//!
//! Guarantee: a request costs two additions; a connection is never found idle while a stream is in progress.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use shadow_capture::UnderWay;

/// The streams of one connection, counted.
#[derive(Default)]
pub(super) struct Streams {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// One stream in progress, which ends when this is dropped.
pub(super) struct InProgress {
    streams: Arc<Streams>,
    /// Where the primary's calls are seen, its request is under way for as long.
    pub(super) under_way: Option<UnderWay>,
}

impl Streams {
    /// A stream begins.
    pub(super) fn begin(self: &Arc<Self>) -> InProgress {
        self.begun.fetch_add(1, Ordering::Relaxed);
        InProgress { streams: self.clone(), under_way: None }
    }

    /// Waits until there has been no stream for `idle`, at most twice as long.
    pub(super) async fn quiet(&self, idle: Duration) {
        let counts = || (self.begun.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed));
        loop {
            let before = counts();
            tokio::time::sleep(idle).await;
            if before.0 == before.1 && before == counts() {
                return;
            }
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.streams.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A response's body, with its stream.
pub(super) struct Counted<B> {
    body: B,
    _stream: InProgress,
}

impl<B> Counted<B> {
    /// The stream ends with the body.
    pub(super) fn new(body: B, stream: InProgress) -> Self {
        Self { body, _stream: stream }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
