//! Connections that want nothing, or too many of them: they cost the other clients nothing and the primary never hears of them.

use std::time::Duration;

use capture_agent::Exclusion;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::conversation::{Delivery, How, PATIENCE, Stage, hear, hear_out, say, talk};
use crate::support::{Running, config, run};
use crate::wire::{Origin, ask, read_message};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
/// Each takes two descriptors of this process; the agent raises the limit itself.
const MANY: usize = 1_200;

#[test]
fn a_thousand_connections_that_never_finish_a_head_are_closed_and_harm_nobody() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::with(config(stage.address(), &["listen.header = \"3s\""])).await;
        let mut idlers = Vec::new();
        for number in 0..MANY {
            let mut idler = Stage::connect(running.address()).await;
            // Some send nothing, some a byte, some nearly all of a head.
            let part = &GET[..[0, 1, GET.len() - 1][number % 3]];
            say(&mut idler, part, Delivery::Whole).await;
            idlers.push(idler);
        }
        let script = talk("an ordinary client").client(GET).origin(OK);
        let record = stage.play(running.address(), &script, Delivery::Whole).await;
        assert_eq!(record[1].bytes, OK, "served while the others hold their connections");
        for idler in &mut idlers {
            let heard = hear_out(idler).await;
            assert!(matches!(heard.how, How::Closed | How::Reset), "{heard:?}");
            assert!(heard.bytes.is_empty() || heard.bytes.starts_with(b"HTTP/1.1 408 "), "{heard:?}");
        }
        assert!(stage.accepted().await.is_none(), "the primary was bothered");
        // Who has sent nothing has asked for nothing.
        let begun = idlers.len() as i64 * 2 / 3;
        let account = running.stop().await;
        assert_eq!((account.seen, account.excluded_for(Exclusion::Refused)), (begun + 1, begun));
    });
}

/// Sends a byte whenever the agent has been silent for a moment; what it says or does in the end. Bounded by the head's own
/// limit.
async fn drip(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    for _ in 0..2_000 {
        let mut buffer = [0; 1024];
        match tokio::time::timeout(Duration::from_millis(5), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return heard,
            Ok(Ok(count)) => heard.extend_from_slice(&buffer[..count]),
            Err(_) if stream.write_all(b"x").await.is_err() => return heard,
            Err(_) => {}
        }
    }
    panic!("still open after 2,000 bytes");
}

#[test]
fn a_head_that_drips_in_gains_no_time_by_dripping() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::with(config(stage.address(), &["listen.header = \"300ms\""])).await;
        for start in [&b""[..], b"GET /", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: "] {
            let mut client = Stage::connect(running.address()).await;
            say(&mut client, start, Delivery::Whole).await;
            let heard = drip(&mut client).await;
            assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 408 "), "{}", heard.escape_ascii());
        }
        assert!(stage.accepted().await.is_none());
        let account = running.stop().await;
        assert_eq!((account.seen, account.excluded_for(Exclusion::Refused)), (3, 3));
    });
}

#[test]
fn a_later_head_that_drips_in_is_closed_on_both_sides() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::with(config(stage.address(), &["listen.header = \"300ms\""])).await;
        let mut client = Stage::connect(running.address()).await;
        say(&mut client, GET, Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        hear(&mut origin, GET.len()).await;
        say(&mut origin, OK, Delivery::Whole).await;
        hear(&mut client, OK.len()).await;
        say(&mut client, b"G", Delivery::Whole).await;
        drip(&mut client).await;
        let heard = hear_out(&mut origin).await;
        assert!(heard.bytes.is_empty() && heard.how != How::Silence, "{heard:?}");
        let account = running.stop().await;
        assert_eq!((account.seen, account.excluded_for(Exclusion::Refused)), (2, 1));
    });
}

#[test]
fn the_time_for_a_head_does_not_run_while_bodies_and_answers_pass_or_are_waited_for() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::with(config(stage.address(), &["listen.header = \"100ms\""])).await;
        let mut slow = Stage::connect(running.address()).await;
        say(&mut slow, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na", Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        // The witness: a connection opened later, whose time runs out first.
        let outlive = || async {
            let mut witness = Stage::connect(running.address()).await;
            say(&mut witness, b"G", Delivery::Whole).await;
            hear_out(&mut witness).await;
        };
        outlive().await;
        say(&mut slow, b"b", Delivery::Whole).await;
        assert_eq!(hear(&mut origin, 49).await.how, How::Enough);
        outlive().await;
        say(&mut origin, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", Delivery::Whole).await;
        outlive().await;
        say(&mut origin, b"k", Delivery::Whole).await;
        assert_eq!(hear(&mut slow, OK.len()).await.bytes, OK);
        // Nor between requests: that is for `listen.idle` to end.
        outlive().await;
        say(&mut slow, GET, Delivery::Whole).await;
        assert_eq!(hear(&mut origin, GET.len()).await.bytes, GET);
        drop(slow);
        let account = running.stop().await;
        assert_eq!((account.seen, account.excluded_for(Exclusion::Refused)), (2 + 4, 4), "the witnesses were refused");
    });
}

#[test]
fn an_idle_connection_is_closed_on_both_sides() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::with(config(stage.address(), &["listen.idle = \"200ms\""])).await;
        let mut client = Stage::connect(running.address()).await;
        say(&mut client, GET, Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        hear(&mut origin, GET.len()).await;
        say(&mut origin, OK, Delivery::Whole).await;
        let heard = hear_out(&mut client).await;
        assert_eq!((heard.bytes.as_slice(), heard.how), (OK, How::Closed));
        assert_eq!(hear_out(&mut origin).await.how, How::Closed);
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn connections_beyond_the_limit_wait_outside_until_another_leaves() {
    run(async {
        let (origin, requests) = Origin::canned(OK).await;
        let running = Running::with(config(origin.address, &["listen.connections = 4"])).await;
        let mut inside = Vec::new();
        for _ in 0..4 {
            let mut client = Stage::connect(running.address()).await;
            client.write_all(GET).await.unwrap();
            assert_eq!(read_message(&mut client, false).await.unwrap().body, b"ok");
            inside.push(client);
        }
        let mut outside = Stage::connect(running.address()).await;
        outside.write_all(GET).await.unwrap();
        // Those inside are served on, and nothing of the one outside has passed meanwhile.
        for client in &mut inside {
            client.write_all(GET).await.unwrap();
            assert_eq!(read_message(client, false).await.unwrap().body, b"ok");
        }
        assert_eq!(requests.lock().unwrap().len(), 8);
        inside.pop();
        let served = tokio::time::timeout(PATIENCE, read_message(&mut outside, false)).await.expect("a place was free");
        assert_eq!(served.expect("it waited for the place").body, b"ok");
        drop((inside, outside));
        for _ in 0..8 {
            assert_eq!(ask(running.address(), GET).await.body, b"ok");
        }
        assert_eq!(running.stop().await.seen, 17);
    });
}
