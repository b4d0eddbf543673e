//! Nothing is held back, and nothing is piled up: each end's bytes reach the other before more are sent, and a side that does
//! not read stops the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::conversation::{Delivery, How, PATIENCE, Stage, difference, hear, say, talk};
use crate::support::{Running, run};

const GET: &[u8] = b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn an_event_reaches_the_client_before_the_next_is_sent() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        // `play` sends a turn only when the one before it was heard.
        let script = talk("server-sent events")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .origin("9\r\ndata: 1\n\n\r\n")
            .origin("3\r\nda")
            .origin("t\r\n6\r\na: 2\n\n\r\n")
            .origin("0\r\n\r\n")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            .origin("data: 1\n\n")
            .origin("d")
            .origin("ata: 2\n\n")
            .origin_closes();
        let record = stage.play(running.address(), &script, Delivery::Whole).await;
        assert_eq!(difference(&script, &script.ideal(&record), &record), None);
        assert_eq!(record.last().unwrap().how, How::Closed);
        assert_eq!(running.stop().await.seen, 2);
    });
}

#[test]
fn an_upload_reaches_the_primary_as_it_is_sent() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let script = talk("an upload in parts")
            .client("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n")
            .client("aaaa")
            .client("b")
            .client("bbbcccc")
            .origin("HTTP/1.1 204 No Content\r\n\r\n")
            .client("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            .client("2\r\na")
            .client("b")
            .client("\r\n0\r\n\r\n")
            .origin("HTTP/1.1 204 No Content\r\n\r\n")
            .requests(2);
        let record = stage.play(running.address(), &script, Delivery::Whole).await;
        assert_eq!(difference(&script, &script.ideal(&record), &record), None);
        assert_eq!(running.stop().await.seen, 2);
    });
}

/// What a whole line of sockets may hold while nobody reads at its end: on each of two connections a send and a receive buffer
/// as large as the kernel lets them grow, and the agent's own buffer.
fn line_holds() -> u64 {
    let most = |name: &str| -> u64 {
        let limits = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        limits.split_whitespace().last().unwrap().parse().unwrap()
    };
    2 * (most("tcp_rmem") + most("tcp_wmem")) + (1 << 20)
}

/// Writes until the other side takes no more for a while, or `all` is written; the count so far is in `pushed`. The while is
/// not asserted: a longer pause of the machine only makes the test see less.
async fn push(mut writer: impl tokio::io::AsyncWrite + Unpin, all: u64, pushed: Arc<AtomicU64>) {
    let block = vec![b'x'; 256 << 10];
    while pushed.load(Ordering::Relaxed) < all {
        let room = block.len().min((all - pushed.load(Ordering::Relaxed)) as usize);
        let Ok(written) = writer.write(&block[..room]).await else { return };
        pushed.fetch_add(written as u64, Ordering::Relaxed);
    }
    // Held open: the reader decides when it has enough.
    std::future::pending::<()>().await;
}

/// Waits until `pushed` stands still, then takes everything and checks at every step that the line held no more than it may.
async fn drain_slowly(mut reader: impl tokio::io::AsyncRead + Unpin, all: u64, pushed: Arc<AtomicU64>) {
    let holds = line_holds();
    let mut before = u64::MAX;
    while before != pushed.load(Ordering::Relaxed) {
        before = pushed.load(Ordering::Relaxed);
        // Nothing to read from meanwhile, so that this is the pause it looks like.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), std::future::pending::<()>()).await;
    }
    assert!(before < all, "everything was taken while nobody read: {before} bytes");
    let mut buffer = vec![0; 64 << 10];
    let mut taken = 0;
    while taken < all {
        let lead = pushed.load(Ordering::Relaxed).saturating_sub(taken);
        assert!(lead <= holds, "{lead} bytes are under way, and the sockets hold {holds}");
        taken += tokio::time::timeout(PATIENCE, reader.read(&mut buffer)).await.unwrap().unwrap() as u64;
    }
}

#[test]
fn a_client_that_does_not_read_stops_the_primary() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut client = Stage::connect(running.address()).await;
        say(&mut client, GET, Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        hear(&mut origin, GET.len()).await;
        let all = 2 * line_holds();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {all}\r\n\r\n");
        say(&mut origin, head.as_bytes(), Delivery::Whole).await;
        assert_eq!(hear(&mut client, head.len()).await.how, How::Enough);
        let pushed = Arc::new(AtomicU64::new(0));
        let pushing = tokio::spawn(push(origin, all, pushed.clone()));
        drain_slowly(client, all, pushed).await;
        pushing.abort();
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn a_primary_that_does_not_read_stops_the_client() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut client = Stage::connect(running.address()).await;
        let all = 2 * line_holds();
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {all}\r\n\r\n");
        say(&mut client, head.as_bytes(), Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        assert_eq!(hear(&mut origin, head.len()).await.how, How::Enough);
        let pushed = Arc::new(AtomicU64::new(0));
        let pushing = tokio::spawn(push(client, all, pushed.clone()));
        drain_slowly(origin, all, pushed).await;
        pushing.abort();
        assert_eq!(running.stop().await.seen, 1);
    });
}
