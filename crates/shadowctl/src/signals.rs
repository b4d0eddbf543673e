//! Being told to end: Ctrl-C, SIGTERM, and a terminal that was closed.
//!
//! A signal that arrives while nobody waits is kept, so that whoever must not be torn apart in the midst of something looks at a
//! moment that suits it.

use std::future::Future;

use futures::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Signals that this process no longer ends by.
pub(crate) struct Told(Vec<Signal>);

impl Told {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn by(kinds: impl IntoIterator<Item = SignalKind>) -> Result<Self, Failure> {
        kinds.into_iter().map(signal).collect::<Result<_, _>>().map(Self).map_err(Failure::internal)
    }

    /// Resolves when one of them came, also before the call.
    pub(crate) async fn told(&mut self) {
        select_all(self.0.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    }

    /// Does `work`; `None` when told to end before it is done.
    pub(crate) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.told() => None,
            done = work => Some(done),
        }
    }
}
