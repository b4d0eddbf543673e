//! The connections of the admin endpoint, each bounded in headers, time and number.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// More connections than this wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 64;
/// A request's head: all that is ever read of it.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// For a request's head to arrive; also how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After this a connection is asked to end, so that none is held for ever; scrapers connect again.
const MAX_AGE: Duration = Duration::from_secs(60);
/// For the answer under way when a connection is asked to end.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// Accepts until `shutdown`, then lets the answers under way finish.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: the next try would fail at once again.
                    tracing::warn!(%error, "admin endpoint cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (router, shutdown) = (router.clone(), shutdown.clone());
        connections.spawn(async move {
            converse(stream, router, shutdown).await;
            drop(slot);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn converse(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => last_answer(connection).await,
        () = tokio::time::sleep(MAX_AGE) => last_answer(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "admin connection ended");
    }
}

type Connection = http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

async fn last_answer(mut connection: std::pin::Pin<&mut Connection>) -> hyper::Result<()> {
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
}
