//! The same awkward messages to an origin directly and through the agent: both ends hear the very same bytes, in the same
//! turns, and the connection ends in the same way.

mod bodies;
mod heads;
mod turns;

use crate::conversation::{Conversation, Delivery, Stage, difference, hear, say, taken};
use crate::support::{Running, run};

fn table() -> Vec<Conversation> {
    let mut table = vec![turns::pipelined()];
    table
        .extend([heads::requests(), heads::responses(), bodies::requests(), bodies::responses()].into_iter().flatten());
    table.extend([turns::interim(), turns::early(), turns::endings()].into_iter().flatten());
    table
}

fn compare(delivery: Delivery) {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut differences = Vec::new();
        let mut requests = 0;
        for script in table() {
            let direct = stage.play(stage.address(), &script, Delivery::Whole).await;
            assert_eq!(difference(&script, &script.ideal(&direct), &direct), None, "the script itself does not play");
            let through = stage.play(running.address(), &script, delivery).await;
            differences.extend(difference(&script, &direct, &through));
            requests += script.requests;
        }
        assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
        assert_eq!(running.stop().await.seen, requests);
    });
}

#[test]
fn both_ends_hear_the_same_bytes_with_and_without_the_agent() {
    compare(Delivery::Whole);
}

#[test]
fn messages_that_come_byte_by_byte_pass_unchanged_as_well() {
    compare(Delivery::ByteByByte);
}

#[test]
fn pipelined_messages_may_be_torn_between_any_two_bytes() {
    run(async {
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let script = turns::pipelined();
        let [(_, requests), (_, answers)] = &script.turns[..] else { panic!("one turn each") };
        for cut in 1..requests.len().max(answers.len()) {
            let mut client = Stage::connect(running.address()).await;
            let (first, rest) = requests.split_at(cut.min(requests.len()));
            tear(&mut client, first, rest).await;
            let mut origin = stage.accept().await.expect("the agent connects");
            let heard = hear(&mut origin, requests.len()).await;
            assert!(heard.bytes == *requests, "requests torn at {cut}: {heard:?}");
            let (first, rest) = answers.split_at(cut.min(answers.len()));
            tear(&mut origin, first, rest).await;
            let heard = hear(&mut client, answers.len()).await;
            assert!(heard.bytes == *answers, "answers torn at {cut}: {heard:?}");
        }
        let count = requests.len().max(answers.len()) as i64 - 1;
        assert_eq!(running.stop().await.seen, script.requests * count);
    });
}

#[test]
fn more_pipelined_requests_than_fit_anywhere_are_answered_in_order() {
    run(async {
        const MANY: usize = 2_000;
        let stage = Stage::new().await;
        let running = Running::before(stage.address()).await;
        let mut client = Stage::connect(running.address()).await;
        let request = |number| format!("POST /{number:04} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
        let answer = |number| format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{number:04}");
        let all = |message: &dyn Fn(usize) -> String| (0..MANY).map(message).collect::<String>().into_bytes();
        let (requests, answers) = (all(&request), all(&answer));
        let serve = async {
            let mut origin = stage.accept().await.unwrap();
            for number in 0..MANY {
                let expected = request(number);
                assert_eq!(hear(&mut origin, expected.len()).await.bytes, expected.as_bytes());
                say(&mut origin, answer(number).as_bytes(), Delivery::Whole).await;
            }
        };
        let (mut reader, mut writer) = client.split();
        let write = async { tokio::io::AsyncWriteExt::write_all(&mut writer, &requests).await.unwrap() };
        let read = async {
            let mut heard = vec![0; answers.len()];
            tokio::io::AsyncReadExt::read_exact(&mut reader, &mut heard).await.unwrap();
            heard
        };
        let (_, _, heard) = tokio::join!(serve, write, read);
        assert!(heard == answers);
        drop(client);
        assert_eq!(running.stop().await.seen, MANY as i64);
    });
}

/// Two writes that are two reads.
async fn tear(stream: &mut tokio::net::TcpStream, first: &[u8], rest: &[u8]) {
    use tokio::io::AsyncWriteExt as _;
    stream.write_all(first).await.unwrap();
    taken(stream).await;
    stream.write_all(rest).await.unwrap();
}
