//! A conversation on raw sockets: what each side says in turn, and a record of every byte that the other side hears.
//!
//! A turn ends when the listener has heard as many bytes as were said, so the record shows not only what arrives but
//! also that it arrives before anything else is said.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Ends a wait for bytes that never come, so that a defect is a failure with a record instead of a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Origin,
}

/// How a side leaves when everything is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// With FIN.
    Close(Side),
    /// With RST, as a crashed process or a reset by a middlebox.
    Reset(Side),
}

/// How bytes are handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In one write.
    Whole,
    /// In one write for each byte.
    ByteByByte,
}

/// A script for both ends of one connection.
pub(crate) struct Conversation {
    pub name: &'static str,
    /// How many requests it holds.
    pub requests: i64,
    pub turns: Vec<(Side, Vec<u8>)>,
    pub leave: Leave,
    /// Said by whoever leaves in the moment of leaving; heard with the end, not before.
    pub last_words: Vec<u8>,
}

/// Starts a script; the client closes at its end unless told otherwise.
pub(crate) fn talk(name: &'static str) -> Conversation {
    Conversation { name, requests: 1, turns: Vec::new(), leave: Leave::Close(Side::Client), last_words: Vec::new() }
}

impl Conversation {
    pub(crate) fn client(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.turns.push((Side::Client, bytes.into()));
        self
    }

    pub(crate) fn origin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.turns.push((Side::Origin, bytes.into()));
        self
    }

    pub(crate) fn ends(mut self, leave: Leave) -> Self {
        self.leave = leave;
        self
    }

    /// The origin closes when all is said.
    pub(crate) fn origin_closes(self) -> Self {
        self.ends(Leave::Close(Side::Origin))
    }

    pub(crate) fn saying(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.last_words = bytes.into();
        self
    }

    /// What is heard where every byte arrives, with the ending that `record` has.
    pub(crate) fn ideal(&self, record: &[Heard]) -> Vec<Heard> {
        let whole = |(_, said): &(Side, Vec<u8>)| Heard { bytes: said.clone(), how: How::Enough };
        self.turns.iter().map(whole).chain(record.get(self.turns.len()).cloned()).collect()
    }

    pub(crate) fn requests(mut self, count: i64) -> Self {
        self.requests = count;
        self
    }
}

/// What a listener heard, and how it stopped hearing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub bytes: Vec<u8>,
    pub how: How,
}

/// Why a listener stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// As many bytes came as were said.
    Enough,
    /// FIN.
    Closed,
    /// RST.
    Reset,
    /// Nothing more came.
    Silence,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.bytes[..self.bytes.len().min(400)];
        write!(f, "{:?} after {} bytes: \"{}\"", self.how, self.bytes.len(), shown.escape_ascii())
    }
}

/// Where what was heard of a script parts from what was expected.
pub(crate) fn difference(script: &Conversation, expected: &[Heard], heard: &[Heard]) -> Option<String> {
    let turn = (0..expected.len()).find(|&turn| heard.get(turn) != expected.get(turn))?;
    let what = match script.turns.get(turn) {
        Some((Side::Client, _)) => "what the origin hears",
        Some((Side::Origin, _)) => "what the client hears",
        None => "the end",
    };
    let (expected, heard) = (&expected[turn], heard.get(turn));
    Some(format!("{}: turn {turn}, {what}\n  expected {expected:?}\n  heard    {heard:?}", script.name))
}

/// Reads until `count` bytes are there, or no more come.
pub(crate) async fn hear(stream: &mut TcpStream, count: usize) -> Heard {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while bytes.len() < count {
        let room = buffer.len().min(count - bytes.len());
        match tokio::time::timeout(PATIENCE, stream.read(&mut buffer[..room])).await {
            Ok(Ok(0)) => return Heard { bytes, how: How::Closed },
            Ok(Ok(read)) => bytes.extend_from_slice(&buffer[..read]),
            Ok(Err(_)) => return Heard { bytes, how: How::Reset },
            Err(_) => return Heard { bytes, how: How::Silence },
        }
    }
    Heard { bytes, how: How::Enough }
}

/// Reads until the other side leaves.
pub(crate) async fn hear_out(stream: &mut TcpStream) -> Heard {
    hear(stream, usize::MAX).await
}

/// Leaves with RST.
pub(crate) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// Says bytes; a listener that has gone shows in what it heard, not here.
pub(crate) async fn say(stream: &mut TcpStream, bytes: &[u8], delivery: Delivery) {
    match delivery {
        Delivery::Whole => drop(stream.write_all(bytes).await),
        Delivery::ByteByByte => {
            for byte in bytes.chunks(1) {
                if stream.write_all(byte).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// An origin that does what the script says, at its own address.
pub(crate) struct Stage {
    listener: TcpListener,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// Where the origin listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> Option<TcpStream> {
        let (stream, _) = tokio::time::timeout(PATIENCE, self.listener.accept()).await.ok()?.unwrap();
        stream.set_nodelay(true).unwrap();
        Some(stream)
    }

    /// A connection that has already come.
    pub(crate) async fn accepted(&self) -> Option<TcpStream> {
        let (stream, _) = futures::future::poll_immediate(std::pin::pin!(self.listener.accept())).await?.unwrap();
        Some(stream)
    }

    /// A client's connection to `entrance`.
    pub(crate) async fn connect(entrance: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(entrance).await.unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// Plays a script between a client at `entrance` and this origin: what was heard in each turn, and at last by the
    /// side that was left. Stops early when a listener hears less than was said.
    pub(crate) async fn play(&self, entrance: SocketAddr, script: &Conversation, delivery: Delivery) -> Vec<Heard> {
        let mut client = Self::connect(entrance).await;
        let mut origin = None;
        let mut record = Vec::new();
        for (side, bytes) in &script.turns {
            let heard = match side {
                Side::Client => {
                    let listen = async {
                        if origin.is_none() {
                            origin = self.accept().await;
                        }
                        match &mut origin {
                            Some(origin) => hear(origin, bytes.len()).await,
                            None => Heard { bytes: Vec::new(), how: How::Silence },
                        }
                    };
                    tokio::join!(say(&mut client, bytes, delivery), listen).1
                }
                Side::Origin => {
                    let origin = origin.as_mut().expect("a client speaks first");
                    tokio::join!(say(origin, bytes, delivery), hear(&mut client, bytes.len())).1
                }
            };
            let enough = heard.how == How::Enough;
            record.push(heard);
            if !enough {
                return record;
            }
        }
        let origin = origin.expect("a client speaks first");
        let (Leave::Close(side) | Leave::Reset(side)) = script.leave;
        let (mut leaving, mut left) = if side == Side::Client { (client, origin) } else { (origin, client) };
        say(&mut leaving, &script.last_words, delivery).await;
        match script.leave {
            Leave::Close(_) => drop(leaving),
            Leave::Reset(_) => reset(leaving),
        }
        record.push(hear_out(&mut left).await);
        record
    }
}

/// Waits until the process behind `stream`'s other end has taken every byte out of its socket. Only this makes sure that two
/// writes are two reads for it.
pub(crate) async fn taken(stream: &TcpStream) {
    let hex = |address: SocketAddr| match address {
        SocketAddr::V4(a) => format!("{:08X}:{:04X}", u32::from_le_bytes(a.ip().octets()), a.port()),
        SocketAddr::V6(_) => panic!("the tests listen on 127.0.0.1"),
    };
    let (near, far) = (hex(stream.local_addr().unwrap()), hex(stream.peer_addr().unwrap()));
    let waiting = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let is_it = words.next() == Some(&far) && words.next() == Some(&near);
            is_it && !words.nth(1).is_some_and(|queues| queues.ends_with(":00000000"))
        })
    };
    let wait = async {
        while waiting() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the agent reads what it is sent");
}
