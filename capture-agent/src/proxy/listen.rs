//! Accepts connections and sees them off.
//!
//! Guarantee: from the stop on no connection is accepted, idle ones close, busy ones finish their request or are cut when the
//! drain time is over; then nothing of the hot path is left.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Proxy;
use crate::config::ListenSection;

/// Pause after a failed accept, so that running out of file descriptors does not become a busy loop.
const BREATH: Duration = Duration::from_millis(20);

/// Serves until `shutdown`, then drains.
pub(crate) async fn serve(listener: TcpListener, proxy: Proxy, config: &ListenSection, shutdown: CancellationToken) {
    let proxy = Arc::new(proxy);
    let server = Arc::new(builder(config));
    let graceful = GracefulShutdown::new();
    let tasks = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection =
                    Link { proxy: proxy.clone(), server: server.clone(), tasks: tasks.clone(), cut: cut.clone() };
                tasks.spawn(connection.run(stream, peer, graceful.watcher()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    tracing::info!(connections = graceful.count(), "no longer accepting; finishing what is open");
    if timeout(config.drain.get(), graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open when the drain time was over; cutting them");
    }
    cut.cancel();
    tasks.close();
    tasks.wait().await;
}

fn builder(config: &ListenSection) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header.get())
        .auto_date_header(false)
        .preserve_header_case(true);
    builder.http2().timer(TokioTimer::new()).auto_date_header(false).adaptive_window(true);
    builder
}

/// One client connection.
struct Link {
    proxy: Arc<Proxy>,
    server: Arc<auto::Builder<TokioExecutor>>,
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Link {
    async fn run(self, stream: TcpStream, peer: SocketAddr, watcher: hyper_util::server::graceful::Watcher) {
        // Only latency is lost without it.
        let _ = stream.set_nodelay(true);
        let Self { proxy, server, tasks, cut } = self;
        let stop = cut.clone();
        let service = service_fn(move |request| {
            let (proxy, tasks, stop) = (proxy.clone(), tasks.clone(), stop.clone());
            async move { Ok::<_, Infallible>(proxy.forward(request, peer, &tasks, stop).await) }
        });
        let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        tokio::select! {
            () = cut.cancelled() => {}
            outcome = watcher.watch(connection) => if let Err(error) = outcome {
                tracing::debug!(error, "a client connection ended");
            },
        }
    }
}
