//! Bodies of a gibibyte pass both ways in a few megabytes of memory.
//!
//! A test binary of its own: what is measured is the whole process, the agent, the client and the origin together, and nothing
//! else may run in it. `VmHWM` is the most memory that was resident at any moment, so a peak between two looks is not missed.
//! Socket buffers are the kernel's and are not in it: what is, is what somebody piled up.

#![allow(clippy::unwrap_used, reason = "the lint allows it in tests, but knows them by their attribute")]
#![allow(clippy::print_stdout, reason = "the figures are worth reading")]

#[allow(dead_code, reason = "shared with the other tests from outside")]
#[path = "../agent/conversation.rs"]
mod conversation;
#[allow(dead_code, reason = "shared with the other tests from outside")]
#[path = "../agent/support.rs"]
mod support;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use conversation::{Delivery, Stage, hear, say};
use support::{Running, run};

const GIB: u64 = 1 << 30;
/// The agent may keep a copy of each body up to `capture.body` (256 KiB), and the runtimes' and the allocator's own growth is
/// within this; a body that is piled up anywhere is not.
const ROOM: u64 = 48 << 20;

/// Most memory of this process so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

const BLOCK: usize = 256 << 10;

/// What every body consists of: each block is another window of the same bytes, so that a piece that is lost, repeated or out of
/// order shows. Made once, because a debug build takes its time over each byte.
struct Content(Vec<u8>);

impl Content {
    fn new() -> Self {
        Self((0..2 * BLOCK as u64).map(|at| (at * at % 251) as u8).collect())
    }

    fn block(&self, number: u64) -> &[u8] {
        &self.0[number as usize % BLOCK..][..BLOCK]
    }

    async fn send(&self, to: &mut (impl AsyncWrite + Unpin), length: u64) {
        for number in 0..length / BLOCK as u64 {
            to.write_all(self.block(number)).await.unwrap();
        }
    }

    async fn receive(&self, from: &mut (impl AsyncRead + Unpin), length: u64) {
        let mut buffer = vec![0; BLOCK];
        for number in 0..length / BLOCK as u64 {
            from.read_exact(&mut buffer).await.unwrap();
            assert!(buffer == self.block(number), "block {number} differs");
        }
    }
}

/// A client and an origin with the agent between them, whose exchange has begun with these heads.
async fn begin(stage: &Stage, running: &Running, request: &str) -> (TcpStream, TcpStream) {
    let mut client = Stage::connect(running.address()).await;
    say(&mut client, request.as_bytes(), Delivery::Whole).await;
    let mut origin = stage.accept().await.unwrap();
    hear(&mut origin, request.len()).await;
    (client, origin)
}

async fn answer(client: &mut TcpStream, origin: &mut TcpStream, head: &str) {
    say(origin, head.as_bytes(), Delivery::Whole).await;
    assert_eq!(hear(client, head.len()).await.bytes, head.as_bytes());
}

/// The agent between a client and an origin.
struct Line {
    stage: Stage,
    running: Running,
    content: Content,
}

impl Line {
    async fn upload(&self, length: u64) {
        let head = format!("POST /items/1 HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        let (mut client, mut origin) = begin(&self.stage, &self.running, &head).await;
        tokio::join!(self.content.send(&mut client, length), self.content.receive(&mut origin, length));
        answer(&mut client, &mut origin, "HTTP/1.1 204 No Content\r\n\r\n").await;
    }

    async fn answered(&self, length: u64) -> (TcpStream, TcpStream) {
        let request = "GET /items/1 HTTP/1.1\r\nHost: h\r\n\r\n";
        let (mut client, mut origin) = begin(&self.stage, &self.running, request).await;
        answer(&mut client, &mut origin, &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
        (client, origin)
    }

    async fn download(&self, length: u64) {
        let (mut client, mut origin) = self.answered(length).await;
        tokio::join!(self.content.send(&mut origin, length), self.content.receive(&mut client, length));
    }

    /// A download in front of a client that reads nothing: the origin pushes until it can push no more.
    async fn stalled_download(&self, length: u64) {
        let (_client, mut origin) = self.answered(length).await;
        // Longer than it takes to fill every buffer there is. Were it too short on some machine, the test would see less.
        let pushed = tokio::time::timeout(Duration::from_secs(2), self.content.send(&mut origin, length)).await;
        assert!(pushed.is_err(), "a gibibyte was taken while nobody read it");
    }
}

#[test]
fn a_gibibyte_each_way_and_a_client_that_does_not_read_hold_no_memory() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let line = Line { stage, running, content: Content::new() };
        // What is allocated once is allocated now.
        line.upload(16 << 20).await;
        line.download(16 << 20).await;
        let before = peak();
        let check = |name| {
            let grown = peak() - before;
            println!("{name}: {} KiB more than before", grown >> 10);
            assert!(grown <= ROOM, "{name}: {} MiB more than before", grown >> 20);
        };
        line.upload(GIB).await;
        check("upload");
        line.download(GIB).await;
        check("download");
        line.stalled_download(GIB).await;
        check("stalled download");
        assert_eq!(line.running.stop().await.seen, 5);
    });
}
