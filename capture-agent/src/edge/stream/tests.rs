//! What HTTP relies on, over real sockets.

use std::io::{ErrorKind, IoSlice};

use futures::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};

use super::Stream;
use crate::edge::tls::ServerTls;
use crate::edge::tls::tests::{Authority, sockets};

async fn plain() -> (Stream, Stream) {
    let (near, far) = sockets().await;
    (Stream::Tcp(near), Stream::Tcp(far))
}

async fn encrypted() -> (Stream, Stream) {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    let client = authority.client("shop.test", &[]);
    let (near, far) = sockets().await;
    let (near, far) = tokio::join!(client.connect(near), server.accept(far));
    (near.unwrap(), far.unwrap())
}

#[tokio::test]
async fn readable_waits_for_data_and_not_longer() {
    for (mut near, mut far) in [plain().await, encrypted().await] {
        assert!(far.readable().now_or_never().is_none(), "nothing was sent");
        near.write_all(b"two words").await.unwrap();
        far.readable().await.unwrap();
        let mut word = [0; 4];
        far.read_exact(&mut word).await.unwrap();
        // The rest has left the socket with TLS, but is there.
        far.readable().await.unwrap();
        far.read_exact(&mut word).await.unwrap();
        far.readable().await.unwrap();
        assert_eq!(far.read(&mut word).await.unwrap(), 1);
        near.shutdown().await.unwrap();
        far.readable().await.unwrap();
        assert_eq!(far.read(&mut word).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_server_awaiting_its_first_request_over_tls_holds_no_early_wakeup() {
    let (_near, far) = encrypted().await;
    assert!(far.is_tls() && far.readable().now_or_never().is_none());
}

#[tokio::test]
async fn a_reset_reaches_the_other_end_as_an_error() {
    for (near, mut far) in [plain().await, encrypted().await] {
        near.reset();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn an_orderly_end_reaches_the_other_end_as_such() {
    for (mut near, mut far) in [plain().await, encrypted().await] {
        near.write_all(b"bye").await.unwrap();
        near.shutdown().await.unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"bye");
        // And the other direction is still open.
        far.write_all(b"bye").await.unwrap();
        far.shutdown().await.unwrap();
        all.clear();
        near.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"bye");
    }
}

#[tokio::test]
async fn several_buffers_go_as_one_write() {
    for (mut near, mut far) in [plain().await, encrypted().await] {
        assert!(near.is_write_vectored());
        let sent = near.write_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]).await.unwrap();
        near.flush().await.unwrap();
        assert_eq!(sent, 8);
        let mut all = [0; 8];
        far.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"headbody");
    }
}
