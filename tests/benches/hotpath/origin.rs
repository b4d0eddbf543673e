//! The primary: a raw-socket HTTP/1.1 server, so small that it is never what is measured.
//!
//! `GET /bytes/N` answers N bytes, which are one JSON string; everything else answers the same 2.4 kB of JSON. Request bodies
//! are read to their declared end and forgotten. One thread, pinned to the core of the load.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::answer::{content_length, end_of_head};
use super::clock;
use super::cpus::pin_this_thread;

/// The event that is the listener's.
const LISTENER: u64 = 0;
/// Longest head of a request.
const HEAD: usize = 64 * 1024;
/// How often the thread looks whether it should end.
const LOOK: u64 = clock::SECOND / 10;

/// A running origin; dropping it ends its thread.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts one on a free port.
    pub fn start(cpu: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (answered, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counting, stopping) = (answered.clone(), stop.clone());
        let serve = move || {
            pin_this_thread(&[cpu]);
            serve(&listener, &counting, &stopping);
        };
        let thread = std::thread::Builder::new().name("origin".into()).spawn(serve).expect("a thread starts");
        Self { address, answered, stop, thread: Some(thread) }
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// About 2.4 kB as an order service would answer.
pub fn json() -> String {
    let items: Vec<String> = (0..16)
        .map(|n| {
            format!(
                r#"{{"sku":"SKU-{:05}","name":"Enamel mug, {n} of 16, dishwasher safe","quantity":{},"unit_price":"{}.95","currency":"EUR","in_stock":true}}"#,
                n * 7919, n % 5 + 1, 12 + n
            )
        })
        .collect();
    format!(
        r#"{{"id":"ord_4711","status":"shipped","customer":{{"name":"Ada Example","email":"ada@example.com","phone":"+49 30 901820"}},"created_at":"2026-07-01T09:30:00Z","items":[{}],"total":"311.20"}}"#,
        items.join(",")
    )
}

fn answer_of(body: &[u8]) -> Vec<u8> {
    let mut answer = head(body.len() as u64);
    answer.extend_from_slice(body);
    answer
}

fn head(length: u64) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}

fn serve(listener: &TcpListener, answered: &AtomicU64, stop: &AtomicBool) {
    let poll = epoll::create(CreateFlags::CLOEXEC).expect("epoll is there");
    epoll::add(&poll, listener, EventData::new_u64(LISTENER), EventFlags::IN).expect("a listener is watched");
    let usual = answer_of(json().as_bytes());
    let (mut connections, mut next, mut buffer) = (HashMap::new(), LISTENER + 1, vec![0; 256 * 1024]);
    let mut events = Vec::with_capacity(1024);
    while !stop.load(Ordering::Relaxed) {
        match epoll::wait(&poll, spare_capacity(&mut events), Some(&clock::timespec(LOOK))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("epoll: {error}"),
        }
        for event in events.drain(..) {
            let id = event.data.u64();
            if id == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    drop(stream.set_nodelay(true));
                    stream.set_nonblocking(true).expect("a socket can be made non-blocking");
                    epoll::add(&poll, &stream, EventData::new_u64(next), EventFlags::IN).expect("a socket is watched");
                    connections.insert(next, Connection::new(stream));
                    next += 1;
                }
            } else if let Some(connection) = connections.get_mut(&id) {
                let went = connection.turn(&mut buffer, &usual, answered);
                if went.and_then(|()| connection.watch(&poll, id)).is_err() {
                    connections.remove(&id);
                }
            }
        }
    }
}

/// One client: a request is answered before the next is read.
struct Connection {
    stream: TcpStream,
    /// Bytes of a head that is not complete, and what was read behind one.
    read: Vec<u8>,
    /// Bytes of a request body still to come.
    upload: u64,
    /// What a full socket did not take.
    unsent: Vec<u8>,
    /// Bytes of a generated body that are not yet in `unsent`, the closing quote included.
    generated: u64,
    waits_to_write: bool,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new(), upload: 0, unsent: Vec::new(), generated: 0, waits_to_write: false }
    }

    /// Goes on as far as the socket lets it.
    fn turn(&mut self, buffer: &mut [u8], usual: &[u8], answered: &AtomicU64) -> std::io::Result<()> {
        loop {
            if !self.flush()? {
                return Ok(());
            }
            if self.respond(usual, answered)? {
                continue;
            }
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.read.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a whole request from what was read, and begins its answer; false when it is not all there.
    fn respond(&mut self, usual: &[u8], answered: &AtomicU64) -> std::io::Result<bool> {
        if self.upload == 0 {
            let Some(end) = end_of_head(&self.read) else {
                return if self.read.len() > HEAD { Err(ErrorKind::InvalidData.into()) } else { Ok(false) };
            };
            let head = &self.read[..end];
            let (length, asked) = (content_length(head).unwrap_or(0), asked_bytes(head));
            self.read.drain(..end);
            match asked {
                None => self.unsent.extend_from_slice(usual),
                Some(n) => {
                    self.unsent = self::head(n);
                    self.generated = n;
                    if n >= 2 {
                        self.unsent.push(b'"');
                        self.generated -= 1;
                    }
                }
            }
            self.upload = length;
        }
        let taken = self.upload.min(self.read.len() as u64);
        self.read.drain(..taken as usize);
        self.upload -= taken;
        if self.upload > 0 {
            return Ok(false);
        }
        answered.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes what is due; false when the socket is full. Nothing goes out while a request is still coming in.
    fn flush(&mut self) -> std::io::Result<bool> {
        const PIECE: u64 = 64 * 1024;
        self.waits_to_write = false;
        if self.upload > 0 {
            return Ok(true);
        }
        while !self.unsent.is_empty() || self.generated > 0 {
            if self.unsent.is_empty() {
                let piece = self.generated.min(PIECE);
                self.generated -= piece;
                self.unsent.resize(piece as usize, b'a');
                if self.generated == 0 && piece > 0 {
                    *self.unsent.last_mut().expect("a piece has bytes") = b'"';
                }
            }
            match self.stream.write(&self.unsent) {
                Ok(n) => drop(self.unsent.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.waits_to_write = true;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn watch(&self, poll: &OwnedFd, id: u64) -> std::io::Result<()> {
        let flags = if self.waits_to_write { EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(poll, &self.stream, EventData::new_u64(id), flags)?)
    }
}

/// N of `/bytes/N`.
fn asked_bytes(head: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    line.split(' ').nth(1)?.strip_prefix("/bytes/")?.parse().ok()
}

/// A shadow that hangs: it accepts every connection and never reads or answers.
pub struct BlackHole {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BlackHole {
    /// Connections kept open; beyond them the oldest is closed.
    const KEPT: usize = 4096;

    /// Starts one on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (accepted, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counting, stopping) = (accepted.clone(), stop.clone());
        let swallow = move || {
            let mut held = std::collections::VecDeque::new();
            while !stopping.load(Ordering::Relaxed) {
                while let Ok((stream, _)) = listener.accept() {
                    counting.fetch_add(1, Ordering::Relaxed);
                    held.push_back(stream);
                    if held.len() > Self::KEPT {
                        held.pop_front();
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        };
        let thread = std::thread::Builder::new().name("black-hole".into()).spawn(swallow).expect("a thread starts");
        Self { address, accepted, stop, thread: Some(thread) }
    }

    /// Connections so far: whether anybody came.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
