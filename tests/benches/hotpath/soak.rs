//! Ten minutes of unkind traffic: a thousand connections, bodies from nothing to 16 MB, one request in a hundred broken off by its
//! client. Memory must not grow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::agent::Pinning;
use super::answer::{Answer, Progress};
use super::cpus::{self, pin_this_thread};
use super::origin::Origin;
use super::report::{Report, Table, yes};
use super::setup::Setup;

/// Client connections.
const CONNECTIONS: u32 = 1000;
/// Requests a second over all of them.
const RATE: u32 = 300;
/// One request in so many is broken off.
const BROKEN_OFF: u64 = 100;
/// One body in so many is huge.
const HUGE_ONE_IN: u64 = 2000;
/// A huge body.
const HUGE: u64 = 16_000_000;
/// The largest of the others.
const LARGE: u64 = 1_000_000;
/// Longest wait for one exchange; a huge body on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    answered: AtomicU64,
    broken_off: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

/// Runs it.
pub fn run(setup: &Setup) {
    let minutes = setup.args.minutes.unwrap_or(10);
    let rate = setup.args.rate.unwrap_or(RATE);
    let origin = Origin::start(setup.cpus.load);
    let stack = setup.kafka(false);
    let mut agent = setup.capturing_agent("agent", origin.address, stack.brokers());
    agent.pin(Pinning::ProxyThreads, &setup.cpus);
    let before = agent.account().expect("the agent tells its account");
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let clients = {
        let (target, cpu, counts, stop) = (agent.address, setup.cpus.load, counts.clone(), stop.clone());
        std::thread::spawn(move || clients(target, cpu, rate, &counts, &stop))
    };

    let mut table = Table::new(&[
        "minute",
        "resident MiB",
        "most MiB",
        "answered",
        "broken off",
        "failed",
        "MB through",
        "in flight",
        "dropped",
    ]);
    let mut resident = Vec::new();
    let started = Instant::now();
    for minute in 0..=minutes {
        let due = started + Duration::from_secs(60 * minute);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        assert!(agent.process.lives(), "the agent has ended:\n{}", agent.process.tail());
        let (now, most) = cpus::memory(agent.process.id());
        let account = agent.account().expect("the agent tells its account").since(&before);
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        resident.push(now);
        table.row(&[
            minute.to_string(),
            format!("{:.1}", now as f64 / 1024.0),
            format!("{:.1}", most as f64 / 1024.0),
            of(&counts.answered).to_string(),
            of(&counts.broken_off).to_string(),
            of(&counts.failed).to_string(),
            (of(&counts.bytes) / 1_000_000).to_string(),
            account.in_flight.to_string(),
            account.dropped.to_string(),
        ]);
        eprintln!("minute {minute} of {minutes}: {:.1} MiB", now as f64 / 1024.0);
    }
    stop.store(true, Ordering::Relaxed);
    drop(clients.join());
    let account = agent.settled().expect("the agent tells its account").since(&before);
    let (sent, answered) = (counts.sent.load(Ordering::Relaxed), counts.answered.load(Ordering::Relaxed));
    table.print(&format!("Soak: {CONNECTIONS} connections, about {rate} requests/s, {minutes} minutes"));
    println!("{}", account.show());
    println!(
        "balances: {}; seen lies between answered {answered} and begun {sent}: {}",
        yes(account.balances()),
        yes((answered..=sent).contains(&(account.seen as u64)))
    );
    if let (Some(first), Some(last)) = (resident.get(1), resident.last()) {
        println!("resident memory at the end is {:.2} times that of the first minute", *last as f64 / *first as f64);
    }
    let mut report = Report::new(&setup.args, &setup.cpus);
    report.put("resident_kib_by_minute", &resident);
    report.put("account", account);
    report.put(
        "clients",
        json!({ "sent": sent, "answered": answered, "broken_off": counts.broken_off.load(Ordering::Relaxed),
        "failed": counts.failed.load(Ordering::Relaxed), "bytes": counts.bytes.load(Ordering::Relaxed) }),
    );
    report.write(setup.args.json.as_deref());
    drop(agent);
    setup.runtime.block_on(stack.stop());
}

/// All clients, on one thread, until `stop`.
fn clients(target: SocketAddr, cpu: usize, rate: u32, counts: &Arc<Counts>, stop: &Arc<AtomicBool>) {
    pin_this_thread(&[cpu]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let pause = Duration::from_secs_f64(f64::from(CONNECTIONS) / f64::from(rate));
    let body: Arc<[u8]> = {
        let mut body = vec![b'a'; HUGE as usize];
        body[0] = b'"';
        body.into()
    };
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..CONNECTIONS {
            let (body, counts, stop) = (body.clone(), counts.clone(), stop.clone());
            tasks.spawn(async move {
                let mut client =
                    Client { target, body, counts, chance: Chance(u64::from(number) + 1), connection: None };
                tokio::time::sleep(pause * number / CONNECTIONS).await;
                let mut turns = tokio::time::interval(pause);
                turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    turns.tick().await;
                    client.turn().await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    });
}

/// The same chances in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Sizes of all magnitudes alike, few of them huge.
    fn size(&mut self) -> u64 {
        match self.below(HUGE_ONE_IN) {
            0 => HUGE,
            n if n % 10 == 0 => 0,
            _ => {
                let exponent = self.below(1_000_000) as f64 / 1e6;
                (LARGE as f64).powf(exponent) as u64
            }
        }
    }
}

struct Client {
    target: SocketAddr,
    body: Arc<[u8]>,
    counts: Arc<Counts>,
    chance: Chance,
    connection: Option<TcpStream>,
}

impl Client {
    /// One request, up or down, sometimes broken off.
    async fn turn(&mut self) {
        let size = self.chance.size();
        let upload = self.chance.below(2) == 0;
        let broken_off = self.chance.below(BROKEN_OFF) == 0;
        // Of the request's and the answer's bytes together, of which there are more than this in either direction.
        let end = if broken_off { self.chance.below(size + 100) } else { u64::MAX };
        let done = tokio::time::timeout(PATIENCE, self.exchange(upload, size, end)).await;
        let (counter, keep) = match done {
            Ok(Ok(true)) => (&self.counts.answered, true),
            Ok(Ok(false)) => (&self.counts.broken_off, false),
            Ok(Err(_)) | Err(_) => (&self.counts.failed, false),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !keep {
            self.connection = None;
        }
    }

    /// True when it was answered, false when this client left before.
    async fn exchange(&mut self, upload: bool, size: u64, end: u64) -> std::io::Result<bool> {
        if self.connection.is_none() {
            self.connection = Some(TcpStream::connect(self.target).await?);
        }
        let stream = self.connection.as_mut().expect("it was just made");
        let (head, body) = match upload {
            true => {
                let head = format!(
                    "POST /orders/1 HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
                );
                (head, &self.body[..size as usize])
            }
            false => (format!("GET /bytes/{size} HTTP/1.1\r\nHost: soak\r\n\r\n"), &[][..]),
        };
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        let mut left = end;
        for part in [head.as_bytes(), body] {
            let now = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            stream.write_all(&part[..now]).await?;
            self.counts.bytes.fetch_add(now as u64, Ordering::Relaxed);
            left = left.saturating_sub(now as u64);
            if left == 0 {
                return Ok(false);
            }
        }
        let (mut answer, mut buffer) = (Answer::default(), vec![0; 16 * 1024]);
        loop {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let n = stream.read(&mut buffer[..most]).await?;
            self.counts.bytes.fetch_add(n as u64, Ordering::Relaxed);
            match answer.feed(&buffer[..n]) {
                _ if n == 0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Progress::Complete => return Ok(true),
                Progress::Wrong => return Err(std::io::ErrorKind::InvalidData.into()),
                Progress::Open => {}
            }
            left = left.saturating_sub(n as u64);
            if left == 0 {
                return Ok(false);
            }
        }
    }
}
