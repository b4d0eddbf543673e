//! Places, and what they cost.

use futures::FutureExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn connections_follow_the_open_files() {
    for (files, connections) in
        [(None, MOST), (Some(0), LEAST), (Some(1024), 256), (Some(65_536), 32_512), (Some(u64::MAX), MOST)]
    {
        assert_eq!(connections_for(files, 0), connections, "{files:?}");
    }
}

#[test]
fn where_files_are_short_the_primarys_calls_give_way_to_clients() {
    for (files, calls, connections) in [
        (None, 1024, MOST),
        (Some(0), 1, LEAST),
        (Some(1024), 25, 193),
        (Some(4096), 179, 1344),
        (Some(65_536), 1024, 29_952),
    ] {
        let fit = calls_for(files, 1024);
        assert_eq!((fit, connections_for(files, fit)), (calls, connections), "{files:?}");
    }
    assert_eq!(calls_for(Some(65_536), 7), 7);
}

#[test]
fn open_files_are_raised_to_the_hard_limit() {
    let raised = raise_open_files();
    let limit = getrlimit(Resource::Nofile);
    assert_eq!((raised, limit.current), (limit.maximum, limit.maximum));
}

#[tokio::test]
async fn a_full_agent_leaves_connections_with_the_kernel_until_a_place_is_free() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Connections::new(1, "listen.connections");
    let _first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();

    let (stream, _, permit) = connections.accept(&listener).await.unwrap();
    assert_eq!((connections.open(), connections.limit(), connections.full()), (1, 1, 0));
    assert!(connections.accept(&listener).now_or_never().is_none());
    assert_eq!((connections.open(), connections.full()), (1, 1));

    drop((stream, permit));
    assert_eq!(connections.open(), 0);
    let (stream, peer, _permit) = connections.accept(&listener).await.unwrap();
    assert_eq!(peer, second.local_addr().unwrap());
    drop(stream);
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn waiting_for_a_connection_counts_as_none_and_giving_up_frees_the_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = Connections::new(1, "listen.connections");
    for _ in 0..3 {
        assert!(connections.accept(&listener).now_or_never().is_none());
        assert_eq!((connections.open(), connections.full()), (0, 0));
    }
}

#[tokio::test]
async fn more_who_wait_for_connections_than_places_are_not_a_full_agent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = Connections::new(1, "listen.connections");
    let (mut first, mut second) = (Box::pin(connections.accept(&listener)), Box::pin(connections.accept(&listener)));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    assert_eq!(connections.full(), 0);

    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let _taken = first.await.unwrap();
    assert!(connections.accept(&listener).now_or_never().is_none());
    assert_eq!(connections.full(), 1);
}
