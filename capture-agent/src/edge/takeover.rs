//! Hot restart: the listening socket goes from the running agent to the next one, so that no connection is refused or lost.
//!
//! ```text
//! new: Claim::ask      takeover 1 <address>  ->
//! old: Offer           makes way (admin)     <-  yes + the listening socket
//! new: starts fully; both accept
//! new: Claim::serving  serving               ->
//! old: frees the path                        <-  (closes)
//! old: stops accepting and drains                new: Offer::bind, for the one after it
//! ```
//!
//! Guarantees: the socket is open in at least one agent throughout, so the kernel's queue survives. A new agent that dies before
//! it says `serving` leaves the old one accepting. Only processes of the same user are spoken to.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;

mod claim;
mod offer;
#[cfg(test)]
mod tests;

pub(crate) use claim::Claim;
pub(crate) use offer::Offer;

/// The first words of a claim; the number is the protocol's version.
const CLAIM: &str = "takeover 1 ";
/// The answer that the socket comes with. Any other is the reason why it does not come.
const YES: &str = "yes";
const SERVING: &str = "serving";

/// No message is longer.
const MAX_LINE: usize = 256;
/// For the other side's next message, where it has nothing to do first.
const PROMPT: Duration = Duration::from_secs(5);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeoverError {
    /// The path cannot be used.
    #[error("cannot listen on `{}`: {source}; choose another listen.takeover", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// Something else is there.
    #[error("`{}` is not a socket; choose another listen.takeover", _0.display())]
    NotASocket(PathBuf),
    /// An agent that is still running is there.
    #[error("another agent answers on `{}`; stop it, or choose another listen.takeover", _0.display())]
    InUse(PathBuf),
    /// The other side belongs to someone else.
    #[error("the other process runs as user {theirs}, this one as user {ours}")]
    Stranger {
        /// Their user.
        theirs: u32,
        /// Our user.
        ours: u32,
    },
    /// The other side broke off, which is what dying looks like.
    #[error("the other process has gone")]
    Gone,
    /// The other side is silent.
    #[error("the other process does not answer")]
    Silent,
    /// The other side says no.
    #[error("the other process refused: {0}")]
    Refused(String),
    /// The other side wants what we do not have.
    #[error("it listens on {listening}, not on {wanted}")]
    Elsewhere {
        /// Where the running agent listens.
        listening: SocketAddr,
        /// Where the new one wants to.
        wanted: SocketAddr,
    },
    /// The other side says what it should not.
    #[error("the other process does not speak this protocol; the two versions do not fit together")]
    Unknown,
    /// The connection between the two broke.
    #[error("the connection to the other process broke: {0}")]
    Broken(#[from] io::Error),
}

/// Refuses other users' processes. Root's too: it may do as it likes, but hardly means to do this.
fn same_user(stream: &UnixStream) -> Result<(), TakeoverError> {
    let theirs = stream.peer_cred()?.uid();
    let ours = rustix::process::geteuid().as_raw();
    if theirs == ours { Ok(()) } else { Err(TakeoverError::Stranger { theirs, ours }) }
}

/// One line, without its end.
async fn read_line(stream: &mut UnixStream) -> Result<String, TakeoverError> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        match stream.read(&mut byte).await? {
            0 => return Err(TakeoverError::Gone),
            _ if byte == *b"\n" => return String::from_utf8(line).map_err(|_| TakeoverError::Unknown),
            _ if line.len() == MAX_LINE => return Err(TakeoverError::Unknown),
            _ => line.push(byte[0]),
        }
    }
}

/// Sends [`YES`] with the socket attached.
async fn send_socket(stream: &UnixStream, socket: &OwnedFd) -> Result<(), TakeoverError> {
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        let sockets = [socket.as_fd()];
        assert!(attached.push(SendAncillaryMessage::ScmRights(&sockets)), "the space is for one");
        let text = [IoSlice::new(YES.as_bytes()), IoSlice::new(b"\n")];
        Ok(sendmsg(stream, &text, &mut attached, SendFlags::NOSIGNAL)?)
    });
    // So few bytes go as one.
    if sent.await? == YES.len() + 1 { Ok(()) } else { Err(TakeoverError::Gone) }
}

/// Receives an answer and the socket attached to it, if any.
async fn receive_socket(stream: &UnixStream) -> Result<(String, Option<TcpListener>), TakeoverError> {
    let mut text = [0; MAX_LINE];
    let (len, socket) = stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut attached = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut text)];
            let received = recvmsg(stream, &mut parts, &mut attached, RecvFlags::CMSG_CLOEXEC)?;
            let sockets = attached.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
                _ => None,
            });
            Ok((received.bytes, sockets.flatten().next()))
        })
        .await?;
    let answer = match std::str::from_utf8(&text[..len]).map(str::trim_end) {
        Ok("") => return Err(TakeoverError::Gone),
        Ok(answer) => answer.to_owned(),
        Err(_) => return Err(TakeoverError::Unknown),
    };
    Ok((answer, socket.map(TcpListener::from)))
}
