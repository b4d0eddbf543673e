//! What every service shares, so that the three behave alike at start, at work and at the end.
//!
//! The order in which a service uses it is the order of its `main`:
//!
//! 1. [`run_service`] parses the flags and [`config::load`]s the layers: TOML file < environment < `--set`.
//! 2. [`telemetry::init`] starts the log; [`lifecycle::shutdown_on_signal`] turns the first signal into a token.
//! 3. [`metrics::registry`] and [`admin::Admin`] make the instance observable and pausable from outside.
//! 4. The pipeline of the service runs until it ends or the token is cancelled; [`exit`] maps what happened to a code.
//!
//! Guarantees: an unknown key never passes silently; a [`Secret`] never reaches a log, a `Debug` output or `/config`; the admin
//! endpoint is never reachable from another host without a token.

pub mod admin;
mod alias;
pub mod config;
pub mod exit;
mod health;
mod instance;
pub mod lifecycle;
mod masking;
pub mod metrics;
mod secret;
mod service;
pub mod telemetry;
pub mod units;

pub use alias::Alias;
pub use config::{ConfigError, Problem, ServiceArgs, ServiceConfig};
pub use exit::Unreachable;
pub use instance::{Instance, InvalidInstance};
pub use masking::{MaskingConfig, MaskingMetrics, masking_counters};
pub use secret::Secret;
pub use service::{Service, run_service};
