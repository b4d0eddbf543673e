//! A way to a server that can be cut.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards connections from a port of its own.
pub(crate) struct Forwarder {
    pub(crate) address: SocketAddr,
    to: SocketAddr,
    running: Option<JoinSet<()>>,
}

impl Forwarder {
    /// A port of its own on which nothing listens yet.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        Self { address, to, running: None }
    }

    /// Forwards from now on.
    pub(crate) async fn join(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let to = self.to;
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        self.running = Some(running);
    }

    /// Ends every connection and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.shutdown().await;
        }
    }
}
