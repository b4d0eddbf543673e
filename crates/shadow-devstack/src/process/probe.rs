//! Whether a starting server answers yet: a question asked of its own protocol, never a fixed wait.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kafka::topics;

/// How long one answer may take: a server that takes longer is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The question that a ready server answers.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// ClickHouse's `GET /ping` on this loopback port.
    ClickHousePing(u16),
    /// A metadata request to the broker on this loopback port that names a broker.
    KafkaMetadata(u16),
}

impl Probe {
    pub(crate) async fn answers(&self) -> bool {
        match *self {
            Self::ClickHousePing(port) => timeout(PATIENCE, pings(port)).await.is_ok_and(|answer| answer.is_ok()),
            Self::KafkaMetadata(port) => {
                // A refused connection is cheap; the client, which would retry on its own, is made after that.
                timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await.is_ok_and(|open| open.is_ok())
                    && topics::has_broker(format!("127.0.0.1:{port}"), PATIENCE).await
            }
        }
    }
}

/// One HTTP exchange by hand: a client library would be the crate's heaviest dependency.
async fn pings(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"GET /ping HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.") && answer.ends_with(b"Ok.\n") {
        Ok(())
    } else {
        Err(std::io::Error::other("not ClickHouse"))
    }
}
