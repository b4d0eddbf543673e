//! Kafka and ClickHouse without Docker, for the demo, the tests and the benchmarks.
//!
//! [`Devstack::builder`] fetches what is missing (once, into the user's cache), starts an Apache Kafka broker and a
//! ClickHouse server on loopback, and waits until both answer:
//!
//! ```text
//! owner (shadowctl, a test) ── stdin pipe ──> launcher supervise ──> java kafka.Kafka        (KRaft, one broker)
//!                           └─ stdin pipe ──> launcher supervise ──> launcher clickhouse …   (loads libchdb)
//!                                                                or  clickhouse local …      (when on PATH)
//! ```
//!
//! **Guarantee**: no process and no temporary file outlives the owner. Dropping the [`Devstack`] kills both servers and
//! waits for them. If the owner dies without dropping anything (`kill -9`), the pipes close, and each supervisor ends
//! its server and removes the temporary data. If the supervisor is killed too, the kernel ends the server.
//!
//! # What an owner must do
//! The launcher is a mode of the owner's own executable, so that one binary is enough. A program that starts a stack
//! hands control over at the top of `main`, before it parses its arguments or starts a runtime:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     if let Some(code) = shadow_devstack::launcher_requested() {
//!         return code;
//!     }
//!     // ... the program itself, which may now call Devstack::builder().start()
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! A test binary has no `main` of its own: its package needs a small `[[bin]]` whose `main` is
//! `shadow_devstack::launcher_main()`, and passes `env!("CARGO_BIN_EXE_…")` to [`DevstackBuilder::launcher`].
//!
//! # Real servers elsewhere
//! `SHADOW_KAFKA_BROKERS` and `SHADOW_CLICKHOUSE_URL` name servers that are already running; the stack then starts
//! nothing in their place, and kills nothing.

mod cache;
mod clickhouse;
mod error;
mod kafka;
mod launcher;
mod ports;
mod process;
mod progress;
mod stack;

pub use error::{DevstackError, StartFailure};
pub use kafka::security::{KafkaSecurity, SecureBrokers};
pub use kafka::{KafkaChoice, KafkaKind};
pub use launcher::{LAUNCHER_ARG, launch_clickhouse, launcher_main, launcher_requested};
pub use process::ServerProcess;
pub use progress::Progress;
pub use stack::{Devstack, DevstackBuilder};
