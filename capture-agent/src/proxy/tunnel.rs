//! Upgraded connections: once the primary agrees to switch protocols, bytes pass both ways until either side ends.

use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Joins the two connections behind a `101 Switching Protocols`. Ends with `stop` at the latest.
pub(super) fn join(client: OnUpgrade, response: &mut Response<Incoming>, tasks: &TaskTracker, stop: CancellationToken) {
    let primary = hyper::upgrade::on(response);
    tasks.spawn(async move {
        let joined = async {
            let (client, primary) = tokio::try_join!(client, primary)?;
            copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(primary)).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        tokio::select! {
            () = stop.cancelled() => {}
            outcome = joined => if let Err(error) = outcome {
                tracing::debug!(%error, "a tunnel ended");
            },
        }
    });
}
