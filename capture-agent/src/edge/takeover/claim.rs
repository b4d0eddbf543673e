//! The new agent's side.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{CLAIM, PROMPT, SERVING, TakeoverError, YES, read_line, receive_socket, same_user};

/// For the running agent to make way and send the socket.
const ANSWER: Duration = Duration::from_secs(15);

/// A listening socket, taken from an agent that still accepts from it too.
#[derive(Debug)]
pub(crate) struct Claim {
    listener: TcpListener,
    old: UnixStream,
}

impl Claim {
    /// Asks the agent at `path` for its socket. `None`, with a line in the log, when there is none that gives it: then bind
    /// `address` as usual. A port of 0 takes whichever port the running agent has.
    pub(crate) async fn ask(path: &Path, address: SocketAddr) -> Option<Self> {
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                tracing::info!(path = %path.display(), "no agent to take over from");
                return None;
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot ask the running agent for its socket");
                return None;
            }
        };
        match timeout(ANSWER, Self::negotiate(stream, address)).await.unwrap_or(Err(TakeoverError::Silent)) {
            Ok(claim) => Some(claim),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the running agent does not hand over its socket");
                None
            }
        }
    }

    async fn negotiate(mut old: UnixStream, address: SocketAddr) -> Result<Self, TakeoverError> {
        same_user(&old)?;
        old.write_all(format!("{CLAIM}{address}\n").as_bytes()).await?;
        match receive_socket(&old).await? {
            (answer, Some(listener)) if answer == YES => {
                listener.set_nonblocking(true)?;
                tracing::info!(address = %listener.local_addr()?, "took over the running agent's socket");
                Ok(Self { listener, old })
            }
            (answer, None) if answer != YES => Err(TakeoverError::Refused(answer)),
            _ => Err(TakeoverError::Unknown),
        }
    }

    /// The socket, non-blocking. Accept from it at any time from now on.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub(crate) fn listener(&self) -> io::Result<TcpListener> {
        self.listener.try_clone()
    }

    /// Tells the old agent that this one serves: it stops accepting and drains. Call it when everything has started; then bind
    /// an [`Offer`](super::Offer). Dropping the claim instead leaves the old one in charge, so stop accepting before that.
    pub(crate) async fn serving(self) {
        let Self { mut old, .. } = self;
        let farewell = async {
            old.write_all(format!("{SERVING}\n").as_bytes()).await?;
            // It frees the path, then closes.
            match read_line(&mut old).await {
                Err(TakeoverError::Gone) => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(TakeoverError::Unknown),
            }
        };
        match timeout(PROMPT, farewell).await.unwrap_or(Err(TakeoverError::Silent)) {
            Ok(()) => tracing::info!("the old agent drains"),
            Err(error) => {
                tracing::warn!(%error, "the old agent may not have heard that this one serves; see that it ends")
            }
        }
    }
}
