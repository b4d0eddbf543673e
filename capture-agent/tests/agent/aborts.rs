//! Who leaves in the middle of something is missed on the other side, at once and in the same way.

use tokio::io::AsyncWriteExt as _;

use crate::conversation::{
    Conversation, Delivery, Heard, How, Leave, PATIENCE, Side, Stage, hear, hear_out, reset, say, talk,
};
use crate::support::{Running, run};
use crate::wire::closed;

const UPLOAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\npart";
const CHUNKED_UPLOAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npart";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn scripts(leave: fn(Side) -> Leave) -> Vec<Conversation> {
    let (client, origin) = (leave(Side::Client), leave(Side::Origin));
    vec![
        talk("the client, in its upload").client(UPLOAD).ends(client),
        talk("the client, in a chunked upload").client(CHUNKED_UPLOAD).ends(client),
        talk("the client, waiting").client(GET).ends(client),
        talk("the client, in the answer")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
            .ends(client),
        talk("the client, in a second request")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .client(UPLOAD)
            .ends(client)
            .requests(2),
        talk("the primary, in an upload").client(UPLOAD).ends(origin),
        talk("the primary, before its answer").client(GET).ends(origin),
        talk("the primary, behind its interim answer")
            .client(GET)
            .origin("HTTP/1.1 103 Early Hints\r\n\r\n")
            .ends(origin),
        talk("the primary, in an answer of a length")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
            .ends(origin),
        talk("the primary, in an answer of chunks")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npart")
            .ends(origin),
        talk("the primary, in an answer that ends with the connection")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\n\r\npart")
            .ends(origin),
        talk("the primary, in a second answer")
            .client(GET)
            .origin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .client(GET)
            .ends(origin)
            .requests(2),
    ]
}

/// What the side that is left hears, directly and through the agent.
async fn heard(stage: &Stage, running: &Running, script: &Conversation) -> (Heard, Heard) {
    let mut direct = stage.play(stage.address(), script, Delivery::Whole).await;
    let mut through = stage.play(running.address(), script, Delivery::Whole).await;
    assert_eq!(direct.len(), script.turns.len() + 1, "{}", script.name);
    assert_eq!(through.len(), direct.len(), "{}: {through:?}", script.name);
    (direct.pop().unwrap(), through.pop().unwrap())
}

#[test]
fn a_side_that_closes_is_closed_on_the_other_side() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut requests = 0;
        for script in scripts(Leave::Close) {
            let (direct, through) = heard(&stage, &running, &script).await;
            assert_eq!(through, direct, "{}", script.name);
            requests += script.requests;
        }
        assert_eq!(running.stop().await.seen, requests);
    });
}

#[test]
fn a_side_that_breaks_off_is_missed_on_the_other_side_and_never_taken_for_one_that_ended() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut requests = 0;
        for script in scripts(Leave::Reset) {
            let (direct, through) = heard(&stage, &running, &script).await;
            assert_eq!(direct.how, How::Reset, "{}", script.name);
            // Where nothing but the end of the connection says that an answer is over, only a reset says that it is not. Lengths
            // and chunks tell by themselves, so there either end will do.
            let cut = script.name == "the primary, in an answer that ends with the connection";
            let missed = through.how == How::Reset || (!cut && through.how == How::Closed);
            assert!(missed, "{}: {through:?}", script.name);
            assert_eq!(through.bytes, direct.bytes, "{}", script.name);
            requests += script.requests;
        }
        assert_eq!(running.stop().await.seen, requests);
    });
}

#[test]
fn a_client_that_leaves_within_its_first_head_never_reaches_the_primary() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let head = b"GET / HTTP/1.1\r\nHost: h\r\nX-Unfinished";
        for resets in [false, true] {
            let mut client = Stage::connect(running.address()).await;
            say(&mut client, head, Delivery::Whole).await;
            if resets { reset(client) } else { drop(client) }
        }
        assert_eq!(running.stop().await.seen, 0);
        assert!(stage.accepted().await.is_none());
    });
}

#[test]
fn a_client_that_leaves_within_a_later_head_takes_its_primary_connection_along() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut client = Stage::connect(running.address()).await;
        say(&mut client, GET, Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        hear(&mut origin, GET.len()).await;
        say(&mut origin, b"HTTP/1.1 204 No Content\r\n\r\n", Delivery::Whole).await;
        hear(&mut client, 27).await;
        say(&mut client, b"GET /unfini", Delivery::Whole).await;
        drop(client);
        let heard = hear_out(&mut origin).await;
        assert_eq!((heard.bytes.as_slice(), heard.how), (&b""[..], How::Closed), "half a head was forwarded");
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn a_client_that_leaves_an_endless_answer_stops_the_primary() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut client = Stage::connect(running.address()).await;
        say(&mut client, GET, Delivery::Whole).await;
        let mut origin = stage.accept().await.unwrap();
        hear(&mut origin, GET.len()).await;
        let endless = async {
            say(&mut origin, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Delivery::Whole).await;
            while origin.write_all(b"5\r\nevent\r\n").await.is_ok() {}
        };
        let leave = async {
            hear(&mut client, 1 << 20).await;
            drop(client);
        };
        tokio::time::timeout(PATIENCE, async { tokio::join!(endless, leave) })
            .await
            .expect("the primary's writes fail once nobody reads them");
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn a_primary_that_accepts_and_closes_leaves_the_client_without_an_answer() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut client = Stage::connect(running.address()).await;
        say(&mut client, GET, Delivery::Whole).await;
        drop(stage.accept().await.unwrap());
        assert!(closed(&mut client).await, "as without the agent");
        assert_eq!(running.stop().await.seen, 1);
    });
}

#[test]
fn a_client_that_has_said_everything_is_still_answered() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for entrance in [stage.address(), running.address()] {
            let mut client = Stage::connect(entrance).await;
            say(&mut client, GET, Delivery::Whole).await;
            client.shutdown().await.unwrap();
            let mut origin = stage.accept().await.unwrap();
            let heard = hear_out(&mut origin).await;
            assert_eq!((heard.bytes.as_slice(), heard.how), (GET, How::Closed));
            say(&mut origin, answer, Delivery::Whole).await;
            drop(origin);
            let heard = hear_out(&mut client).await;
            assert_eq!((heard.bytes.as_slice(), heard.how), (&answer[..], How::Closed));
        }
        assert_eq!(running.stop().await.seen, 1);
    });
}
