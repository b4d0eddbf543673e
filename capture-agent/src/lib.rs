//! The capture agent: a reverse proxy in front of the primary that publishes what passes, masked, without being felt.
//!
//! ```text
//! client -> edge -> proxy -> edge -> primary      hot path, on threads of its own: nothing else
//!                     | observe, tee               bounded copies
//!                     v
//!               shadow_capture                     sample, hand over; mask, publish; announce
//!                     ^ see
//! primary -> egress -> others                      its own calls, where they are to be seen
//! ```
//!
//! `edge` is how connections come in and go out, below HTTP; `proxy` relays what passes on them and shows it to the observer;
//! `pipeline` reads as the whole line. What lies behind the tee is a crate of its own, which the tower layer shares.
//!
//! Guarantees:
//! - **Production is never hurt.** No request waits for anything but the client and the primary: with Kafka absent, slow or dead
//!   the agent serves on (`tests/agent/kafka_away.rs`). What is not transparent is listed in `docs/proxy.md`.
//! - **Every request is accounted for** exactly once, on whatever path it ends (`proxy/tests.rs`).
//! - **Memory is bounded** per connection, and by `listen.connections`.

mod config;
mod edge;
mod egress;
#[doc(hidden)]
pub mod fuzzing;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "the listener is moved onto it next")]
mod metrics;
mod pipeline;
mod proxy;

use std::ffi::OsString;
use std::process::ExitCode;

use shadow_runtime::{Service, run_service};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Forwarded, Protocol};
pub use edge::config::{Announce, Announced, ListenSection, PrimarySection};
pub use egress::config::EgressSection;
pub use pipeline::Agent;
pub use shadow_capture::{Account, CaptureSection, DropReason, Exclusion, SamplingConfig, ServiceSection, Threshold};

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
