//! Who stands around the services: the shop in either build, and its partners. Each is a process of its own, this program started again, so that
//! its processor time is nobody else's; it ends when the benchmark does.

use std::io::Read as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use shadow_shop::{Build, Outbound, Partners, Shop};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::support::{free_port, until};

/// The first argument of such a process; its role, its address and its way out follow.
const PEER: &str = "as-peer";

/// A running peer; dropping it ends it.
pub(super) struct Peer {
    child: Child,
    /// `host:port`.
    pub(super) address: String,
}

impl Peer {
    /// The shop, whose checkouts leave through `way_out`.
    pub(super) async fn shop(build: Build, way_out: &str) -> Self {
        let role = if build == Build::Primary { "primary" } else { "candidate" };
        Self::start(role, &[way_out]).await
    }

    pub(super) async fn partners() -> Self {
        Self::start("partners", &[]).await
    }

    async fn start(role: &str, way_out: &[&str]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(std::env::current_exe().unwrap());
        let child = command.args([PEER, role, &address]).args(way_out).stdin(Stdio::piped()).spawn().unwrap();
        let peer = Self { child, address };
        until(role, || async { TcpStream::connect(&peer.address).is_ok().then_some(()) }).await;
        peer
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where the arguments ask for a peer, serves as that until standard input ends; gives whether they did.
pub(super) async fn served_as_peer() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [peer, role, address, way_out @ ..] = args.as_slice() else { return false };
    if peer != PEER {
        return false;
    }
    let (listener, stop) = (TcpListener::bind(address).await.unwrap(), CancellationToken::new());
    let serving = async {
        let shop = |build| match way_out.first() {
            Some(proxy) => Shop::new(build).calling(Outbound::through(proxy).unwrap()),
            None => Shop::new(build),
        };
        match role.as_str() {
            "partners" => Partners::default().serve(listener, stop.clone()).await,
            "primary" => shop(Build::Primary).serve(listener, stop.clone()).await,
            _ => shop(Build::Candidate).serve(listener, stop.clone()).await,
        }
    };
    let owned = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        served = serving => served.unwrap(),
        _ = owned => {}
    }
    true
}
