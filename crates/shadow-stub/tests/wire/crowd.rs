//! More connections than there are places: they wait, and each is answered in the end.

use futures::StreamExt as _;

use super::*;

#[tokio::test]
async fn connections_and_tunnels_beyond_the_limit_wait_for_a_place() {
    let stub = start().await;
    let mut idle = Vec::new();
    for n in 0..LIMITS.connections {
        idle.push(if n % 2 == 0 {
            stub.tunnel("pay.example:80").await
        } else {
            let mut stream = TcpStream::connect(stub.plain).await.unwrap();
            stream.write_all(b"GET /charge HTTP/1.1\r\nhost: pay.example\r\n\r\n").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'H');
            stream
        });
    }
    stub.calls();
    let waiting = TcpStream::connect(stub.plain).await.unwrap();
    let mut asked = tokio::spawn(async move { ask(waiting, "GET /charge HTTP/1.1\r\nhost: pay.example", "").await });
    // Whatever the stub could do by now, it has done: somebody inside is answered after the one who waits has asked.
    idle[1].write_all(b"GET /charge HTTP/1.1\r\nhost: pay.example\r\n\r\n").await.unwrap();
    while stub.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(futures::poll!(&mut asked).is_pending());
    // A tunnel's place is its own until it ends.
    drop(idle.swap_remove(0));
    assert!(asked.await.unwrap().starts_with("HTTP/1.1 201"));
    stub.stop.cancel();
}

#[tokio::test]
async fn thousands_are_all_answered_hundreds_of_them_waiting() {
    const CROWD: usize = 3_000;
    /// Fewer than the kernel keeps for a listener: beyond that it lets clients knock again after seconds.
    const AT_ONCE: usize = 900;
    let stub = start().await;
    let to = stub.plain;
    let clients = (0..CROWD).map(|n| async move {
        let stream = TcpStream::connect(to).await.unwrap();
        let answer = ask(stream, "POST /pay/charge HTTP/1.1\r\nhost: a", &format!("{{\"amount\":{n}}}")).await;
        assert!(answer.ends_with(&format!("{{\"charged\":{n}}}")), "{answer}");
    });
    futures::stream::iter(clients).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    assert_eq!(stub.calls().len(), CROWD);
    stub.stop.cancel();
}
