//! A comparator of a test's own, to be stopped, killed and asked what it counts.

use std::net::SocketAddr;
use std::time::Duration;

use comparator::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A comparator.
pub(crate) struct Running {
    ended: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    admin: SocketAddr,
}

impl Running {
    pub(crate) fn of(mut config: Config) -> Self {
        // A port that nothing listened on a moment ago.
        let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        config.admin.listen = admin;
        let stop = CancellationToken::new();
        Self { ended: tokio::spawn(comparator::run(config, stop.clone())), stop, admin }
    }

    /// What it has counted as settled, in order: `outcome="completed",result="matched"} 3`.
    pub(crate) async fn counted(&self) -> Vec<String> {
        let mut connection = TcpStream::connect(self.admin).await.unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        // A family without a series is not shown.
        assert!(answer.contains("shadow_compare_rows"), "{answer}");
        let settled = answer.lines().filter_map(|line| line.strip_prefix("shadow_compare_settled_total{"));
        let mut settled: Vec<_> = settled.map(|line| line.split_once(',').unwrap().1.to_owned()).collect();
        settled.sort_unstable();
        settled
    }

    /// Waits until it has counted this, a moment after the rows are there.
    pub(crate) async fn until_counted(&self, wanted: &[&str]) {
        let mut polls = tokio::time::interval(Duration::from_millis(50));
        let mut counted = Vec::new();
        for _ in 0..600 {
            polls.tick().await;
            counted = self.counted().await;
            if counted == wanted {
                return;
            }
        }
        panic!("counted {counted:?} instead of {wanted:?}");
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }

    /// Ends it wherever it is.
    pub(crate) async fn die(self) {
        self.ended.abort();
        let _ = self.ended.await;
        self.stop.cancel();
    }
}
