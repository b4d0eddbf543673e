//! An agent killed (-9) again and again, under load, at rest, before Kafka was ever there, in the middle of its drain: the ledger
//! is exact to the request all the same.
//!
//! What is compared, for each run of the agent: requests that the primary received <= `seen` <= requests that clients sent, since
//! the agent counts a request after it was sent and before it forwards it; and where no request was on its way at the kill, all
//! three are equal. Then each run's equation, and the records in Kafka by epoch and sequence number.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "../support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{self, State as Shared};
use axum::{Router, routing::any};
use shadow_kafka::{Tail, TailEvent, TailFrom};
use shadow_record::{CapturedExchange, State, Status, decode, topics};
use support::{Rig, Service, free_port, test_service, until};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Runs of the agent: each but the last ends with a kill.
const RUNS: usize = 7;
/// Runs that are killed under load.
const STORMS: std::ops::Range<usize> = 2..5;
/// Clients of a storm, each on one connection and without a pause.
const CLIENTS: usize = 4;
/// Acknowledged exchanges that a heartbeat must tell of before a storm's kill, so that every kill hits a running stream.
const UNDER_WAY: i64 = 300;
/// Most requests of one run.
const MOST: u64 = 100_000;
/// The request that the primary never answers.
const ENDLESS: u64 = MOST - 1;

#[tokio::test(flavor = "multi_thread")]
async fn no_kill_of_an_agent_makes_the_ledger_inexact() {
    let rig = Rig::start().await;
    let (primary, accounts) = (Primary::start().await, tempfile::tempdir().unwrap());
    // Kafka is behind a door that is closed during the first run.
    let door = free_port();
    let listen = free_port();
    let mut agent = agent(&primary.address, listen, door, accounts.path());
    let clients = Clients { listen, sent: Default::default() };

    for run in 0..RUNS {
        if run > 0 {
            agent.restart();
        }
        until("the agent to listen", || async { TcpStream::connect(("127.0.0.1", listen)).await.ok() }).await;
        match run {
            0 => {
                clients.quietly(run, 25).await;
                agent.kill();
                open(door, rig.kafka.brokers.clone()).await;
            }
            1 => {
                clients.quietly(run, 50).await;
                agent.kill();
            }
            run if STORMS.contains(&run) => {
                let storm = clients.storm(run);
                until("the stream to run", || async { (acknowledged(&rig, run).await >= UNDER_WAY).then_some(()) })
                    .await;
                agent.kill();
                storm.join_all().await;
            }
            5 => {
                clients.quietly(run, 10).await;
                let endless = clients.endlessly(run);
                until("the endless request", || async { (primary.received(run) == 11).then_some(()) }).await;
                assert!(Command::new("kill").args(["-TERM", &agent.id().to_string()]).status().unwrap().success());
                until("the drain", || async { TcpStream::connect(("127.0.0.1", listen)).await.err() }).await;
                agent.kill();
                endless.join_all().await;
            }
            _ => clients.quietly(run, 10).await,
        }
    }
    until("the last words of the dead", || async {
        let ended = statuses(&rig).await.into_values().filter(|status| status.state == State::Stopped);
        (ended.count() == RUNS - 1).then_some(())
    })
    .await;
    agent.stop();
    assert_eq!(std::fs::read_dir(accounts.path()).unwrap().count(), 0, "every account is settled and gone");

    let (statuses, records) = (statuses(&rig).await, records(&rig).await);
    assert_eq!(statuses.len(), RUNS);
    for (run, status) in statuses.values().enumerate() {
        let of = |name: &str| status.counters.get(name).copied().unwrap_or(0);
        let [seen, acknowledged, in_doubt, lost] = ["seen", "acknowledged", "in_doubt", "lost_with_agent"].map(of);
        let (received, sent) = (primary.received(run) as i64, clients.sent(run) as i64);
        let nobody = BTreeSet::new();
        let arrived = records.get(&status.epoch).unwrap_or(&nobody);
        let in_kafka = arrived.len() as i64;
        let counted: Vec<_> = status.counters.iter().filter(|(_, count)| **count != 0).collect();
        println!("run {run}: received {received}, sent {sent}, in Kafka {in_kafka}, {counted:?}");

        assert_eq!(status.state, State::Stopped);
        assert_eq!((of("killed") == 1, of("in_flight")), (run < RUNS - 1, 0));
        assert!(received <= seen && seen <= sent, "run {run}");
        assert!(STORMS.contains(&run) || (received == seen && seen == sent), "run {run}: no request was on its way");
        let rest = of("excluded") + of("sampled_out") + of("dropped");
        assert_eq!(seen, rest + acknowledged + in_doubt + lost, "run {run}: {:?}", status.counters);
        assert!(acknowledged <= in_kafka && in_kafka <= acknowledged + in_doubt, "run {run}");
        assert!(arrived.last().is_none_or(|last| *last < seen), "run {run}: a record that was never seen");
    }
    assert_eq!(statuses.values().next().unwrap().counters["lost_with_agent"], 25, "Kafka was never there");

    in_clickhouse(&rig, &statuses, &records).await;
    rig.stack.stop().await;
}

/// The whole pipeline on what was captured: the view knows of every record in doubt whether it arrived.
async fn in_clickhouse(rig: &Rig, statuses: &BTreeMap<i64, Status>, records: &BTreeMap<i64, BTreeSet<i64>>) {
    let launch = rig.launch("after-the-kills", |_| {}).await;
    let (replayer, comparator) = (rig.replayer("r").ready().await, rig.comparator("c").ready().await);
    let captured: usize = records.values().map(BTreeSet::len).sum();
    rig.settled(&launch, captured as i64).await;
    let told =
        format!("SELECT count() FROM shadow.ledger_agent WHERE state IN ('killed', 'stopped') HAVING count() = {RUNS}");
    until("the bookkeeping", || async { (!support::sql(&rig.stack, &told).await.is_empty()).then_some(()) }).await;

    let account = "SELECT epoch, state, seen, acknowledged, in_doubt, in_flight, lost_with_agent, balanced \
                   FROM shadow.ledger_agent ORDER BY epoch";
    let expected = statuses.iter().enumerate().map(|(run, (epoch, status))| {
        let of = |name: &str| status.counters.get(name).copied().unwrap_or(0);
        let arrived = records.get(epoch).map_or(0, BTreeSet::len) as i64;
        let state = if run < RUNS - 1 { "killed" } else { "stopped" };
        let in_doubt = of("acknowledged") + of("in_doubt") - arrived;
        format!("{epoch}\t{state}\t{}\t{arrived}\t{in_doubt}\t0\t{}\t1\n", of("seen"), of("lost_with_agent"))
    });
    assert_eq!(support::sql(&rig.stack, account).await, expected.collect::<String>());
    rig.shadowctl(&["ledger"]).await;
    replayer.stop();
    comparator.stop();
}

fn agent(primary: &str, listen: u16, kafka: u16, accounts: &Path) -> Service {
    let config = format!(
        "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"127.0.0.1:{listen}\"\n\
         [primary]\nurl = \"http://{primary}\"\n[capture]\npartitions = 4\naccount = {accounts:?}\nlatency_budget = \"off\"\n\
         lag_budget = \"off\"\n[kafka]\nbrokers = \"127.0.0.1:{kafka}\"\n[masking]\nroutes = [\"* /orders/{{id}}\"]\n"
    );
    Service::start("capture-agent", &config).expecting("Kafka is not ready")
}

/// Opens the way to the brokers; what they advertise is beside it.
async fn open(door: u16, brokers: String) {
    let listener = TcpListener::bind(("127.0.0.1", door)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let brokers = brokers.clone();
            tokio::spawn(async move {
                let mut broker = TcpStream::connect(brokers).await?;
                tokio::io::copy_bidirectional(&mut client, &mut broker).await
            });
        }
    });
}

/// The newest heartbeat of every epoch of the agent.
async fn statuses(rig: &Rig) -> BTreeMap<i64, Status> {
    let mut newest: BTreeMap<i64, Status> = BTreeMap::new();
    let tail = Tail::open(&rig.kafka, topics::STATUS, TailFrom::Start).await.unwrap();
    while let TailEvent::Record(record) = tail.recv().await.unwrap() {
        let status: Status = decode(&record.payload).unwrap();
        if status.instance == "agent-1"
            && newest.get(&status.epoch).is_none_or(|known| known.sequence <= status.sequence)
        {
            newest.insert(status.epoch, status);
        }
    }
    newest
}

/// What the newest heartbeat of a run tells to be acknowledged. The first run had none while it lived, and has one since.
async fn acknowledged(rig: &Rig, run: usize) -> i64 {
    statuses(rig).await.into_values().nth(run).map_or(0, |status| status.counters["acknowledged"])
}

/// The sequence numbers in the captured topic by epoch, each there once.
async fn records(rig: &Rig) -> BTreeMap<i64, BTreeSet<i64>> {
    let mut found: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let tail = Tail::open(&rig.kafka, &topics::captured(&test_service()), TailFrom::Start).await.unwrap();
    while let TailEvent::Record(record) = tail.recv().await.unwrap() {
        let exchange: CapturedExchange = decode(&record.payload).unwrap();
        assert!(found.entry(exchange.epoch).or_default().insert(exchange.sequence), "a record that is there twice");
    }
    found
}

/// A primary that counts the requests of each run by their numbers.
struct Primary {
    address: String,
    received: Arc<[AtomicU64; RUNS]>,
}

impl Primary {
    async fn start() -> Self {
        let received: Arc<[AtomicU64; RUNS]> = Arc::default();
        let app = Router::new().route("/orders/{n}", any(order)).with_state(received.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, received }
    }

    fn received(&self, run: usize) -> u64 {
        self.received[run].load(Ordering::SeqCst)
    }
}

async fn order(Shared(received): Shared<Arc<[AtomicU64; RUNS]>>, extract::Path(n): extract::Path<u64>) -> String {
    received[(n / MOST) as usize].fetch_add(1, Ordering::SeqCst);
    if n % MOST == ENDLESS {
        std::future::pending::<()>().await;
    }
    format!("order {n}")
}

/// Who sends, and how much was sent in each run.
struct Clients {
    listen: u16,
    sent: Arc<[AtomicU64; RUNS]>,
}

impl Clients {
    fn sent(&self, run: usize) -> u64 {
        self.sent[run].load(Ordering::SeqCst)
    }

    /// One request after the other, each with its answer.
    async fn quietly(&self, run: usize, count: u64) {
        let mut connection = connect(self.listen).await.unwrap();
        for _ in 0..count {
            exchange(&mut connection, next(&self.sent, run)).await.unwrap();
        }
    }

    /// As fast as it goes until the connections break.
    fn storm(&self, run: usize) -> JoinSet<()> {
        let client = |_| {
            let (listen, sent) = (self.listen, self.sent.clone());
            async move {
                let Ok(mut connection) = connect(listen).await else { return };
                while exchange(&mut connection, next(&sent, run)).await.is_ok() {}
            }
        };
        (0..CLIENTS).map(client).collect()
    }

    /// One request without an answer.
    fn endlessly(&self, run: usize) -> JoinSet<()> {
        self.sent[run].fetch_add(1, Ordering::SeqCst);
        let listen = self.listen;
        let client = async move {
            let mut connection = connect(listen).await.unwrap();
            let answer = exchange(&mut connection, run as u64 * MOST + ENDLESS).await;
            assert!(answer.is_err(), "an answer to the endless request");
        };
        [client].into_iter().collect()
    }
}

/// The number of a run's next request.
fn next(sent: &[AtomicU64; RUNS], run: usize) -> u64 {
    let number = sent[run].fetch_add(1, Ordering::SeqCst);
    assert!(number < ENDLESS, "a storm that does not end");
    run as u64 * MOST + number
}

async fn connect(listen: u16) -> io::Result<BufReader<TcpStream>> {
    Ok(BufReader::new(TcpStream::connect(("127.0.0.1", listen)).await?))
}

/// Sends one request, once, and reads the answer to its end. HTTP libraries may send again on their own; this does not.
async fn exchange(connection: &mut BufReader<TcpStream>, number: u64) -> io::Result<()> {
    connection.write_all(format!("GET /orders/{number} HTTP/1.1\r\nhost: shop\r\n\r\n").as_bytes()).await?;
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if connection.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            assert!(line.starts_with("HTTP/1.1 200"), "{line}");
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    connection.read_exact(&mut vec![0; length]).await.map(drop)
}
