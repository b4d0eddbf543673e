//! What the proxy hands over for each way an exchange can end, on real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use shadow_control::{Leg, Mark};
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::{CaptureError, RequestId, RouteTable, Withheld};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::edge::config::PrimarySection;
use crate::edge::limits::Connections;
use shadow_capture::head::{LinesCopy, RequestCopy};
use shadow_capture::tee::{Budget, Limits, Teed};
use shadow_capture::{
    Account, Alarm, Exclusion, Latency, Ledger, Pause, RawExchange, Sampler, SamplingConfig, handover,
};

#[path = "../../tests/agent/wire.rs"]
mod wire;

use wire::{Origin, ask, closed, read_message, send};

/// The hot path alone, its queue in the hands of the test.
struct Hot {
    address: SocketAddr,
    queue: crossbeam_channel::Receiver<RawExchange>,
    ledger: Arc<Ledger>,
    limits: Limits,
    alarm: Alarm,
    shutdown: CancellationToken,
}

impl Hot {
    async fn before(primary: SocketAddr) -> Self {
        Self::with(primary, PrimarySection::default(), 256 << 10)
    }

    fn with(primary: SocketAddr, mut section: PrimarySection, body: usize) -> Self {
        let key = MaskKey::parse(&"0f".repeat(32)).unwrap();
        let masker = Arc::new(Masker::new(key, Ruleset::default(), RouteTable::default()));
        let limits = Limits { body, budget: Budget::of(64 << 20), masker };
        let (handover, queue) = handover::queue(64);
        let (ledger, alarm) = (Ledger::open(), Alarm::default());
        let observer = Observer {
            ledger: ledger.clone(),
            sampler: Sampler::new(&SamplingConfig { session_cookie: Some("sid".into()), ..Default::default() })
                .unwrap(),
            limits: limits.clone(),
            handover,
            pause: Arc::new(Pause::default()),
            alarm: alarm.clone(),
            latency: Arc::new(Latency::default()),
            effects: None,
        };
        section.url = Some(format!("http://{primary}").parse().unwrap());
        let config = Config { primary: section, ..Default::default() };
        let shutdown = CancellationToken::new();
        let proxy = Proxy::new(&config, &crate::edge::own::Own::default(), observer, shutdown.clone()).unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let patience =
            Patience { shutdown: shutdown.clone(), stop: Duration::from_secs(3), takeover: Duration::from_secs(60) };
        let listening = Listening {
            socket,
            connections: Connections::new(100, "listen.connections"),
            threads: 1,
            patience,
            egress: None,
        };
        HotPath::start(&listening, &proxy).unwrap();
        Self { address, queue, ledger, limits, alarm, shutdown }
    }

    /// The next exchange handed over.
    async fn exchange(&self) -> RawExchange {
        let queue = self.queue.clone();
        tokio::task::spawn_blocking(move || queue.recv_timeout(Duration::from_secs(20)).unwrap()).await.unwrap()
    }

    /// Stops; what was left in the queue; the account with nothing open.
    async fn stop(self) -> (Vec<RawExchange>, Account) {
        self.shutdown.cancel();
        let queue = self.queue.clone();
        let rest = tokio::task::spawn_blocking(move || queue.iter().collect::<Vec<_>>()).await.unwrap();
        let account = self.ledger.account();
        assert!(account.balances(), "{account:?}");
        assert_eq!(account.in_flight, rest.len() as i64, "{account:?}");
        (rest, account)
    }
}

fn whole(teed: &Teed) -> &[u8] {
    match teed {
        Teed::Whole(held) => &held.bytes,
        other => panic!("not whole: {other:?}"),
    }
}

async fn silent_origin() -> Origin {
    Origin::spawn(|_, mut stream| async move { while read_message(&mut stream, false).await.is_some() {} }).await
}

#[tokio::test]
async fn a_whole_exchange_is_handed_over_as_it_passed() {
    let (origin, _) = Origin::canned(b"HTTP/1.1 201 Created\r\nX-A: 1\r\nContent-Length: 6\r\n\r\nanswer").await;
    let hot = Hot::before(origin.address).await;
    let request = b"POST /items/7?q=1 HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b; sid=s1\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    ask(hot.address, request).await;
    let exchange = hot.exchange().await;
    assert_eq!(exchange.head.session.as_deref(), Some(&b"s1"[..]));
    let RequestCopy::Wire(head) = &exchange.head.copy else { panic!("{:?}", exchange.head) };
    assert_eq!(&head[..], request.strip_suffix(b"hello").unwrap());
    assert_eq!(whole(&exchange.request_body), b"hello");
    let answer = exchange.response.as_ref().unwrap();
    assert_eq!((answer.status, whole(&answer.body)), (201, &b"answer"[..]));
    let LinesCopy::Wire(lines) = &answer.lines else { panic!("{answer:?}") };
    assert!(lines.ends_with(b"\r\nX-A: 1\r\nContent-Length: 6\r\n\r\n"));
    assert_eq!(exchange.error, None);
    assert!(exchange.first_byte.unwrap() <= exchange.total);
    drop(exchange);
    assert_eq!(hot.limits.budget.used(), 0);
    let (rest, account) = hot.stop().await;
    assert_eq!((rest.len(), account.seen), (0, 1));
}

#[tokio::test]
async fn bodies_of_fifty_megabytes_pass_both_ways_and_hold_no_memory() {
    const SIZE: usize = 50 << 20;
    let origin = Origin::spawn(|_, mut stream| async move {
        let head = read_message(&mut stream, true).await.unwrap();
        assert_eq!(head.header("content-length"), Some(SIZE.to_string().as_str()));
        let mut left = SIZE;
        let mut buffer = vec![0; 64 << 10];
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        // What comes in goes out again, so that both directions are open at once.
        while left > 0 {
            let count = stream.read(&mut buffer).await.unwrap();
            left -= count;
            stream.write_all(format!("{count:x}\r\n").as_bytes()).await.unwrap();
            stream.write_all(&buffer[..count]).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    let hot = Hot::with(origin.address, PrimarySection::default(), 64 << 10);
    let head = format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n");
    let (mut read, mut write) = send(hot.address, head.as_bytes()).await.into_split();
    let upload = tokio::spawn(async move {
        for block in 0..(SIZE >> 16) {
            write.write_all(&[block as u8; 1 << 16]).await.unwrap();
        }
        write
    });
    let mut received = 0;
    let mut peak = 0;
    let mut buffer = vec![0; 64 << 10];
    while received < SIZE {
        received += read.read(&mut buffer).await.unwrap();
        peak = peak.max(hot.limits.budget.used());
    }
    let exchange = hot.exchange().await;
    drop((upload.await.unwrap(), read));
    assert!(peak <= 66 << 10, "held {peak} bytes");
    let mut digester = hot.limits.masker.digester();
    for block in 0..(SIZE >> 16) {
        digester.update(&[block as u8; 1 << 16]);
    }
    let expected = digester.finish();
    for teed in [&exchange.request_body, &exchange.response.as_ref().unwrap().body] {
        let Teed::Digested { length, digest, why: Withheld::Truncated } = teed else { panic!("{teed:?}") };
        assert_eq!((*length, digest), (SIZE as u64, &expected));
    }
    drop(exchange);
    hot.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_seen_by_the_primary_and_accounted_for() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::spawn(move |_, mut stream| {
        let told = told.clone();
        async move {
            read_message(&mut stream, false).await.unwrap();
            told.send("asked").unwrap();
            assert!(closed(&mut stream).await);
            told.send("left").unwrap();
        }
    })
    .await;
    let hot = Hot::before(origin.address).await;
    let client = send(hot.address, b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(hears.recv().await, Some("asked"));
    drop(client);
    assert_eq!(hears.recv().await, Some("left"));
    let exchange = hot.exchange().await;
    assert_eq!(exchange.error, Some(CaptureError::ClientAborted));
    assert!(exchange.response.is_none() && exchange.first_byte.is_none());
    drop(exchange);
    assert_eq!(hot.stop().await.1.seen, 1);
}

#[tokio::test]
async fn a_client_that_leaves_within_the_answer_leaves_what_passed() {
    let origin = Origin::spawn(|_, mut stream| async move {
        read_message(&mut stream, false).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst").await.unwrap();
        assert!(closed(&mut stream).await);
    })
    .await;
    let hot = Hot::before(origin.address).await;
    let mut client = send(hot.address, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"first") {
        seen.push(client.read_u8().await.unwrap());
    }
    drop(client);
    let exchange = hot.exchange().await;
    assert_eq!(exchange.error, Some(CaptureError::ClientAborted));
    let answer = exchange.response.as_ref().unwrap();
    let Teed::Cut(held) = &answer.body else { panic!("{:?}", answer.body) };
    assert_eq!((answer.status, &held.bytes[..]), (200, &b"first"[..]));
    drop(exchange);
    hot.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_within_its_upload_leaves_what_came() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let origin = Origin::spawn(move |_, mut stream| {
        let told = told.clone();
        async move {
            read_message(&mut stream, true).await.unwrap();
            let mut part = [0; 4];
            stream.read_exact(&mut part).await.unwrap();
            told.send(part).unwrap();
            assert!(closed(&mut stream).await);
        }
    })
    .await;
    let hot = Hot::before(origin.address).await;
    let client = send(hot.address, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\npart").await;
    assert_eq!(hears.recv().await.as_ref(), Some(b"part"));
    drop(client);
    let exchange = hot.exchange().await;
    assert_eq!(exchange.error, Some(CaptureError::ClientAborted));
    let Teed::Cut(held) = &exchange.request_body else { panic!("{:?}", exchange.request_body) };
    assert_eq!(&held.bytes[..], b"part");
    drop(exchange);
    hot.stop().await;
}

#[tokio::test]
async fn a_primary_that_breaks_off_is_a_reset_and_the_client_notices() {
    let origin = Origin::spawn(|_, mut stream| async move {
        read_message(&mut stream, false).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst").await.unwrap();
    })
    .await;
    let hot = Hot::before(origin.address).await;
    let mut client = send(hot.address, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(read_message(&mut client, false).await, None, "the client must not take the part for the whole");
    let exchange = hot.exchange().await;
    assert_eq!(exchange.error, Some(CaptureError::Reset));
    drop(exchange);
    hot.stop().await;
}

#[tokio::test]
async fn each_failure_of_the_primary_has_its_class_and_status() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let babbler = Origin::spawn(|_, mut stream| async move {
        read_message(&mut stream, true).await.unwrap();
        let _ = stream.write_all(b"this is not HTTP\r\n\r\n").await;
    })
    .await;
    let closer = Origin::spawn(|_, mut stream| async move {
        read_message(&mut stream, true).await.unwrap();
    })
    .await;
    let silent = silent_origin().await;
    let impatient = PrimarySection { answer: Some("50ms".parse().unwrap()), ..Default::default() };
    for (address, class, told) in [
        (nobody, CaptureError::Connect, "HTTP/1.1 502 Bad Gateway\r\n"),
        // What a primary says or does not say reaches the client as it would without the agent.
        (babbler.address, CaptureError::Protocol, "this is not HTTP\r\n\r\n"),
        (closer.address, CaptureError::Reset, ""),
        (silent.address, CaptureError::Timeout, "HTTP/1.1 504 Gateway Timeout\r\n"),
    ] {
        let hot = Hot::with(address, impatient.clone(), 1024);
        let mut client = send(hot.address, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(told) && answer.is_empty() == told.is_empty(), "{class:?}: {answer:?}");
        let exchange = hot.exchange().await;
        assert_eq!((exchange.error, exchange.response.is_none()), (Some(class), true));
        drop(exchange);
        hot.stop().await;
    }
}

#[tokio::test]
async fn an_early_answer_leaves_the_request_body_cut_and_no_error() {
    let origin = Origin::spawn(|_, mut stream| async move {
        read_message(&mut stream, true).await.unwrap();
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        // Reads on, as a well-behaved server does, so that the answer is not lost to a reset.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    })
    .await;
    let hot = Hot::before(origin.address).await;
    let mut client = send(hot.address, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome").await;
    assert_eq!(read_message(&mut client, false).await.unwrap().body, b"no");
    drop(client);
    let exchange = hot.exchange().await;
    assert_eq!(exchange.response.as_ref().unwrap().status, 413);
    assert!(matches!(exchange.request_body, Teed::Cut(_)), "{:?}", exchange.request_body);
    drop(exchange);
    hot.stop().await;
}

#[tokio::test]
async fn a_replayed_request_is_never_captured_and_only_a_signed_mark_rings_the_alarm() {
    let (origin, requests) = Origin::canned(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let hot = Hot::before(origin.address).await;
    let (launch, request_id) = ("v2".parse().unwrap(), RequestId::generate());
    let mark = Mark { launch, request_id, attempt: 1, leg: Leg::Candidate, send: 0 };
    let signed = mark.sign(|body| hot.limits.masker.mark_tag(body));
    let passed_on = format!("a=b, {}", shadow_control::to_baggage(&signed));
    let lines = [
        ("Shadowline-Replay: forged", 0),
        (&format!("Shadowline-Replay: {signed}"), 1),
        (&format!("Baggage: {passed_on}"), 2),
        (&format!("Baggage: {}", passed_on.replace("v2", "v3")), 2),
    ];
    for (line, rings) in lines {
        ask(hot.address, format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n").as_bytes()).await;
        assert_eq!(hot.alarm.count(), rings, "{line}");
    }
    assert_eq!(requests.lock().unwrap().len(), 4, "it is served all the same");
    let (rest, account) = hot.stop().await;
    assert_eq!((rest.len(), account.excluded_for(Exclusion::Replayed)), (1, 3), "who only pretends is captured");
}

#[tokio::test]
async fn at_the_stop_requests_in_progress_finish() {
    let go_on = Arc::new(tokio::sync::Notify::new());
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let proceed = go_on.clone();
    let origin = Origin::spawn(move |_, mut stream| {
        let (proceed, told) = (proceed.clone(), told.clone());
        async move {
            read_message(&mut stream, false).await.unwrap();
            told.send(()).unwrap();
            proceed.notified().await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await.unwrap();
        }
    })
    .await;
    let hot = Hot::before(origin.address).await;
    let mut client = send(hot.address, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    hears.recv().await.unwrap();
    let address = hot.address;
    hot.shutdown.cancel();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.notify_one();
    assert_eq!(read_message(&mut client, false).await.unwrap().body, b"late");
    let (rest, _) = hot.stop().await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].error, None);
}
