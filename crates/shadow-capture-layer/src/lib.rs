//! Lets a Rust service capture its own traffic in its own process, where an agent in front of it is not wanted.
//!
//! ```text
//! server (axum, tonic, hyper)
//!   | CaptureLayer                  sees the request, tees both bodies, hands the exchange over
//!   v
//! your service                      as without the layer
//! ```
//!
//! Everything behind the tee is the capture agent's: sampling, masking on threads of lower priority, Kafka, the account of every
//! request, the watchdog (`shadow_capture`). The records differ in one word: their source is `sdk`.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = shadow_capture_layer::Config::load("capture.toml")?.address("checkout.internal:3000");
//! let capture = shadow_capture_layer::start(config).await?;
//!
//! let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(capture.layer());
//! let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await?;
//! axum::serve(listener, app).await?;
//!
//! let account = capture.finish().await;
//! assert!(account.balances());
//! # Ok(())
//! # }
//! ```
//!
//! Guarantees:
//! - **The service is not changed by it.** Bodies stream as they come, trailers included; no request waits for capturing; a panic in
//!   here costs a record, never a request; a panic or an error of the service is the service's own, and its request is accounted for.
//! - **Nothing raw leaves the process**, and memory is bounded by the keys of `[capture]`.
//! - **Every request that reached the layer is accounted for** exactly once.

mod config;
mod layer;
mod running;

pub use config::{Config, LayerSection, Scheme};
pub use layer::{CaptureLayer, Captured, RequestBody, ResponseBody, ResponseFuture};
pub use running::{Capturing, StartError, start};
pub use shadow_capture::{Account, CaptureSection, DropReason, Exclusion, SamplingConfig, ServiceSection, Threshold};
pub use shadow_kafka::KafkaConfig;
pub use shadow_runtime::{ConfigError, MaskingConfig, Problem, Secret};
