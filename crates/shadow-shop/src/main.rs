//! The shop as a program, for deployments of the demo: either build, the partners, or the clients, each in a container of its own.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use shadow_runtime::{exit, lifecycle};
use shadow_shop::{Build, Load, LoadReport, Outbound, Partners, Shop};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The demo's service: a small shop in two builds, its partners, and its clients
#[derive(Debug, Parser)]
#[command(name = "shadow-shop", version)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serve one build of the shop until SIGTERM
    Serve {
        /// Which build
        #[arg(long, value_enum)]
        build: Version,
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
        listen: SocketAddr,
        /// The proxy through which checkouts call their partners; without one they call nobody
        #[arg(long, value_name = "URL")]
        outbound: Option<String>,
        /// Add what differs between any two answers of most services, this name among it
        #[arg(long, value_name = "NAME")]
        pod: Option<String>,
    },
    /// Serve whom checkouts call, a payment provider and a mail service, until SIGTERM
    Partners {
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3001")]
        listen: SocketAddr,
    },
    /// Send the clients' mix of requests; exit 0 when each had an answer
    Load {
        /// Where to, as http://HOST:PORT
        #[arg(long, value_name = "URL")]
        target: String,
        /// How many requests
        #[arg(long, value_name = "N", default_value_t = 2_000)]
        requests: u64,
        /// How many a second
        #[arg(long, value_name = "R", default_value = "100")]
        rate: NonZeroU32,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Version {
    /// The live one
    Primary,
    /// The next one, with seeded regressions
    Candidate,
}

impl From<Version> for Build {
    fn from(version: Version) -> Self {
        match version {
            Version::Primary => Self::Primary,
            Version::Candidate => Self::Candidate,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().role).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("shadow-shop: {error:#}"));
            ExitCode::from(exit::FAILURE)
        }
    }
}

async fn run(role: Role) -> anyhow::Result<ExitCode> {
    let stop = lifecycle::shutdown_on_signal()?;
    match role {
        Role::Serve { build, listen, outbound, pod } => {
            let shop = Shop::new(build.into());
            // Once, for the life of the process.
            let shop = pod.into_iter().fold(shop, |shop, pod| shop.volatile(pod.leak()));
            let shop = match outbound {
                Some(proxy) => shop.calling(Outbound::through(&proxy)?),
                None => shop,
            };
            shop.serve(TcpListener::bind(listen).await?, stop).await?;
        }
        Role::Partners { listen } => Partners::default().serve(TcpListener::bind(listen).await?, stop).await?,
        Role::Load { target, requests, rate } => return send(&target, requests, rate, stop).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn send(target: &str, requests: u64, rate: NonZeroU32, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let mut load = Load::new(target)?;
    (load.requests, load.rate) = (requests, rate);
    let LoadReport { sent, succeeded, failed, first_failure, .. } = load.run(stop, |_| {}).await;
    say(&format!("sent {sent}, answered {succeeded}, failed {failed} {}", first_failure.unwrap_or_default()));
    Ok(ExitCode::from(if failed == 0 { exit::OK } else { exit::FAILURE }))
}

#[expect(clippy::print_stderr, reason = "a program of the demo, which has no log")]
fn say(text: &str) {
    eprintln!("{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
