//! Nothing is held back: each end's bytes reach the other before more are sent.

use std::sync::Arc;

use bytes::Bytes;
use capture_agent::Protocol;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::{Running, config, nobody, run};
use crate::wire::{Origin, closed, read_message, send};

async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    stream.read_exact(&mut found).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(bytes));
}

#[test]
fn an_event_reaches_the_client_before_the_next_is_sent() {
    run(async {
        let received = Arc::new(Notify::new());
        let go_on = received.clone();
        let origin = Origin::spawn(move |_, mut stream| {
            let go_on = go_on.clone();
            async move {
                read_message(&mut stream, false).await.unwrap();
                let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head).await.unwrap();
                for event in [b"data: 1", b"data: 2", b"data: 3"] {
                    go_on.notified().await;
                    stream.write_all(b"7\r\n").await.unwrap();
                    stream.write_all(event).await.unwrap();
                    stream.write_all(b"\r\n").await.unwrap();
                }
                stream.write_all(b"0\r\n\r\n").await.unwrap();
            }
        })
        .await;
        let running = Running::before(origin.address).await;
        let mut client = send(running.address(), b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        for event in ["7\r\ndata: 1\r\n", "7\r\ndata: 2\r\n", "7\r\ndata: 3\r\n"] {
            received.notify_one();
            expect(&mut client, event.as_bytes()).await;
        }
        expect(&mut client, b"0\r\n\r\n").await;
        drop(client);
        running.stop().await;
    });
}

#[test]
fn an_upload_reaches_the_primary_as_it_is_sent() {
    run(async {
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let origin = Origin::spawn(move |_, mut stream| {
            let told = told.clone();
            async move {
                read_message(&mut stream, true).await.unwrap();
                for _ in 0..3 {
                    let mut part = [0; 4];
                    stream.read_exact(&mut part).await.unwrap();
                    told.send(part).unwrap();
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
        })
        .await;
        let running = Running::before(origin.address).await;
        let mut client = send(running.address(), b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n").await;
        for part in [b"aaaa", b"bbbb", b"cccc"] {
            client.write_all(part).await.unwrap();
            assert_eq!(&hears.recv().await.unwrap(), part);
        }
        assert!(read_message(&mut client, false).await.unwrap().start.contains(" 200 "));
        drop(client);
        running.stop().await;
    });
}

#[test]
fn the_client_is_told_to_continue_when_the_primary_says_so() {
    run(async {
        let allowed = Arc::new(Notify::new());
        let say = allowed.clone();
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let origin = Origin::spawn(move |_, mut stream| {
            let (say, told) = (say.clone(), told.clone());
            async move {
                let head = read_message(&mut stream, true).await.unwrap();
                assert_eq!(head.header("expect"), Some("100-continue"));
                told.send(()).unwrap();
                say.notified().await;
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
                let mut body = [0; 4];
                stream.read_exact(&mut body).await.unwrap();
                assert_eq!(&body, b"body");
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            }
        })
        .await;
        let running = Running::before(origin.address).await;
        let head = b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let mut client = send(running.address(), head).await;
        hears.recv().await.unwrap();
        let early = client.try_read(&mut [0; 1]);
        assert!(early.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "told before the primary said so");
        allowed.notify_one();
        expect(&mut client, b"HTTP/1.1 100 Continue\r\n\r\n").await;
        client.write_all(b"body").await.unwrap();
        assert!(read_message(&mut client, false).await.unwrap().start.contains(" 200 "));
        drop(client);
        running.stop().await;
    });
}

#[test]
fn a_refused_expectation_reaches_the_client_without_its_body() {
    run(async {
        let origin = Origin::spawn(move |_, mut stream| async move {
            read_message(&mut stream, true).await.unwrap();
            stream.write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            assert!(closed(&mut stream).await, "the body was never sent on");
        })
        .await;
        let running = Running::before(origin.address).await;
        let head = b"PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        let mut client = send(running.address(), head).await;
        let answer = read_message(&mut client, false).await.unwrap();
        assert!(answer.start.starts_with("HTTP/1.1 417"), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(closed(&mut client).await);
        running.stop().await;
    });
}

/// An HTTP/2 client connection to the agent.
async fn http2(address: std::net::SocketAddr) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[test]
fn http2_clients_reach_an_http1_primary() {
    run(async {
        let (origin, requests) = Origin::canned(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    )
    .await;
        let running = Running::before(origin.address).await;
        let mut sender = http2(running.address()).await;
        let request = http::Request::post("http://shop.example/items/7?x=1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::new(Bytes::from_static(b"payload")))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().is_empty(), "{:?}", response.headers());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hi");
        let seen = requests.lock().unwrap()[0].clone();
        assert_eq!((seen.start.as_str(), seen.body.as_slice()), ("POST /items/7?x=1 HTTP/1.1", &b"payload"[..]));
        assert_eq!((seen.header("host"), seen.header("cookie")), (Some("shop.example"), Some("a=1; b=2")));
        drop(sender);
        running.stop().await;
    });
}

#[test]
fn http2_passes_end_to_end_with_trailers_and_its_authority() {
    run(async {
        let origin = Origin::spawn(|_, stream| async move {
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let authority = request.uri().authority().unwrap().to_string();
                let te = request.headers()["te"].clone();
                let sent = request.into_body().collect().await.unwrap().to_bytes();
                let mut trailers = http::HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = [Frame::data(sent), Frame::trailers(trailers)].map(Ok::<_, std::convert::Infallible>);
                let body = StreamBody::new(futures::stream::iter(frames));
                Ok::<_, std::convert::Infallible>(
                    http::Response::builder().header("x-authority", authority).header("x-te", te).body(body).unwrap(),
                )
            });
            let io = TokioIo::new(stream);
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        })
        .await;
        let mut settings = config(origin.address, &nobody().to_string());
        settings.primary.protocol = Protocol::Http2;
        let running = Running::with(settings).await;
        let mut sender = http2(running.address()).await;
        let request = http::Request::post("http://grpc.example/pkg.Service/Call")
            .header("te", "trailers")
            .body(Full::new(Bytes::from_static(b"\0\0\0\0\x01x")))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["x-authority"], "grpc.example");
        assert_eq!(response.headers()["x-te"], "trailers");
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "\0\0\0\0\x01x");
        drop(sender);
        running.stop().await;
    });
}
