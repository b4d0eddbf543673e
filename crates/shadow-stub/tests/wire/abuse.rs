//! What is no call: each is answered or cut off in bounded time and memory, counted under its reason, and leaves the stub answering.

use std::time::Duration;

use super::*;

/// Everything that the peer still says to these bytes, which are all that it is sent.
async fn say(to: SocketAddr, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let answer = tokio::spawn(async move {
        let mut answer = Vec::new();
        let _ = reading.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    });
    // A peer that has heard enough closes before the end.
    let _ = writing.write_all(bytes).await;
    let _ = writing.shutdown().await;
    answer.await.unwrap()
}

/// The stub still answers, and nothing before was taken for a call.
async fn still_answers(stub: &Running) {
    assert_eq!(stub.calls(), [""; 0]);
    let call = ask(TcpStream::connect(stub.plain).await.unwrap(), "POST /pay/charge HTTP/1.1\r\nhost: a", CHARGE);
    assert!(call.await.starts_with("HTTP/1.1 201"));
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_counted() {
    let stub = start().await;
    let large = format!("GET /charge HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(100 << 10));
    let many = format!("GET /charge HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    let wrong: [(&[u8], &str); 12] = [
        (b"nonsense\r\n\r\n", "HTTP/1.1 400"),
        (b"\x00\x01\x02\x03\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /charge HTTP/9.9\r\nhost: a\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /charge\x00 HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /charge HTTP/1.1\r\nhost : a\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /charge HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n", "HTTP/1.1 400"),
        (b"POST /charge HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", "HTTP/1.1 400"),
        (b"POST /charge HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", "HTTP/1.1 400"),
        (b"POST /charge HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551615\r\n\r\n", "HTTP/1.1 431"),
        (b"POST /charge HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", "HTTP/1.1 400"),
        (large.as_bytes(), "HTTP/1.1 431"),
        (many.as_bytes(), "HTTP/1.1 431"),
    ];
    for (n, (bytes, expected)) in (1..).zip(wrong) {
        let answer = say(stub.plain, bytes).await;
        assert!(answer.starts_with(expected), "{}: {answer}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
        assert_eq!(stub.refused(Refused::Malformed), n);
    }
    // HTTP/2, whose frames are none.
    assert!(!say(stub.plain, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all").await.contains("HTTP/1.1 2"));
    for (bytes, expected) in [
        (&b"POST /charge HTTP/1.0\r\n\r\n"[..], "names no host"),
        (b"GET /charge HTTP/1.1\r\nhost: a b\r\n\r\n", "names no host"),
        (b"CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let answer = say(stub.plain, bytes).await;
        assert!(answer.contains(expected), "{answer}");
    }
    assert!(stub.refused(Refused::NoHost) >= 2);
    still_answers(&stub).await;
    stub.stop.cancel();
}

#[tokio::test]
async fn a_body_without_an_end_or_beyond_the_limit_is_refused_and_counted() {
    let stub = start().await;
    let post = |rest: &str| format!("POST /charge HTTP/1.1\r\nhost: pay.example\r\n{rest}");
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    for (n, (request, expected)) in (1..).zip([
        (post(&format!("content-length: 1001\r\n\r\n{}", "x".repeat(1001))), "413"),
        (post("content-length: 99999999999\r\n\r\nx"), "413"),
        (post(&format!("transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(10_000))), "413"),
        (post("transfer-encoding: chunked\r\n\r\nnot a length\r\n"), "400"),
        (post("content-length: 10\r\n\r\nhalf"), "400"),
    ]) {
        let answer = say(stub.plain, request.as_bytes()).await;
        // Who is not listened to any more may find the connection reset before reading why.
        assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
        assert_eq!(stub.refused(Refused::Body), n, "{}", &request[..80]);
    }
    still_answers(&stub).await;
    stub.stop.cancel();
}

#[tokio::test]
async fn a_body_beyond_what_all_of_them_may_take_is_refused_until_there_is_room() {
    let stub = start().await;
    let ask = |length: usize| {
        let body = format!("{{\"amount\":1{}}}", " ".repeat(length));
        async move {
            super::ask(TcpStream::connect(stub.plain).await.unwrap(), "POST /pay/charge HTTP/1.1\r\nhost: a", &body)
                .await
        }
    };
    // What was called is held until the test lets it go.
    let fit = LIMITS.bodies / 912;
    for _ in 0..fit {
        assert!(ask(900).await.starts_with("HTTP/1.1 201"));
    }
    let answer = ask(900).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!((stub.refused(Refused::NoRoom), stub.calls().len()), (1, fit));
    assert!(ask(900).await.starts_with("HTTP/1.1 201"));
    stub.stop.cancel();
}

#[tokio::test]
async fn what_is_not_tls_is_refused_and_counted_by_what_it_lacks() {
    let stub = start().await;
    let connect = || async { TcpStream::connect(stub.tls).await.unwrap() };
    say(stub.tls, b"GET / HTTP/1.1\r\n\r\n").await;
    say(stub.tls, b"\x16\x03\x01\x00\x05hello").await;
    say(stub.tls, &[&b"\x16\x03\x01\xff\xff"[..], &[b'x'; 70_000]].concat()).await;
    assert_eq!(stub.refused(Refused::Malformed), 3);
    // An address is no name to ask for.
    assert!(stub.handshake(connect().await, "127.0.0.1").await.is_err());
    assert_eq!(stub.refused(Refused::NoHost), 1);
    assert!(handshake(connect().await, "pay.example", None).await.is_err());
    while stub.refused(Refused::Handshake) == 0 {
        // The client is told of its own refusal before the stub is.
        tokio::task::yield_now().await;
    }
    still_answers(&stub).await;
    stub.stop.cancel();

    let refusals = Refusals::default();
    let server = Server::new(stub.keep.clone(), None, Vec::new(), LIMITS, refusals.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let without = Running { plain: listener.local_addr().unwrap(), stop: CancellationToken::new(), ..stub };
    tokio::spawn(server.serve(listener, Expects::Http, without.stop.clone()));
    assert!(without.handshake(without.tunnel("pay.example:443").await, "pay.example").await.is_err());
    assert_eq!(refusals.of(Refused::NoCa), 1);
    without.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_never_ends_is_cut_off() {
    let stub = start().await;
    for (to, said, reason) in [
        (stub.plain, "", Refused::Malformed),
        (stub.plain, "P", Refused::Malformed),
        (stub.plain, "PRI * HTTP", Refused::Malformed),
        (stub.plain, "GET / HTTP/1.1\r\nhost:", Refused::Malformed),
        (stub.plain, "CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", Refused::Malformed),
        (stub.plain, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf", Refused::Body),
        (stub.tls, "", Refused::Malformed),
        (stub.tls, "\x16\x03\x01", Refused::Malformed),
        (stub.mail, "", Refused::Mail),
        (stub.mail, "EHLO", Refused::Mail),
        (stub.mail, "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nhalf", Refused::Mail),
    ] {
        let before = stub.refused(reason);
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(300), stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{said:?} was never cut off");
        assert_eq!(stub.refused(reason), before + 1, "{said:?}");
    }
    stub.stop.cancel();
}

#[tokio::test]
async fn who_abuses_the_mail_protocol_is_told_and_cut_off() {
    let stub = start().await;
    let codes = converse(&stub, "DATA\nRCPT TO:<a@b>\nMAIL FROM:a@b\nMAIL FROM:<a@b>\nDATA\nQUIT\n").await;
    assert_eq!(codes, ["220", "503", "503", "501", "250", "503", "221"]);
    let long = format!("MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA\n{}\n.\nQUIT\n", "x".repeat(1200));
    assert_eq!(converse(&stub, &long).await, ["220", "250", "250", "354", "552", "221"]);
    assert_eq!(stub.refused(Refused::Mail), 0);

    let last = |codes: &[String]| codes.last().cloned();
    let codes = converse(&stub, &"NONSENSE\n".repeat(50)).await;
    assert_eq!((codes.len(), last(&codes).as_deref()), (12, Some("421")));
    let codes = converse(&stub, &"NOOP\n".repeat(2_000)).await;
    assert_eq!((codes.len(), last(&codes).as_deref()), (1_002, Some("421")));
    let crowd = format!("MAIL FROM:<a@b>\n{}", "RCPT TO:<a@b>\n".repeat(200));
    let codes = converse(&stub, &crowd).await;
    assert_eq!(codes.iter().filter(|code| *code == "250").count(), 1 + 100);
    assert_eq!((codes.iter().filter(|code| *code == "452").count(), last(&codes).as_deref()), (10, Some("421")));
    for endless in [
        "x".repeat(100_000),
        format!("MAIL FROM:<{}>\n", "x".repeat(10_000)),
        "\0\u{1}\u{7f}".repeat(5_000),
        format!("MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA\n{}", "x\n".repeat(100_000)),
        format!("MAIL FROM:<a@b>\nRCPT TO:<a@b>\nDATA\n{}", "x".repeat(100_000)),
    ] {
        let codes = converse(&stub, &endless).await;
        assert!(!codes.iter().skip(4).any(|code| code == "250"), "{codes:?}");
    }
    assert_eq!(stub.refused(Refused::Mail), 8);
    still_answers(&stub).await;
    stub.stop.cancel();
}
