//! A service that captures itself.
//!
//! ```text
//! cargo run -p shadow-capture-layer --example axum -- capture.toml
//! ```
//!
//! where `capture.toml` has at least `service.name`, `layer.addresses`, `masking.key` and `kafka.brokers`.

use anyhow::Context as _;
use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("name a configuration file")?;
    let config = shadow_capture_layer::Config::load(file)?;
    let capture = shadow_capture_layer::start(config).await?;

    let order = |Path(id): Path<u64>| async move { Json([id]) };
    let app: Router = Router::new().route("/orders/{id}", get(order)).layer(capture.layer());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, app).with_graceful_shutdown(interrupted).await?;

    // The server and with it the layer are gone: what is still waiting is published now.
    let account = capture.finish().await;
    anyhow::ensure!(account.balances(), "every request is accounted for: {account:?}");
    Ok(())
}
