//! HTTP/2 through the agent: cleartext with prior knowledge, to primaries that speak it and to those that do not; gRPC.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::{Running, config, run};
use crate::wire::Origin;

/// Of both ends. It is also what the library's patience with small frames is measured by, and these ends have a lot of it.
const WINDOW: u32 = 64 << 20;

type Body = BoxBody<Bytes, Infallible>;
type Sender = hyper::client::conn::http2::SendRequest<Body>;

fn full(bytes: &'static [u8]) -> Body {
    Full::new(Bytes::from_static(bytes)).boxed()
}

/// A body that is sent while its sender still thinks, and that sender.
fn spoken() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (say, said) = mpsc::channel(0);
    (say, BodyExt::boxed(StreamBody::new(said.map(Ok))))
}

fn trailers(pairs: &[(&'static str, &'static str)]) -> Frame<Bytes> {
    let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    Frame::trailers(HeaderMap::from_iter(pairs))
}

/// A client's HTTP/2 connection.
async fn connect(address: SocketAddr) -> Sender {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_connection_window_size(WINDOW).max_header_list_size(1 << 20);
    let (sender, connection) = builder.handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An origin that speaks HTTP/2 alone.
async fn origin<F, Fut>(answer: F) -> Origin
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    Origin::spawn(move |_, stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let response = answer(request);
                async { Ok::<_, Infallible>(response.await) }
            });
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.initial_connection_window_size(WINDOW).max_concurrent_streams(1_000);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

async fn before(origin: &Origin) -> Running {
    Running::with(config(origin.address, &["primary.protocol = \"http2\""])).await
}

/// A body that has ended and does not say that its length is zero.
struct Silent;

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// The next data of a body.
async fn data(body: &mut Incoming) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

#[test]
fn http2_clients_reach_an_http1_primary() {
    run(async {
        let (origin, requests) = Origin::canned(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        )
        .await;
        let running = Running::before(origin.address).await;
        let mut sender = connect(running.address()).await;
        let request = Request::post("http://shop.example/items/7?x=1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(full(b"payload"))
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
fn heads_pass_unchanged_with_their_authority_order_and_repetition() {
    run(async {
        let origin = origin(|request| async move {
            // What came in goes out again, so that the client can look at it.
            let mut response = Response::builder().status(299);
            for (name, value) in request.headers() {
                // As `x-te`: `te` has no place in a response.
                let name = if name == "te" { "x-te" } else { name.as_str() };
                response = response.header(name, value);
            }
            let line = format!("{} {}", request.method(), request.uri());
            response.header("x-line", line).body(full(b"")).unwrap()
        })
        .await;
        let running = before(&origin).await;
        let mut answers = Vec::new();
        for address in [origin.address, running.address()] {
            let mut sender = connect(address).await;
            let request = Request::builder()
                .method("PURGE")
                .uri("http://grpc.example:81/a%2Fb/../c?x=%zz&y")
                .header("te", "trailers")
                .header("x-a", "1")
                .header("x-b", "2")
                .header("x-a", "")
                .header("cookie", "a=1")
                .header("cookie", "b=2")
                .header("x-raw", http::HeaderValue::from_bytes(b"\xe9\xff").unwrap())
                .body(full(b""))
                .unwrap();
            let mut response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 299);
            assert!(response.headers_mut().remove("date").is_some(), "the origin's library says when it answered");
            let lines = response.headers().iter();
            answers.push(lines.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect::<Vec<_>>());
        }
        assert_eq!(answers[0], answers[1]);
        let has = |name: &str, value: &[u8]| answers[1].iter().any(|(n, v)| n == name && v == value);
        assert!(has("x-line", b"PURGE http://grpc.example:81/a%2Fb/../c?x=%zz&y"), "{answers:?}");
        assert!(has("x-te", b"trailers") && has("x-a", b"") && has("cookie", b"b=2") && has("x-raw", b"\xe9\xff"));
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn a_bidirectional_call_takes_turns_and_ends_with_trailers_both_ways() {
    run(async {
        let origin = origin(|request| async move {
            let (mut say, body) = spoken();
            tokio::spawn(async move {
                let mut request = request.into_body();
                let sent = loop {
                    let frame = request.frame().await.unwrap().unwrap();
                    match frame.into_data() {
                        Ok(data) => say.send(Frame::data(data)).await.unwrap(),
                        Err(frame) => break frame.into_trailers().unwrap(),
                    }
                };
                assert_eq!(sent["x-sum"], "3");
                say.send(trailers(&[("grpc-status", "0"), ("grpc-message", "fine")])).await.unwrap();
            });
            Response::builder().header("content-type", "application/grpc").body(body).unwrap()
        })
        .await;
        let running = before(&origin).await;
        let mut sender = connect(running.address()).await;
        let (mut say, body) = spoken();
        let request = Request::post("http://grpc.example/pkg.Service/Chat")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        // The answer's head comes before the request has a body at all.
        let mut answer = sender.send_request(request).await.unwrap().into_body();
        for message in [&b"\0\0\0\0\x01a"[..], b"\0\0\0\0\x02bc", b"\0\0\0\0\0"] {
            say.send(Frame::data(Bytes::from_static(message))).await.unwrap();
            assert_eq!(data(&mut answer).await, message);
        }
        say.send(trailers(&[("x-sum", "3")])).await.unwrap();
        let last = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!((last["grpc-status"].as_bytes(), last["grpc-message"].as_bytes()), (&b"0"[..], &b"fine"[..]));
        assert!(answer.frame().await.is_none());
        drop((sender, say));
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn an_answer_of_trailers_alone_passes() {
    run(async {
        let origin = origin(|_| async {
            Response::builder()
                .header("grpc-status", "12")
                .header("grpc-message", "no such method")
                .body(full(b""))
                .unwrap()
        })
        .await;
        let running = before(&origin).await;
        let mut sender = connect(running.address()).await;
        let request =
            Request::post("http://h/pkg.Service/None").header("te", "trailers").body(full(b"\0\0\0\0\0")).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "12");
        assert!(
            http_body::Body::is_end_stream(response.body()),
            "the stream ends with its head, as gRPC libraries check"
        );
        drop(sender);
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn an_answer_to_head_passes_with_the_length_of_what_it_leaves_out() {
    run(async {
        let origin =
            origin(|_| async { Response::builder().header("content-length", 24).body(full(b"")).unwrap() }).await;
        let running = before(&origin).await;
        for (way, address) in [("directly", origin.address), ("through the agent", running.address())] {
            let mut sender = connect(address).await;
            let response = sender.send_request(Request::head("http://h/").body(full(b"")).unwrap()).await.expect(way);
            assert_eq!(response.headers()["content-length"], "24", "{way}");
            assert!(response.into_body().collect().await.expect(way).to_bytes().is_empty(), "{way}");
        }
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn an_http1_answer_to_head_passes_with_the_length_of_what_it_leaves_out() {
    run(async {
        let stage = crate::conversation::Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut sender = connect(running.address()).await;
        let answered = tokio::spawn(sender.send_request(Request::head("http://h/").body(full(b"")).unwrap()));
        let mut primary = stage.accept().await.unwrap();
        let request = crate::wire::read_message(&mut primary, true).await.unwrap();
        assert_eq!(request.start, "HEAD / HTTP/1.1");
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n";
        crate::conversation::say(&mut primary, answer, crate::conversation::Delivery::Whole).await;
        let response = answered.await.unwrap().unwrap();
        assert_eq!(response.headers()["content-length"], "24");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        drop(sender);
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn bursts_of_small_messages_pass_both_ways() {
    run(async {
        const MESSAGES: usize = 2_000;
        let burst = || {
            let message = |number: usize| Ok(Frame::data(Bytes::from(format!("\0\0\0\0\x04{number:04}"))));
            BodyExt::boxed(StreamBody::new(futures::stream::iter((0..MESSAGES).map(message))))
        };
        let origin = origin(move |request| async move {
            let sent = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            Response::builder().header("x-sent", sent).body(burst()).unwrap()
        })
        .await;
        let running = before(&origin).await;
        for (way, address) in [("directly", origin.address), ("through the agent", running.address())] {
            let mut sender = connect(address).await;
            let request = Request::post("http://h/pkg.Service/Burst").body(burst()).unwrap();
            let response = sender.send_request(request).await.expect(way);
            assert_eq!(response.headers()["x-sent"], (9 * MESSAGES).to_string(), "{way}");
            let received = response.into_body().collect().await.expect(way).to_bytes();
            assert_eq!(received.len(), 9 * MESSAGES, "{way}");
        }
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn many_calls_share_a_connection_and_none_waits_for_another() {
    run(async {
        let (mut release, held) = mpsc::channel::<()>(0);
        let held = std::sync::Arc::new(tokio::sync::Mutex::new(held));
        let origin = origin(move |request| {
            let held = held.clone();
            async move {
                if request.uri().path() == "/held" {
                    held.lock().await.next().await;
                }
                Response::new(full(b"done"))
            }
        })
        .await;
        let running = before(&origin).await;
        let sender = connect(running.address()).await;
        let call = |path: &str| {
            let request = Request::get(format!("http://h{path}")).body(full(b"")).unwrap();
            let mut sender = sender.clone();
            async move { sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes() }
        };
        let waiting = tokio::spawn(call("/held"));
        let all = futures::future::join_all((0..50).map(|_| call("/free"))).await;
        assert!(all.iter().all(|body| body == "done"));
        assert!(!waiting.is_finished());
        release.send(()).await.unwrap();
        assert_eq!(waiting.await.unwrap(), "done");
        drop(sender);
        assert_eq!(running.stop().await.seen, 51);
    });
}

#[test]
fn more_calls_than_the_library_allows_by_default_are_in_progress_at_once() {
    run(async {
        const CALLS: u32 = 250;
        let all = std::sync::Arc::new(tokio::sync::Barrier::new(CALLS as usize));
        let origin = origin(move |_| {
            let all = all.clone();
            async move {
                // No answer before the last request is here.
                all.wait().await;
                Response::new(full(b"done"))
            }
        })
        .await;
        let running = before(&origin).await;
        let sender = connect(running.address()).await;
        let calls =
            (0..CALLS).map(|_| {
                let mut sender = sender.clone();
                async move {
                    sender.send_request(Request::get("http://h/").body(full(b"")).unwrap()).await.unwrap().status()
                }
            });
        assert!(futures::future::join_all(calls).await.iter().all(|status| *status == 200));
        drop(sender);
        assert_eq!(running.stop().await.seen, i64::from(CALLS));
    });
}

#[test]
fn answers_that_nobody_reads_do_not_hold_up_the_others() {
    run(async {
        const UNREAD: usize = 24;
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let origin = origin(move |request| {
            let told = told.clone();
            async move {
                if request.uri().path() == "/read" {
                    return Response::new(full(b"read"));
                }
                let (mut say, body) = spoken();
                tokio::spawn(async move {
                    // What one stream has room for: the client has 2 MiB, the agent 1 MiB, of which it may keep half back.
                    for _ in 0..38 {
                        say.send(Frame::data(Bytes::from_static(&[b't'; 64 << 10]))).await.unwrap();
                    }
                    told.send(say).unwrap();
                });
                Response::new(body)
            }
        })
        .await;
        let running = before(&origin).await;
        let mut sender = connect(running.address()).await;
        let request = |path: &str| Request::get(format!("http://h{path}")).body(full(b"")).unwrap();
        let (mut unread, mut open) = (Vec::new(), Vec::new());
        for _ in 0..UNREAD {
            unread.push(sender.send_request(request("/unread")).await.unwrap());
        }
        for _ in 0..UNREAD {
            open.push(hears.recv().await.unwrap());
        }
        let read = sender.send_request(request("/read")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(read.to_bytes(), "read");
        drop((unread, open, sender));
        assert_eq!(running.stop().await.seen, 1 + UNREAD as i64);
    });
}

#[test]
fn a_call_after_the_primary_said_goodbye_goes_whole_to_a_new_connection() {
    run(async {
        let (mut leave, leaving) = mpsc::channel::<()>(0);
        let leaving = std::sync::Arc::new(std::sync::Mutex::new(Some(leaving)));
        let origin = Origin::spawn(move |number, stream| {
            // The first connection's alone.
            let leaving = leaving.lock().unwrap().take();
            async move {
                let (say, said) = mpsc::channel(1);
                let said = std::sync::Arc::new(std::sync::Mutex::new(Some(said)));
                let mut first = say.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let said = said.clone();
                    async move {
                        if request.uri().path() == "/long" {
                            let said = said.lock().unwrap().take().unwrap();
                            return Ok(Response::new(BodyExt::boxed(StreamBody::new(said.map(Ok)))));
                        }
                        let sent = request.into_body().collect().await.unwrap().to_bytes();
                        let answer = format!("{number}: {}", String::from_utf8_lossy(&sent));
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer)).boxed()))
                    }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let mut serving = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
                if let Some(mut leaving) = leaving {
                    tokio::select! { _ = &mut serving => {}, _ = leaving.next() => {} }
                    serving.as_mut().graceful_shutdown();
                    // It leaves after the goodbye, on the same connection.
                    first.send(Frame::data(Bytes::from_static(b"bye"))).await.unwrap();
                }
                let _ = serving.await;
                drop((say, first));
            }
        })
        .await;
        let running = before(&origin).await;
        let mut sender = connect(running.address()).await;
        let mut long =
            sender.send_request(Request::get("http://h/long").body(full(b"")).unwrap()).await.unwrap().into_body();
        leave.send(()).await.unwrap();
        assert_eq!(data(&mut long).await, "bye");
        let request = Request::post("http://h/").body(full(b"order")).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "1: order");
        drop((long, sender));
        assert_eq!(running.stop().await.seen, 2);
    });
}

#[test]
fn a_large_head_of_an_answer_passes() {
    run(async {
        let value = "v".repeat(200 << 10);
        let sent = value.clone();
        let origin = origin(move |_| {
            let response = Response::builder().header("x-large", &sent).body(full(b"")).unwrap();
            async { response }
        })
        .await;
        let running = before(&origin).await;
        let mut sender = connect(running.address()).await;
        let answer = sender.send_request(Request::get("http://h/").body(full(b"")).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()["x-large"] == value);
        drop(sender);
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn an_idle_connection_ends_though_its_client_answers_pings_and_one_in_use_does_not() {
    run(async {
        let (mut say, body) = spoken();
        let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
        let origin = origin(move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async { Response::new(body) }
        })
        .await;
        let settings = ["primary.protocol = \"http2\"", "listen.idle = \"50ms\""];
        let running = Running::with(config(origin.address, &settings)).await;
        let mut used = connect(running.address()).await;
        let mut answer =
            used.send_request(Request::get("http://h/").body(full(b"")).unwrap()).await.unwrap().into_body();
        // The others are found idle one after the other, while the one in use stays.
        for _ in 0..3 {
            let io = TokioIo::new(TcpStream::connect(running.address()).await.unwrap());
            let (_idle, ends) =
                hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), io).await.unwrap();
            ends.await.unwrap();
        }
        say.send(Frame::data(Bytes::from_static(b"still here"))).await.unwrap();
        assert_eq!(data(&mut answer).await, "still here");
        drop((say, answer, used));
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn an_empty_body_gets_no_length_that_the_client_did_not_send() {
    run(async {
        let origin = origin(|request| async move {
            let lengths = request.headers().get_all("content-length").iter().count();
            Response::builder().header("x-lengths", lengths).body(full(b"")).unwrap()
        })
        .await;
        let running = before(&origin).await;
        let mut sender = connect(running.address()).await;
        for given in [None, Some("0")] {
            // An ended body of unknown size, or the client's library would say 0 as well.
            let mut request = Request::post("http://h/").body(Silent.boxed()).unwrap();
            if let Some(given) = given {
                request.headers_mut().insert("content-length", given.parse().unwrap());
            }
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.headers()["x-lengths"], usize::from(given.is_some()).to_string());
        }
        drop(sender);
        assert_eq!(running.stop().await.seen, 2);
    });
}

#[test]
fn a_call_that_is_cancelled_is_cancelled_at_the_primary_and_the_others_go_on() {
    run(async {
        let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let origin = origin(move |request| {
            let told = told.clone();
            async move {
                if request.uri().path() == "/whole" {
                    return Response::new(full(b"whole"));
                }
                let (mut say, body) = spoken();
                tokio::spawn(async move {
                    while say.send(Frame::data(Bytes::from_static(&[b't'; 16 << 10]))).await.is_ok() {}
                    told.send("cancelled").unwrap();
                });
                Response::new(body)
            }
        })
        .await;
        let running = before(&origin).await;
        let mut sender = connect(running.address()).await;
        let request = |path: &str| Request::get(format!("http://h{path}")).body(full(b"")).unwrap();
        let mut endless = sender.send_request(request("/endless")).await.unwrap().into_body();
        assert!(data(&mut endless).await.starts_with(b"t"));
        drop(endless);
        assert_eq!(hears.recv().await, Some("cancelled"));
        let whole = sender.send_request(request("/whole")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(whole.to_bytes(), "whole");
        drop(sender);
        assert_eq!(running.stop().await.seen, 2);
    });
}

#[test]
fn an_answer_that_breaks_off_is_an_error_for_the_client() {
    run(async {
        let origin = Origin::spawn(|_, stream| async move {
            let service = service_fn(|_: Request<Incoming>| async {
                let frames = [Ok(Frame::data(Bytes::from_static(b"part"))), Err(std::io::Error::other("broken"))];
                Ok::<_, Infallible>(Response::new(StreamBody::new(futures::stream::iter(frames))))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        })
        .await;
        let running = before(&origin).await;
        for (way, address) in [("directly", origin.address), ("through the agent", running.address())] {
            let mut sender = connect(address).await;
            let request = Request::get("http://h/").body(full(b"")).unwrap();
            // The head may be lost with the stream; then the agent says so.
            let whole = match sender.send_request(request).await {
                Ok(response) if response.status() == 200 => response.into_body().collect().await.is_ok(),
                Ok(response) => response.status() != 502,
                Err(_) => false,
            };
            assert!(!whole, "{way} a part was taken for the whole");
        }
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn http1_clients_stay_http1_whatever_the_primary_is_said_to_speak() {
    run(async {
        let (origin, requests) = Origin::canned(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let running = before(&origin).await;
        let answer = crate::wire::ask(running.address(), b"GET /old HTTP/1.1\r\nhOST: h\r\n\r\n").await;
        assert_eq!(answer.body, b"ok");
        assert_eq!(requests.lock().unwrap()[0].lines, ["hOST: h"]);
        assert_eq!(running.stop().await.seen, 1);
    });
}
