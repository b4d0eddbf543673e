//! Tells when a connection has been without a call for too long.
//!
//! Guarantee: a call is under way from its head to the end of its answer's body, or until either is dropped; a connection that says nothing
//! at all, in whatever protocol, is without one from its beginning.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

/// Counts the calls that are under way on one connection.
#[derive(Clone, Debug)]
pub(super) struct Clock(watch::Sender<usize>);

impl Default for Clock {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// A call is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(watch::Sender<usize>);

impl Clock {
    /// A call begins.
    pub(super) fn begin(&self) -> UnderWay {
        self.0.send_modify(|calls| *calls += 1);
        UnderWay(self.0.clone())
    }

    /// Resolves when no call has been under way for so long.
    pub(super) async fn unused(&self, idle: Duration) {
        let mut calls = self.0.subscribe();
        loop {
            // The sender is at hand: neither can fail for want of it.
            if calls.wait_for(|calls| *calls == 0).await.is_err() || timeout(idle, calls.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

/// An answer's body, which ends its call.
#[derive(Debug)]
pub(super) struct Timed<B> {
    body: B,
    _call: Option<UnderWay>,
}

impl<B> Timed<B> {
    /// A body that ends no call.
    pub(super) fn of(body: B) -> Self {
        Self { body, _call: None }
    }

    /// It ends this call.
    pub(super) fn during(self, call: UnderWay) -> Self {
        Self { _call: Some(call), ..self }
    }
}

impl<B: Body + Unpin> Body for Timed<B> {
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_unused_only_while_no_call_is_under_way() {
        let (clock, idle) = (Clock::default(), Duration::from_secs(600));
        clock.unused(idle).await;
        let call = clock.begin();
        let mut unused = Box::pin(clock.unused(idle));
        assert!(timeout(idle * 10, &mut unused).await.is_err(), "its answer takes long");
        drop(call);
        assert!((&mut unused).now_or_never().is_none(), "it may have the next one");
        unused.await;
    }
}
