//! The end of a service: the first signal asks for an orderly stop, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit;

/// A token that is cancelled by the first SIGINT or SIGTERM. A second one ends the process with code 130, whatever still runs.
///
/// Call it inside the runtime, once.
///
/// # Errors
/// When the operating system refuses the handlers.
pub fn shutdown_on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        let name = tokio::select! { _ = interrupt.recv() => "SIGINT", _ = terminate.recv() => "SIGTERM" };
        tracing::info!(signal = name, "stopping; a second signal ends at once");
        token.cancel();
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        tracing::info!("second signal: ending at once");
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
    Ok(shutdown)
}
