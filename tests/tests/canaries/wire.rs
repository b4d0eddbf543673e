//! A client and servers that send bytes as they were written, so that a message may be anything.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A version of the service: answers each case with bytes of its own.
pub(crate) struct Version {
    pub(crate) address: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Version {
    /// Starts one on loopback; it listens until the test ends.
    pub(crate) async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answers, received) = (Arc::new(answers), Arc::new(Mutex::new(Vec::new())));
        let all = received.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answers, all) = (answers.clone(), all.clone());
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await;
                    all.lock().unwrap().extend_from_slice(&request);
                    if let Some(answer) = case_of(&request).and_then(|case| answers.get(case)) {
                        drop(stream.write_all(answer).await);
                        drop(stream.shutdown().await);
                        // Until the other side has read it all: a reset could overtake the answer.
                        drop(stream.read_to_end(&mut Vec::new()).await);
                    }
                });
            }
        });
        Self { address, received }
    }

    /// Everything that it was sent.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap().clone()
    }
}

/// Sends one request as it is, and reads until the other side closes.
pub(crate) async fn send(address: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    answer
}

/// A head and as much of a body as it announces.
async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let (mut request, mut buffer) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(head) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if request.len() >= head + 4 + length {
                return request;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return request,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
}

/// The number in `/cases/N`.
fn case_of(request: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(request);
    let number = text.split_once(" /cases/")?.1;
    number[..number.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}
