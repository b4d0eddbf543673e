//! The running agent's side.

use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::{CLAIM, MAX_LINE, PROMPT, SERVING, TakeoverError, read_line, same_user, send_socket};

/// Pause after a failed accept, so that running out of file descriptors does not become a busy loop.
const BREATH: Duration = Duration::from_millis(100);

/// The offer of this agent's listening socket to the next one. It keeps the socket open: drop it when accepting ends, or
/// the kernel goes on queueing connections for nobody.
#[derive(Debug)]
pub(crate) struct Offer {
    // Dropped first: a file whose socket is closed would be taken for a dead agent's.
    _file: SocketFile,
    door: UnixListener,
    socket: OwnedFd,
    address: SocketAddr,
}

impl Offer {
    /// Waits at `path` from now on. A socket that a dead agent left there is removed.
    ///
    /// # Errors
    /// [`TakeoverError`]: the agent can serve all the same, but not be taken over from.
    pub(crate) async fn bind(path: &Path, listener: &impl AsFd) -> Result<Self, TakeoverError> {
        let failed = |source| TakeoverError::Path { path: path.to_owned(), source };
        clear(path).await?;
        let door = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile::of(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        let listener = TcpListener::from(listener.as_fd().try_clone_to_owned()?);
        let address = listener.local_addr()?;
        Ok(Self { _file: file, door, socket: listener.into(), address })
    }

    /// Resolves when a new agent serves from the same socket: stop accepting then, and drain. Until then go on accepting.
    ///
    /// `make_way` is called, and waited for, before the socket is given away: it must free what the new agent needs, such as the
    /// admin endpoint's port. It is called again if that agent dies and another comes.
    pub(crate) async fn handed_over<F, Fut>(self, mut make_way: F)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = ()>,
    {
        loop {
            let claimant = match self.door.accept().await {
                Ok((claimant, _)) => claimant,
                Err(error) => {
                    tracing::warn!(%error, "cannot be asked for the listening socket");
                    sleep(BREATH).await;
                    continue;
                }
            };
            match self.hand_over(claimant, &mut make_way).await {
                Ok(new) => {
                    // The path is free before the new agent is told so, by closing.
                    drop(self);
                    drop(new);
                    tracing::info!("a new agent serves from now on");
                    return;
                }
                Err(error) => tracing::warn!(%error, "a new agent did not take over; this one goes on serving"),
            }
        }
    }

    async fn hand_over<F, Fut>(&self, mut new: UnixStream, make_way: &mut F) -> Result<UnixStream, TakeoverError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = ()>,
    {
        let claim = async {
            same_user(&new)?;
            self.check(&read_line(&mut new).await?)
        };
        if let Err(error) = timeout(PROMPT, claim).await.unwrap_or(Err(TakeoverError::Silent)) {
            let mut answer = error.to_string();
            answer.truncate(MAX_LINE - 1);
            answer.push('\n');
            // It may have gone, and need not know.
            let _ = timeout(PROMPT, new.write_all(answer.as_bytes())).await;
            return Err(error);
        }
        tracing::info!("a new agent takes over; closing the admin endpoint");
        make_way().await;
        send_socket(&new, &self.socket).await?;
        // As long as it takes to start: if it dies, the connection ends. This agent accepts all the while.
        match read_line(&mut new).await?.as_str() {
            SERVING => Ok(new),
            _ => Err(TakeoverError::Unknown),
        }
    }

    fn check(&self, claim: &str) -> Result<(), TakeoverError> {
        let wanted: Option<SocketAddr> = claim.strip_prefix(CLAIM).and_then(|address| address.parse().ok());
        let (wanted, listening) = (wanted.ok_or(TakeoverError::Unknown)?, self.address);
        let same = wanted.ip() == listening.ip() && (wanted.port() == 0 || wanted.port() == listening.port());
        if same { Ok(()) } else { Err(TakeoverError::Elsewhere { listening, wanted }) }
    }
}

/// Removes what a dead agent left.
async fn clear(path: &Path) -> Result<(), TakeoverError> {
    let failed = |source| TakeoverError::Path { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(TakeoverError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        // Whatever else it says, somebody is there.
        _ => Err(TakeoverError::InUse(path.to_owned())),
    }
}

/// The socket's file, removed when dropped unless it has become someone else's.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            // A file left behind is removed by the next agent.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}
