//! Against real listeners.

use futures::FutureExt as _;
use rustix::net::sockopt;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

use super::*;
use crate::edge::tls::tests::Authority;
use crate::edge::tls::{ClientTls, ServerTls};

const PATIENCE: Duration = Duration::from_secs(60);

fn client() -> Ends {
    Ends { peer: "192.0.2.1:1".parse().unwrap(), local: "192.0.2.2:2".parse().unwrap() }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn the_primary_is_told_who_the_client_is_before_anything_else() {
    let (listener, port) = listen().await;
    for (announce, header) in [
        (None, Vec::new()),
        (Some(Version::V1), b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec()),
        (Some(Version::V2), proxy_protocol::encode(Version::V2, client())),
    ] {
        let dial = Dial::new("localhost", port, None, announce, Alpn::Http1, PATIENCE);
        let mut stream = dial.connect(client()).await.unwrap();
        let socket = stream.socket();
        assert!(socket.nodelay().unwrap() && sockopt::socket_keepalive(socket).unwrap());
        stream.write_all(b"GET /").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        listener.accept().await.unwrap().0.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [header, b"GET /".to_vec()].concat());
    }
}

#[tokio::test]
async fn http2_over_tls_needs_a_primary_that_agrees_to_it() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let secure = |protocol| -> ClientTls { authority.client("shop.test", &[protocol]) };
    let (listener, port) = listen().await;
    for (spoken, wanted, fits) in [
        (&[Alpn::Http2, Alpn::Http1][..], Alpn::Http2, true),
        (&[Alpn::Http1], Alpn::Http1, true),
        (&[], Alpn::Http1, true),
        (&[], Alpn::Http2, false),
    ] {
        let server = ServerTls::load(&authority.server_files("shop"), spoken).unwrap();
        let dial = Dial::new("127.0.0.1", port, Some(secure(wanted)), Some(Version::V2), wanted, PATIENCE);
        let primary = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            assert_eq!(proxy_protocol::read(&mut socket).await.unwrap(), Some(client()));
            server.accept(socket).await
        };
        let (connected, _accepted) = tokio::join!(dial.connect(client()), primary);
        match connected {
            Ok(stream) => assert!(fits && stream.is_tls()),
            Err(error) => assert!(!fits && matches!(error, DialError::Protocol), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_primary_that_is_not_there_or_not_itself_is_told_apart() {
    let (listener, port) = listen().await;
    drop(listener);
    let dial = Dial::new("127.0.0.1", port, None, None, Alpn::Http1, PATIENCE);
    assert!(matches!(dial.connect(client()).await, Err(DialError::Connect(_))));

    let (listener, port) = listen().await;
    let (authority, other) = (Authority::found(), Authority::found());
    authority.issue("shop", "shop.test", None);
    let server = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    let tls = Some(other.client("shop.test", &[]));
    let dial = Dial::new("127.0.0.1", port, tls, None, Alpn::Http1, PATIENCE);
    let primary = async { server.accept(listener.accept().await.unwrap().0).await };
    let (connected, accepted) = tokio::join!(dial.connect(client()), primary);
    assert!(matches!(connected, Err(DialError::Handshake(_))) && accepted.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_silent_in_the_handshake_costs_no_more_than_the_patience() {
    let (_listener, port) = listen().await;
    let authority = Authority::found();
    let tls = Some(authority.client("shop.test", &[]));
    let dial = Dial::new("127.0.0.1", port, tls, None, Alpn::Http1, PATIENCE);
    assert!(matches!(dial.connect(client()).await, Err(DialError::Timeout)));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_swallows_connections_costs_its_share_once_and_hides_no_other() {
    // A listener whose queue is full answers nobody.
    let mute = TcpSocket::new_v4().unwrap();
    mute.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mute = mute.listen(1).unwrap();
    let swallows = mute.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(socket) = try_address(swallows, Duration::from_secs(1)).await {
        queue.push(socket);
        assert!(queue.len() < 64, "the queue never fills");
    }
    let (_listener, port) = listen().await;
    let well = SocketAddr::from(([127, 0, 0, 1], port));
    let host = Host::resolved_by("shop.test", move || async move { Ok(vec![swallows, well]) }.boxed());
    let dial = Dial { host: Arc::new(host), ..Dial::new("127.0.0.1", port, None, None, Alpn::Http1, PATIENCE) };

    for cost in [PATIENCE / 2, Duration::ZERO] {
        let begin = Instant::now();
        let stream = dial.connect(client()).await.unwrap();
        assert_eq!(stream.socket().peer_addr().unwrap(), well);
        assert_eq!(begin.elapsed().as_secs(), cost.as_secs());
    }
}

#[tokio::test]
async fn the_agents_own_listener_is_no_primary_and_hides_no_other_address() {
    let (own, port) = listen().await;
    let (_primary, other) = listen().await;
    let [own, other] = [own.local_addr().unwrap(), SocketAddr::from(([127, 0, 0, 1], other))];
    let dial = |addresses: Vec<SocketAddr>| {
        let host = Host::resolved_by("shop.test", move || {
            let addresses = addresses.clone();
            async move { Ok(addresses) }.boxed()
        });
        let dial = Dial::new("127.0.0.1", port, None, None, Alpn::Http1, PATIENCE).apart_from(Own::new([own]));
        Dial { host: Arc::new(host), ..dial }
    };
    let circle = dial(vec![own]);
    let refused = circle.connect(client()).await.err();
    assert!(matches!(refused, Some(DialError::Itself(listener)) if listener == own), "{refused:?}");
    let failed: Vec<_> = circle.failed().filter(|(_, count)| *count > 0).collect();
    assert_eq!(failed, [("itself", 1)]);

    let both = dial(vec![own, other]);
    assert_eq!(both.connect(client()).await.unwrap().socket().peer_addr().unwrap(), other);
    assert!(both.failed().all(|(_, count)| count == 0));
}
