//! Raw sockets: an origin that no proxy author wrote, and a client that sends bytes as they are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One HTTP/1 message as it stood on the wire, with its framing taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Request or status line.
    pub start: String,
    /// Header lines as written, and trailers behind them.
    pub lines: Vec<String>,
    /// Content without chunk framing.
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Reads one message; `None` when the connection ended before it began. `bodiless`: a response to HEAD.
pub(crate) async fn read_message(stream: &mut TcpStream, bodiless: bool) -> Option<Message> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n").map(str::to_owned);
    let mut message = Message { start: lines.next()?, lines: lines.collect(), body: Vec::new() };
    let status = message.start.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1));
    if bodiless || status.is_some_and(|s| s.starts_with('1') || s == "204" || s == "304") {
        return Some(message);
    }
    if message.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        read_chunks(stream, &mut message).await?;
    } else if let Some(length) = message.header("content-length") {
        message.body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut message.body).await.ok()?;
    } else if status.is_some() {
        stream.read_to_end(&mut message.body).await.ok()?;
    }
    Some(message)
}

async fn read_line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.ok()?);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).ok()
}

async fn read_chunks(stream: &mut TcpStream, message: &mut Message) -> Option<()> {
    loop {
        let size = usize::from_str_radix(&read_line(stream).await?, 16).unwrap();
        if size == 0 {
            break;
        }
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).await.ok()?;
        message.body.extend_from_slice(&chunk[..size]);
    }
    loop {
        match read_line(stream).await? {
            line if line.is_empty() => return Some(()),
            trailer => message.lines.push(trailer),
        }
    }
}

/// A server made of a closure for each connection, numbered from 0.
pub(crate) struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Origin {
    /// Serves every connection with `serve`.
    pub(crate) async fn spawn<F, Fut>(serve: F) -> Self
    where
        F: Fn(usize, TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(number, stream));
            }
        });
        Self { address, task }
    }

    /// Answers every request with the same bytes, remembers the requests, and closes after an answer without a length.
    pub(crate) async fn canned(answer: &[u8]) -> (Self, Arc<Mutex<Vec<Message>>>) {
        Self::switched(Arc::new(Mutex::new(answer.to_vec()))).await
    }

    /// [`Origin::canned`] with an answer that may change between requests.
    pub(crate) async fn switched(answer: Arc<Mutex<Vec<u8>>>) -> (Self, Arc<Mutex<Vec<Message>>>) {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        let origin = Self::spawn(move |_, mut stream| {
            let (answer, log) = (answer.clone(), log.clone());
            async move {
                while let Some(request) = read_message(&mut stream, false).await {
                    log.lock().unwrap().push(request);
                    let answer = answer.lock().unwrap().clone();
                    stream.write_all(&answer).await.unwrap();
                    let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
                    let framed = ["content-length:", "chunked", " 204 ", " 304 "].iter().any(|f| text.contains(f));
                    if !framed {
                        return;
                    }
                }
            }
        })
        .await;
        (origin, requests)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends bytes on a new connection.
pub(crate) async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Sends a request and reads its answer.
pub(crate) async fn ask(address: SocketAddr, request: &[u8]) -> Message {
    let mut stream = send(address, request).await;
    read_message(&mut stream, request.starts_with(b"HEAD ")).await.expect("an answer")
}

/// Whether the peer has closed: the next read gives nothing or an error.
pub(crate) async fn closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 1]).await, Ok(1))
}
