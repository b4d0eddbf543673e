use std::net::SocketAddr;

use shadow_control::ControlState;
use shadow_mask::{MaskKey, Masker, Ruleset};
use shadow_record::RouteTable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::samples;
use crate::target::Lists;

fn digester() -> Digester {
    let key = MaskKey::parse(&"k".repeat(32)).unwrap();
    Masker::new(key, Ruleset::default(), RouteTable::default()).digester()
}

fn sender(timeout: Duration) -> Sender {
    crate::use_ring();
    let (_, control) = watch::channel(Arc::new(ControlState::empty()));
    let limits =
        SendLimits { connect_timeout: Duration::from_secs(5), timeout, max_response_body: 1000, idle_connections: 1 };
    Sender::new(
        limits,
        ProvingResolver { target: "http://127.0.0.1:1".parse().unwrap(), lists: Lists::default(), control },
    )
    .unwrap()
}

/// A target that reads a request's head and then does what the test says.
async fn target<F, Fut>(act: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            act(stream).await;
        }
    });
    address
}

/// Answers with these bytes and closes.
async fn answering(bytes: &'static str) -> SocketAddr {
    target(move |mut stream| async move { stream.write_all(bytes.as_bytes()).await.unwrap() }).await
}

async fn send_to(address: SocketAddr) -> Sent {
    let url = format!("http://{address}/a").parse().unwrap();
    sender(Duration::from_secs(20)).send(reqwest::Request::new(reqwest::Method::GET, url), digester()).await
}

async fn failure_of(bytes: &'static str) -> Option<FailureClass> {
    send_to(answering(bytes).await).await.answer.err()
}

#[tokio::test]
async fn an_answer_is_given_whole_and_timed() {
    let sent = send_to(answering("HTTP/1.1 200 OK\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 2\r\n\r\nhi").await).await;
    assert!(sent.first_byte.unwrap() <= sent.total);
    let answer = sent.answer.unwrap();
    assert_eq!((answer.status, answer.headers.get_all("x-a").iter().count()), (200, 2));
    assert!(matches!(answer.body, RawBody::Whole(body) if body == "hi"));
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let sent = send_to(answering("HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n").await).await;
    assert_eq!(sent.answer.unwrap().status, 302);
}

#[tokio::test]
async fn a_long_body_leaves_only_its_digest_and_length() {
    let long = "x".repeat(100_000);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", long.len());
    let body = format!("{head}{long}").leak();
    let answer = send_to(answering(body).await).await.answer.unwrap();
    let mut expected = digester();
    expected.update(long.as_bytes());
    let RawBody::Withheld { length, digest, why } = answer.body else { panic!("{:?}", answer.body) };
    assert_eq!((length, digest, why), (100_000, expected.finish(), Withheld::Truncated));
}

#[tokio::test]
async fn an_endless_body_ends_with_the_timeout() {
    let address = target(|mut stream| async move {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sent = stream.write_all(head).await;
        while sent.is_ok() {
            sent = stream.write_all(chunk.as_bytes()).await;
        }
    })
    .await;
    let url = format!("http://{address}/").parse().unwrap();
    let request = reqwest::Request::new(reqwest::Method::GET, url);
    let sent = sender(Duration::from_millis(200)).send(request, digester()).await;
    assert_eq!(sent.answer.err(), Some(FailureClass::Timeout));
    assert!(sent.first_byte.is_some());
}

#[tokio::test]
async fn a_stalled_answer_ends_with_the_timeout() {
    let address = target(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let url = format!("http://{address}/").parse().unwrap();
    let request = reqwest::Request::new(reqwest::Method::GET, url);
    let sent = sender(Duration::from_millis(50)).send(request, digester()).await;
    assert_eq!((sent.answer.err(), sent.first_byte), (Some(FailureClass::Timeout), None));
}

#[tokio::test]
async fn a_broken_connection_is_a_reset() {
    let reset = target(|stream| async move {
        stream.set_zero_linger().unwrap();
        drop(stream);
    })
    .await;
    assert_eq!(send_to(reset).await.answer.err(), Some(FailureClass::Reset));
    assert_eq!(failure_of("").await, Some(FailureClass::Reset));
    assert_eq!(failure_of("HTTP/1.1 200 OK\r\ncontent-le").await, Some(FailureClass::Reset));
    assert_eq!(failure_of("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await, Some(FailureClass::Reset));
    assert_eq!(
        failure_of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsho").await,
        Some(FailureClass::Reset)
    );
}

#[tokio::test]
async fn garbage_is_a_protocol_failure() {
    for garbage in [
        "\x16\x03\x01 this is not HTTP\r\n\r\n",
        "HTTP/1.1 9x9 \r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello",
    ] {
        assert_eq!(failure_of(garbage).await, Some(FailureClass::Protocol), "{garbage:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_a_connect_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(send_to(address).await.answer.err(), Some(FailureClass::Connect));
}

#[tokio::test]
async fn a_name_that_no_longer_resolves_is_a_connect_failure() {
    crate::use_ring();
    let target: reqwest::Url = "http://gone.invalid/".parse().unwrap();
    let (_, control) = watch::channel(Arc::new(ControlState::empty()));
    let resolver = ProvingResolver { target: target.clone(), lists: Lists::parse(&[], &[]).unwrap(), control };
    let sender = Sender::new(sender(Duration::from_secs(20)).limits, resolver).unwrap();
    let sent = sender.send(reqwest::Request::new(reqwest::Method::GET, target), digester()).await;
    assert_eq!(sent.answer.err(), Some(FailureClass::Connect));
}

#[tokio::test]
async fn a_name_that_now_leads_to_production_is_refused_at_connect() {
    crate::use_ring();
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let launch = samples::launch(&format!("http://localhost:{}/", address.port()));
    let mut state = ControlState::empty();
    let upstream = shadow_control::Upstream {
        service: "shop".parse().unwrap(),
        instance: "a1".to_owned(),
        addresses: vec![address.to_string()],
        change: shadow_control::Change::by("a1", ""),
    };
    state.upstreams.insert("upstream/shop/a1".to_owned(), upstream);
    let (_, control) = watch::channel(Arc::new(state));
    let limits = sender(Duration::from_secs(20)).limits;
    let sender = Sender::new(
        limits,
        ProvingResolver { target: launch.candidate.clone(), lists: Lists::of(&launch, &[]).unwrap(), control },
    )
    .unwrap();
    let sent = sender.send(reqwest::Request::new(reqwest::Method::GET, launch.candidate), digester()).await;
    assert_eq!(sent.answer.err(), Some(FailureClass::TargetRefused));
}

#[tokio::test]
async fn a_name_that_now_leads_into_a_denied_network_is_refused_at_connect() {
    crate::use_ring();
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let target: reqwest::Url = format!("http://localhost:{}/", address.port()).parse().unwrap();
    let limits = sender(Duration::from_secs(20)).limits;
    for (deny, refused) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        // Whichever family the name resolves to first, each of its addresses counts.
        let lists = Lists::parse(&[], &[deny.to_owned()]).unwrap();
        let (_, control) = watch::channel(Arc::new(ControlState::empty()));
        let sender = Sender::new(limits, ProvingResolver { target: target.clone(), lists, control }).unwrap();
        let sent = sender.send(reqwest::Request::new(reqwest::Method::GET, target.clone()), digester()).await;
        assert_eq!(sent.answer.err() == Some(FailureClass::TargetRefused), refused, "{deny}");
    }
}

#[tokio::test]
async fn a_name_that_now_leads_out_of_the_operators_limit_is_refused_at_connect() {
    crate::use_ring();
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let launch = samples::launch(&format!("http://localhost:{}/", address.port()));
    let limits = sender(Duration::from_secs(20)).limits;
    for (limit, refused) in [(&["10.0.0.0/8"][..], true), (&["127.0.0.0/8", "::1"], false), (&["localhost"], false)] {
        let limit: Vec<_> = limit.iter().map(|text| text.parse().unwrap()).collect();
        let lists = Lists::of(&launch, &limit).unwrap();
        let (_, control) = watch::channel(Arc::new(ControlState::empty()));
        let sender = Sender::new(limits, ProvingResolver { target: launch.candidate.clone(), lists, control }).unwrap();
        let request = reqwest::Request::new(reqwest::Method::GET, launch.candidate.clone());
        let sent = sender.send(request, digester()).await;
        assert_eq!(sent.answer.err() == Some(FailureClass::TargetRefused), refused, "{limit:?}");
    }
}
