//! The capture agent: a reverse proxy in front of the primary that publishes what passes, masked, without being felt.
//!
//! ```text
//! client -> proxy -> primary            hot path: nothing else
//!             | tee                     bounded copies of both bodies
//!             | sample -> observe       one raw exchange when all has passed, or broken off
//!             v handover                one try_send; full = counted drop
//!           mask -> publish             own threads; Kafka's queue full = counted drop
//!             v
//!     shadow.captured.<service>         key = HMAC(session), else of the request ID
//! ```
//!
//! The files carry the names of the steps, and `pipeline` reads as the whole line. Beside the line, `announce` publishes
//! heartbeats and where production is, and pauses every launch when a replayed request comes in.
//!
//! Guarantees:
//! - **Production is never hurt.** No request waits for anything behind the hand-over: with Kafka absent, slow or dead the agent
//!   serves on (`tests/agent/kafka_away.rs`). What is not transparent is listed in `docs/proxy.md`.
//! - **Nothing raw leaves.** Only `mask` sees a raw exchange after the hand-over, and only masked records go further.
//! - **Every request is accounted for** exactly once, on whatever path it ends (`ledger`, `proxy/tests.rs`).
//! - **Memory is bounded** by `capture.budget`, `capture.queue` and `capture.outbox`.

mod config;
mod pipeline;
mod proxy;

use std::ffi::OsString;
use std::process::ExitCode;

use shadow_runtime::{Service, run_service};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Forwarded, ListenSection, PrimarySection, Protocol, ServiceSection};
pub use pipeline::Agent;
pub use shadow_capture::{Account, CaptureSection, DropReason, Exclusion, SamplingConfig};

/// The command: parses the arguments, loads the configuration, runs until a signal.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let service = Service {
        name: "capture-agent",
        about: "Forwards production traffic and publishes it masked, off the hot path.",
        version: env!("CARGO_PKG_VERSION"),
        example: config::EXAMPLE,
    };
    run_service(service, args, run)
}

/// Runs an agent until `shutdown`, then drains it.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let account = Agent::start(config, shutdown).await?.finish().await;
    let (dropped, left) = (account.dropped_total(), account.in_flight);
    tracing::info!(seen = account.seen, acknowledged = account.acknowledged, dropped, left, "drained");
    Ok(())
}
