//! What must not be lost when one end has said everything, or says it in its own way.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Running, run};
use crate::wire::{Origin, read_message, send};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn every_request_that_a_client_sent_before_its_end_is_answered() {
    run(async {
        // More than are passed on ahead of their responses.
        const MANY: usize = 40;
        let (origin, requests) = Origin::canned(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let running = Running::before(origin.address).await;
        let mut client = send(running.address(), &GET.repeat(MANY)).await;
        client.shutdown().await.unwrap();
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers.windows(15).filter(|bytes| bytes == b"HTTP/1.1 200 OK").count(), MANY);
        assert_eq!(requests.lock().unwrap().len(), MANY);
        assert_eq!(running.stop().await.seen, MANY as i64);
    });
}

#[test]
fn a_server_with_habits_of_its_own_leaves_the_connection_in_use() {
    run(async {
        for habit in [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0 \r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nNot a header\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
        ] {
            let origin = Origin::spawn(move |_, mut stream| async move {
                while read_message(&mut stream, false).await.is_some() {
                    stream.write_all(habit).await.unwrap();
                }
            })
            .await;
            let running = Running::before(origin.address).await;
            let mut client = send(running.address(), b"").await;
            for _ in 0..2 {
                client.write_all(GET).await.unwrap();
                let mut answer = vec![0; habit.len()];
                client.read_exact(&mut answer).await.unwrap();
                assert_eq!(answer.escape_ascii().to_string(), habit.escape_ascii().to_string());
            }
            drop(client);
            assert_eq!(running.stop().await.seen, 2);
        }
    });
}
