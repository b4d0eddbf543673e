//! A candidate that takes its time, may be ill, and remembers who was asked beside whom; and servers that break the protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use url::Url;

/// What a [`Service`] does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// How long it works on an answer.
    pub(crate) works: Duration,
    /// It works no further on a request whose path ends so until [`Service::let_go`].
    pub(crate) hangs_on: Option<&'static str>,
}

/// A service whose paths are `/<session>/<number>`.
#[derive(Clone)]
pub(crate) struct Service {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    ill: AtomicBool,
    asked: AtomicUsize,
    free: AtomicBool,
    let_go: Notify,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Sessions with a request in flight.
    now: BTreeSet<String>,
    /// Most of them at a time.
    most: usize,
    /// The last number of each.
    last: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Service {
    pub(crate) async fn start(manners: Manners) -> Self {
        let inner = Arc::new(Inner { manners, ..Inner::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = inner.clone();
        let app = Router::new().fallback(move |uri: Uri| answer(answering.clone(), uri));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, inner }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().unwrap()
    }

    /// Answers with 503 from now on, or no longer.
    pub(crate) fn ill(&self, ill: bool) {
        self.inner.ill.store(ill, Ordering::SeqCst);
    }

    pub(crate) fn asked(&self) -> usize {
        self.inner.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn let_go(&self) {
        self.inner.free.store(true, Ordering::SeqCst);
        self.inner.let_go.notify_waiters();
    }

    /// What was wrong about the order, and how many sessions were side by side at most.
    pub(crate) fn order(&self) -> (Vec<String>, usize) {
        let seen = self.inner.seen.lock().unwrap();
        (seen.wrong.clone(), seen.most)
    }
}

async fn answer(inner: Arc<Inner>, uri: Uri) -> Response {
    inner.asked.fetch_add(1, Ordering::SeqCst);
    let (session, number) = uri.path().trim_start_matches('/').split_once('/').unwrap_or(("", "0"));
    let (session, number) = (session.to_owned(), number.parse::<usize>().unwrap_or_default());
    {
        let mut seen = inner.seen.lock().unwrap();
        if !seen.now.insert(session.clone()) {
            seen.wrong.push(format!("{session} is asked twice at a time"));
        }
        if seen.last.insert(session.clone(), number).is_some_and(|before| before >= number) {
            seen.wrong.push(format!("{session}/{number} came late"));
        }
        seen.most = seen.most.max(seen.now.len());
    }
    tokio::time::sleep(inner.manners.works).await;
    if inner.manners.hangs_on.is_some_and(|end| uri.path().ends_with(end)) {
        let let_go = inner.let_go.notified();
        if !inner.free.load(Ordering::SeqCst) {
            let_go.await;
        }
    }
    inner.seen.lock().unwrap().now.remove(&session);
    let status = if inner.ill.load(Ordering::SeqCst) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, "{}").into_response()
}

/// How a server mistreats whoever asks it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hostile {
    /// Closes the connection without a word.
    Resets,
    /// Closes it in the middle of the body.
    ResetsHalfway,
    /// Never answers.
    Stalls,
    /// Answers with what is no HTTP.
    Garbage,
    /// Its head never ends.
    EndlessHead,
    /// Its body never ends.
    EndlessBody,
    /// Sends whoever asks to another place.
    Redirects(SocketAddr),
}

/// Starts such a server.
pub(crate) async fn hostile(how: Hostile) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(mistreat(how, stream));
        }
    });
    url
}

async fn mistreat(how: Hostile, mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 4096];
    while stream.read(&mut request).await? > 0 {
        match how {
            Hostile::Resets => return Ok(()),
            Hostile::ResetsHalfway => return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{").await,
            Hostile::Stalls => std::future::pending().await,
            Hostile::Garbage => return stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n").await,
            Hostile::EndlessHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    stream.write_all(b"x-more: and more\r\n").await?;
                }
            }
            Hostile::EndlessBody => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(b"5\r\nhello\r\n").await?;
                }
            }
            Hostile::Redirects(to) => {
                let answer = format!("HTTP/1.1 302 Found\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
    Ok(())
}
