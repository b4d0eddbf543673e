//! Accepts connections, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Before the next attempt when there is no file descriptor left.
const BREATH: Duration = Duration::from_millis(50);

/// Hands each connection to `handle` until `stop`, which also ends those under way. Beyond `most` they wait to be accepted.
pub(crate) async fn accept<F>(
    listener: TcpListener,
    most: usize,
    stop: CancellationToken,
    handle: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    let tasks = TaskTracker::new();
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!(%error, "connection not accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            },
        };
        let (handled, stop) = (handle(stream), stop.clone());
        tasks.spawn(async move {
            tokio::select! { () = stop.cancelled() => {} () = handled => {} }
            drop(place);
        });
    }
    tasks.close();
    tasks.wait().await;
}
