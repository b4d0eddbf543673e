//! Connections that stop being HTTP: bytes pass both ways until either end leaves, counted as not captured.

use capture_agent::Exclusion;

use crate::conversation::{Conversation, Delivery, How, Leave, Side, Stage, difference, hear, hear_out, say, talk};
use crate::support::{Running, run};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: h\r\nconnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const CONNECT: &[u8] = b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n";

/// What no HTTP reader could make sense of, in turns that depend on each other.
fn chat(start: Conversation) -> Conversation {
    start
        .client(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
        .origin(b"\x81\x05Hello")
        .origin(b"\0\r\n\r\nHTTP/1.1 400 no\r\n\r\n")
        .client(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")
        .client([b'z'; 100_000])
        .origin([b'y'; 100_000])
}

/// (script, how many of its requests became tunnels)
fn table() -> Vec<(Conversation, i64)> {
    vec![
        (chat(talk("upgraded").client(UPGRADE).origin(SWITCHED)), 1),
        (chat(talk("upgraded, ended by the origin").client(UPGRADE).origin(SWITCHED)).origin_closes(), 1),
        (chat(talk("upgraded, reset by the origin").client(UPGRADE).origin(SWITCHED)).ends(Leave::Reset(Side::Origin)), 1),
        (chat(talk("upgraded, first words behind the head").client(UPGRADE).origin([SWITCHED, b"first"].concat())), 1),
        (
            chat(talk("upgraded in a later request").client(GET).origin(OK).client(UPGRADE).origin(SWITCHED)).requests(2),
            1,
        ),
        (
            chat(talk("upgraded by a request with a body")
                .client("POST /chat HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: own/2\r\nContent-Length: 3\r\n\r\nabc")
                .origin("HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: own/2\r\n\r\n")),
            1,
        ),
        (
            talk("an upgrade that is not granted")
                .client(UPGRADE)
                .origin("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
                .client(GET)
                .origin(OK)
                .requests(2),
            0,
        ),
        (chat(talk("connect").client(CONNECT).origin("HTTP/1.1 200 Connection established\r\n\r\n")), 1),
        (
            chat(talk("connect, granted with a length that means nothing")
                .client(CONNECT)
                .origin("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")),
            1,
        ),
        (chat(talk("connect in HTTP/1.0").client("CONNECT o:1 HTTP/1.0\r\n\r\n").origin("HTTP/1.0 200 OK\r\n\r\n")), 1),
    ]
}

#[test]
fn tunnels_carry_any_bytes_both_ways_and_are_counted_as_not_captured() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let (mut seen, mut excluded) = (0, 0);
        for (script, tunnels) in table() {
            let direct = stage.play(stage.address(), &script, Delivery::Whole).await;
            let through = stage.play(running.address(), &script, Delivery::Whole).await;
            assert_eq!(difference(&script, &script.ideal(&direct), &direct), None, "the script itself does not play");
            assert_eq!(difference(&script, &direct, &through), None);
            seen += script.requests;
            excluded += tunnels;
        }
        let account = running.stop().await;
        assert_eq!(account.seen, seen, "{account:?}");
        assert_eq!(account.excluded_for(Exclusion::Tunnel), excluded);
    });
}

#[test]
fn a_refused_connect_leaves_the_connection_in_use() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let script = talk("connect, refused")
            .client(CONNECT)
            .origin("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 2\r\n\r\nno")
            .client(GET)
            .origin(OK)
            .requests(2);
        let direct = stage.play(stage.address(), &script, Delivery::Whole).await;
        let through = stage.play(running.address(), &script, Delivery::Whole).await;
        assert_eq!(difference(&script, &direct, &through), None);
        assert_eq!(running.stop().await.seen, 2);
    });
}

#[test]
fn bytes_sent_on_the_hope_of_an_upgrade_are_not_lost_and_not_taken_for_a_request() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let early = b"\x81\x80\0\0\0\0";
        let mut client = Stage::connect(running.address()).await;
        say(&mut client, &[UPGRADE, early].concat(), Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        assert_eq!(hear(&mut origin, UPGRADE.len()).await.bytes, UPGRADE);
        say(&mut origin, SWITCHED, Delivery::Whole).await;
        assert_eq!(hear(&mut client, SWITCHED.len()).await.bytes, SWITCHED);
        assert_eq!(hear(&mut origin, early.len()).await.bytes, early);
        drop(client);
        assert_eq!(hear_out(&mut origin).await.how, How::Closed);
        assert_eq!(running.stop().await.excluded_for(Exclusion::Tunnel), 1);
    });
}
