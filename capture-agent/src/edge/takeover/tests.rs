//! Two agents, each a task that accepts and says its name, and clients that never stop coming.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

/// Accepts and says `name` until `stop`.
fn agent(name: u8, listener: TcpListener, stop: CancellationToken) -> JoinHandle<()> {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted.unwrap().0.write_all(&[name]).await.unwrap(),
            }
        }
    })
}

async fn ask(address: SocketAddr) -> u8 {
    let mut answer = Vec::new();
    TcpStream::connect(address).await.unwrap().read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.len(), 1, "a connection was accepted by nobody");
    answer[0]
}

/// The running agent: a listener, its offer, how often it made way, and a stop when it was handed over.
struct Running {
    address: SocketAddr,
    made_way: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
    handing_over: JoinHandle<()>,
    _directory: TempDir,
    path: PathBuf,
}

impl Running {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("takeover.sock");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let offer = Offer::bind(&path, &listener).await.unwrap();
        let stop = CancellationToken::new();
        let serving = agent(b'o', listener, stop.clone());
        let made_way = Arc::new(AtomicUsize::new(0));
        let count = made_way.clone();
        let handing_over = tokio::spawn(async move {
            let make_way = || {
                count.fetch_add(1, Ordering::Relaxed);
                std::future::ready(())
            };
            offer.handed_over(make_way).await;
            stop.cancel();
        });
        Self { address, made_way, serving, handing_over, _directory: directory, path }
    }

    async fn ended(self) -> TempDir {
        self.handing_over.await.unwrap();
        self.serving.await.unwrap();
        self._directory
    }
}

#[tokio::test]
async fn clients_are_served_by_one_or_the_other_throughout() {
    let running = Running::start().await;
    let (address, path) = (running.address, running.path.clone());
    let (stop, changed) = (CancellationToken::new(), Arc::new(Notify::new()));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, changed) = (stop.clone(), changed.clone());
            tokio::spawn(async move {
                let mut served = Vec::new();
                while !stop.is_cancelled() {
                    served.push(ask(address).await);
                    changed.notify_one();
                }
                served
            })
        })
        .collect();
    changed.notified().await;

    let claim = Claim::ask(&path, address).await.expect("the agent hands over");
    let new_stop = CancellationToken::new();
    let new = agent(b'n', claim.listener().unwrap(), new_stop.clone());
    changed.notified().await;
    claim.serving().await;
    let _directory = running.ended().await;
    // The old one is gone: the next word is the new one's.
    assert_eq!(ask(address).await, b'n');
    stop.cancel();
    let served: Vec<u8> = futures::future::join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    assert!(served.contains(&b'o') && served.iter().all(|name| b"on".contains(name)), "{served:?}");

    // The path is free for the new one's own offer.
    Offer::bind(&path, &tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()).await.unwrap();
    new_stop.cancel();
    new.await.unwrap();
}

#[tokio::test]
async fn a_claimant_that_dies_leaves_the_old_agent_serving() {
    let running = Running::start().await;
    for n in 1..=2 {
        let claim = Claim::ask(&running.path, running.address).await.expect("the agent hands over");
        assert_eq!(running.made_way.load(Ordering::Relaxed), n);
        drop(claim);
        assert_eq!(ask(running.address).await, b'o');
    }
    Claim::ask(&running.path, running.address).await.expect("the agent hands over").serving().await;
    let address = running.address;
    let _directory = running.ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody holds the socket any more");
}

#[tokio::test]
async fn a_claimant_that_dies_before_it_has_the_socket_leaves_the_old_agent_serving() {
    let running = Running::start().await;
    let mut stream = UnixStream::connect(&running.path).await.unwrap();
    stream.write_all(format!("{CLAIM}{}\n", running.address).as_bytes()).await.unwrap();
    drop(stream);
    assert_eq!(ask(running.address).await, b'o');
    assert!(Claim::ask(&running.path, running.address).await.is_some());
}

#[tokio::test]
async fn an_old_agent_that_dies_leaves_the_socket_to_the_new_one() {
    let running = Running::start().await;
    let claim = Claim::ask(&running.path, running.address).await.expect("the agent hands over");
    running.serving.abort();
    running.handing_over.abort();
    assert!(running.serving.await.is_err() && running.handing_over.await.is_err());
    // Nobody accepts now, but the kernel queues.
    let mut waiting = TcpStream::connect(running.address).await.unwrap();
    let stop = CancellationToken::new();
    let new = agent(b'n', claim.listener().unwrap(), stop.clone());
    claim.serving().await;
    assert_eq!(waiting.read_u8().await.unwrap(), b'n');
    Offer::bind(&running.path, &TcpListener::bind("127.0.0.1:0").unwrap()).await.unwrap();
    stop.cancel();
    new.await.unwrap();
}

#[tokio::test]
async fn an_agent_for_another_address_is_refused_and_the_admin_endpoint_left_alone() {
    let running = Running::start().await;
    for other in ["127.0.0.1:9", "0.0.0.0:0"] {
        assert!(Claim::ask(&running.path, other.parse().unwrap()).await.is_none());
    }
    assert_eq!(running.made_way.load(Ordering::Relaxed), 0);
    // A port of 0 means whichever the running agent has.
    assert!(Claim::ask(&running.path, "127.0.0.1:0".parse().unwrap()).await.is_some());
}

#[tokio::test]
async fn nonsense_is_refused_with_a_reason_and_the_next_claim_heard() {
    let running = Running::start().await;
    for (words, answer) in [("takeover 2 127.0.0.1:1\n", "versions do not fit"), ("GET / HTTP/1.1\r\n", "versions")] {
        let mut stream = UnixStream::connect(&running.path).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.contains(answer), "{told}");
    }
    assert!(Claim::ask(&running.path, running.address).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_silent_claimant_does_not_keep_others_waiting() {
    let running = Running::start().await;
    let _silent = UnixStream::connect(&running.path).await.unwrap();
    assert!(Claim::ask(&running.path, running.address).await.is_some());
}

#[tokio::test]
async fn without_a_running_agent_there_is_nothing_to_take_over() {
    let directory = TempDir::new().unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    assert!(Claim::ask(&directory.path().join("none.sock"), address).await.is_none());
    let stale = directory.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(Claim::ask(&stale, address).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_no_agent_is_not_believed() {
    let directory = TempDir::new().unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    for (n, answer) in ["yes\n", "no\n", "", "silence"].into_iter().enumerate() {
        let path = directory.path().join(format!("{n}.sock"));
        let door = UnixListener::bind(&path).unwrap();
        let impostor = async {
            let (mut stream, _) = door.accept().await.unwrap();
            read_line(&mut stream).await.unwrap();
            if answer == "silence" {
                return Some(stream);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            None
        };
        let (claim, _silent) = tokio::join!(Claim::ask(&path, address), impostor);
        assert!(claim.is_none(), "{answer:?}");
    }
}

#[tokio::test]
async fn the_path_is_this_users_alone_and_goes_with_the_offer() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let path = directory.path().join("takeover.sock");
    let bind = |path: &Path| {
        let path = path.to_owned();
        let listener = &listener;
        async move { Offer::bind(&path, listener).await }
    };
    let offer = bind(&path).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(bind(&path).await, Err(TakeoverError::InUse(_))));
    drop(offer);
    assert!(!path.exists());

    // A dead agent's socket is replaced; a file that is none is left alone.
    drop(UnixListener::bind(&path).unwrap());
    let offer = bind(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&path).await, Err(TakeoverError::NotASocket(_))));
    drop(offer);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert!(matches!(bind(&directory.path().join("none/x.sock")).await, Err(TakeoverError::Path { .. })));
}
