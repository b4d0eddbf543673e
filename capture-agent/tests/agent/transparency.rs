//! The same awkward messages to the origin directly and through the agent: both ends must see the same.

use std::sync::{Arc, Mutex};

use crate::support::{Running, run};
use crate::wire::{Message, Origin, ask, closed, read_message, send};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// (name, request, answer)
const TABLE: &[(&str, &[u8], &[u8])] = &[
    ("plain get", b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", OK),
    (
        "raw target, odd case, repetition, empty and eight-bit values",
        b"GET /a%2Fb/../c//?x=%zz&y=[1]&&z HTTP/1.1\r\nhOST: h\r\nX-One: 1\r\nx-one: 2\r\nX-EMPTY:\r\nX-Raw: \xe9\xff\r\nCONNECTION: close\r\n\r\n",
        b"HTTP/1.1 200 Fine By Me\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-oDD: \xe9\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "content-length post",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("empty post", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", OK),
    ("post without a length", b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", OK),
    (
        "chunked both ways, with extensions and declared trailers",
        b"PUT /up HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nConnection: close, te\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nx-sum: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n5\r\nthere\r\n0\r\nx-sum: 9\r\n\r\n",
    ),
    (
        "get with a body",
        b"GET /search HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        OK,
    ),
    (
        "get with a chunked body",
        b"GET /search HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK,
    ),
    (
        "head",
        b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"x\"\r\n\r\n",
    ),
    (
        "no content",
        b"DELETE /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    ),
    (
        "not modified",
        b"GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"x\"\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
    ),
    ("options for the server", b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", OK),
    ("a method of their own", b"PURGE /cache HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", OK),
    (
        "an answer that ends with the connection",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    ),
    (
        "an error page",
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: own\r\nContent-Length: 4\r\n\r\nbusy",
    ),
];

/// Lines that belong to the message and not to the connection, sorted: order across names carries no meaning.
fn end_to_end(message: &Message) -> Vec<String> {
    let hop = ["connection", "transfer-encoding", "keep-alive"];
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let mut lines: Vec<_> = message.lines.iter().filter(|l| !hop.contains(&name(l).as_str())).cloned().collect();
    lines.sort_by_key(|line| name(line));
    lines
}

fn assert_same(name: &str, what: &str, direct: &Message, through: &Message) {
    assert_eq!(direct.start, through.start, "{name}: start line of the {what}");
    assert_eq!(end_to_end(direct), end_to_end(through), "{name}: header lines of the {what}");
    assert_eq!(direct.body, through.body, "{name}: body of the {what}");
}

#[test]
fn both_ends_see_the_same_with_and_without_the_agent() {
    run(async {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let (origin, requests) = Origin::switched(answer.clone()).await;
        let running = Running::before(origin.address).await;
        for &(name, request, canned) in TABLE {
            *answer.lock().unwrap() = canned.to_vec();
            let direct = ask(origin.address, request).await;
            let through = ask(running.address(), request).await;
            let seen = std::mem::take(&mut *requests.lock().unwrap());
            assert_eq!(seen.len(), 2, "{name}");
            assert_same(name, "request", &seen[0], &seen[1]);
            assert_same(name, "response", &direct, &through);
        }
        assert_eq!(running.stop().await.seen, TABLE.len() as i64);
    });
}

#[test]
fn http_1_0_clients_get_answers_they_can_read() {
    run(async {
        let (origin, requests) =
            Origin::canned(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
        let running = Running::before(origin.address).await;
        let answer = ask(running.address(), b"GET /old HTTP/1.0\r\nHost: h\r\n\r\n").await;
        assert_eq!((answer.body.as_slice(), answer.header("transfer-encoding")), (&b"hi"[..], None));
        assert_eq!(requests.lock().unwrap()[0].start, "GET /old HTTP/1.1");
        running.stop().await;
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let origin = Origin::spawn(|_, mut stream| async move {
            while let Some(request) = read_message(&mut stream, false).await {
                let path = request.start.split(' ').nth(1).unwrap().to_owned();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let running = Running::before(origin.address).await;
        let request = |path| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let all = ["/1", "/2", "/3"].map(request).concat();
        let mut stream = send(running.address(), all.as_bytes()).await;
        for path in ["/1", "/2", "/3"] {
            assert_eq!(read_message(&mut stream, false).await.unwrap().body, path.as_bytes());
        }
        drop(stream);
        assert_eq!(running.stop().await.seen, 3);
    });
}

#[test]
fn a_length_beside_chunked_framing_never_reaches_the_primary() {
    run(async {
        let (origin, requests) = Origin::canned(OK).await;
        let running = Running::before(origin.address).await;
        let smuggling = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut stream = send(running.address(), smuggling).await;
        read_message(&mut stream, false).await.unwrap();
        assert!(closed(&mut stream).await, "what follows an ambiguous message is not read");
        let seen = requests.lock().unwrap().clone();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].header("content-length"), None);
        for refused in [
            &b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"[..],
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\nab",
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
        ] {
            assert!(ask(running.address(), refused).await.start.contains(" 400 "));
        }
        assert_eq!(requests.lock().unwrap().len(), 1);
        running.stop().await;
    });
}

#[test]
fn an_upgraded_connection_is_a_tunnel_and_counted_as_one() {
    run(async {
        let origin = Origin::spawn(|_, mut stream| async move {
            let request = read_message(&mut stream, true).await.unwrap();
            assert_eq!(request.header("upgrade"), Some("echo"));
            assert_eq!(request.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst")
                .await
                .unwrap();
            let (mut read, mut write) = stream.split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        })
        .await;
        let running = Running::before(origin.address).await;
        let mut stream =
            send(running.address(), b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
                .await;
        let answer = read_message(&mut stream, true).await.unwrap();
        assert!(answer.start.starts_with("HTTP/1.1 101"), "{answer:?}");
        assert_eq!(answer.header("upgrade"), Some("echo"));
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"first");
        stream.write_all(b"\0\xffabc").await.unwrap();
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"\0\xffabc");
        drop(stream);
        let account = running.stop().await;
        assert_eq!(account.excluded_for(capture_agent::Exclusion::Tunnel), 1);
    });
}

#[test]
fn an_offer_of_http2_is_ignored_and_the_request_stays_an_ordinary_one() {
    run(async {
        let (origin, requests) = Origin::canned(OK).await;
        let running = Running::before(origin.address).await;
        let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
        assert_eq!(ask(running.address(), request).await.body, b"ok");
        assert_eq!(requests.lock().unwrap()[0].header("upgrade"), None);
        assert_eq!(running.stop().await.excluded_total(), 0);
    });
}

#[test]
fn connect_is_refused_clearly() {
    run(async {
        let (origin, requests) = Origin::canned(OK).await;
        let running = Running::before(origin.address).await;
        let answer = ask(running.address(), b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n").await;
        assert!(answer.start.contains(" 501 "), "{answer:?}");
        assert!(requests.lock().unwrap().is_empty());
        assert_eq!(running.stop().await.excluded_for(capture_agent::Exclusion::Tunnel), 1);
    });
}

#[test]
fn a_stale_connection_costs_a_get_nothing_and_a_post_is_not_repeated() {
    run(async {
        // Every connection serves one request, then takes another and closes without an answer.
        let origin = Origin::spawn(|_, mut stream| async move {
            read_message(&mut stream, false).await.unwrap();
            stream.write_all(OK).await.unwrap();
            read_message(&mut stream, false).await;
        })
        .await;
        let running = Running::before(origin.address).await;
        for (request, expected) in [
            (&b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"[..], " 200 "),
            (b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n", " 200 "),
            (b"POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", " 502 "),
        ] {
            let answer = ask(running.address(), request).await;
            assert!(answer.start.contains(expected), "{answer:?}");
        }
        assert_eq!(running.stop().await.seen, 3);
    });
}
