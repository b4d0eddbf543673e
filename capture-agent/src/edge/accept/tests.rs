//! Who is let in, and who not.

use rustix::net::sockopt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::edge::tls::tests::{Authority, sockets};

fn door(announced: Announced) -> Door {
    Door::new(None, announced, Duration::from_secs(60))
}

#[tokio::test]
async fn a_plain_connection_is_let_in_as_it_is() {
    let (near, far) = sockets().await;
    let (peer, local) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
    let (stream, ends) = door(Announced::Off).admit(far, peer).await.unwrap();
    assert!(!stream.is_tls() && stream.socket().nodelay().unwrap());
    assert!(sockopt::socket_keepalive(stream.socket()).unwrap());
    assert_eq!(ends, Ends { peer, local });
}

#[tokio::test]
async fn the_header_says_who_the_client_is_and_comes_before_the_handshake() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let tls = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    let client = authority.client("shop.test", &[]);
    for (header, told) in [
        (&b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..], Some(("192.0.2.1:1", "192.0.2.2:2"))),
        (b"PROXY UNKNOWN\r\n", None),
    ] {
        let (mut near, far) = sockets().await;
        let own = Ends { peer: near.local_addr().unwrap(), local: near.peer_addr().unwrap() };
        let told =
            told.map_or(own, |(peer, local)| Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() });
        let door = Door { tls: Some(tls.clone()), ..door(Announced::Required) };
        let caller = async {
            near.write_all(header).await.unwrap();
            let mut near = client.connect(near).await.unwrap();
            near.write_all(b"hello").await.unwrap();
            near.shutdown().await.unwrap();
        };
        let (admitted, ()) = tokio::join!(door.admit(far, own.peer), caller);
        let (mut stream, ends) = admitted.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!((all.as_slice(), ends), (&b"hello"[..], told));
    }
}

#[tokio::test]
async fn who_brings_no_header_or_no_tls_is_not_let_in() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let tls = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    for (door, reason) in [
        (door(Announced::Required), "proxy_header"),
        (Door { tls: Some(tls), ..door(Announced::Off) }, "tls_handshake"),
    ] {
        let (mut near, far) = sockets().await;
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let refusal = door.admit(far, near.local_addr().unwrap()).await.unwrap_err();
        for (counted, times) in door.refused() {
            assert_eq!(times, u64::from(counted == reason), "{counted}: {refusal}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_gone_when_the_patience_is_over() {
    let authority = Authority::found();
    authority.issue("shop", "shop.test", None);
    let tls = ServerTls::load(&authority.server_files("shop"), &[]).unwrap();
    for (door, words) in [
        (door(Announced::Required), &b"PROXY"[..]),
        (Door { tls: Some(tls.clone()), ..door(Announced::Off) }, b"\x16\x03\x01"),
        (Door { tls: Some(tls), ..door(Announced::Required) }, b"PROXY UNKNOWN\r\n"),
    ] {
        let (mut near, far) = sockets().await;
        near.write_all(words).await.unwrap();
        let refusal = door.admit(far, near.local_addr().unwrap()).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Late), "{refusal}");
        // Closed, with or without a word of TLS.
        let _ = near.read_to_end(&mut Vec::new()).await;
    }
}
