//! Ten thousand clients that send one byte of a request's head a second, while a normal one wants its answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::agent::{Agent, AgentPlan, Pinning};
use super::cpus::{self, pin_this_thread, raise_open_files};
use super::legs::Leg;
use super::legs::{Measured, Round, plan};
use super::load::Pace;
use super::origin::Origin;
use super::report::{Report, Table};
use super::setup::Setup;
use super::stats::{ratio, typical};

/// Slow clients.
const SLOW: usize = 10_000;
/// Requests a second of the normal client.
const RATE: u32 = 200;
/// Its connections.
const CONNECTIONS: usize = 8;
/// Open files for everything else.
const SPARE: u64 = 1_000;
/// The time between two bytes.
const BYTE: Duration = Duration::from_secs(1);
/// Longest wait until all slow clients are there.
const GATHERING: Duration = Duration::from_secs(60);
/// Clients that share one source address, well below the ports that one address has.
const PER_ADDRESS: usize = 2_000;

/// Runs it.
pub fn run(setup: &Setup) {
    let rate = setup.args.rate.unwrap_or(RATE);
    // Twice, should an agent open a connection to the primary for each; at least once. It inherits the limit.
    let files = raise_open_files(2 * SLOW as u64 + SPARE);
    if files < SLOW as u64 + SPARE {
        println!(
            "only {files} open files are allowed, and {SLOW} clients need more; raise the hard limit (`ulimit -Hn`)"
        );
        return;
    }
    let origin = Origin::start(setup.cpus.load);
    let stack = setup.kafka(true);
    let agent = setup.agent_plan("agent", origin.address, stack.brokers());
    // Slow clients never reach the primary, so they need one open file each, not two as the agent reckons by itself.
    let agent =
        Agent::start(AgentPlan { connections: Some(SLOW + SPARE as usize), ..agent }).expect("the agent starts");
    let agent = Rc::new(agent.capturing());
    let mut leg = Leg::agent("agent", agent.clone(), Pinning::Everything);
    let plan = plan(CONNECTIONS, Pace::Open(rate), setup.args.seconds, &setup.cpus);
    let [mut without, mut with] = ["without", "with"].map(|name| Measured { leg: name.to_owned(), rounds: Vec::new() });
    let resident = || cpus::memory(agent.process.id()).0;
    let (already, before, mut most) = (origin.answered(), resident(), 0);
    let (mut least, mut closed) = (SLOW as i64, 0);
    for round in 0..setup.args.rounds {
        without.rounds.push(leg.turn(plan, &setup.cpus).expect("the agent serves"));
        let slow = Slow::start(agent.address, setup.cpus.load);
        slow.gather();
        with.rounds.push(leg.turn(plan, &setup.cpus).expect("the agent serves"));
        most = most.max(resident());
        least = least.min(slow.connected.load(Ordering::Relaxed));
        closed += slow.closed.load(Ordering::Relaxed);
        drop(slow);
        eprintln!("round {} of {} is done", round + 1, setup.args.rounds);
    }

    let both = [&without, &with];
    let mut table = Table::new(&["slow clients", "p50", "p99", "failed", "unanswered"]);
    for m in both {
        table.row(&[
            m.leg.clone(),
            typical(&m.each(|r| r.latency.p50)).show(3),
            typical(&m.each(|r| r.latency.p99)).show(3),
            m.sum(|r| r.failed).to_string(),
            m.sum(|r| r.unanswered).to_string(),
        ]);
    }
    table.print(&format!("{SLOW} slow clients beside {rate} requests/s; ms, typical round [95 %]"));
    let beside = |of: fn(&Round) -> f64| ratio(&with.each(of), &without.each(of)).show(2);
    println!("with / without: p50 {}, p99 {}", beside(|r| r.latency.p50), beside(|r| r.latency.p99));
    println!("slow clients connected at the end of a round, at least: {least}; closed by the agent in all: {closed}");
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!(
        "agent's resident MiB: before {:.1}, with slow clients at most {:.1}, after they left {:.1}",
        mib(before),
        mib(most),
        mib(resident())
    );
    println!(
        "requests that reached the origin: {}, sent by the normal client: {}",
        origin.answered() - already,
        without.sum(|r| r.sent) + with.sum(|r| r.sent)
    );
    let mut report = Report::new(&setup.args, &setup.cpus);
    report.put("legs", both);
    report.put("agent_resident_kib", [before, most, resident()]);
    report.write(setup.args.json.as_deref());
    drop((leg, agent));
    setup.runtime.block_on(stack.stop());
}

/// The slow clients, on a thread of their own; dropping it hangs them all up.
struct Slow {
    connected: Arc<AtomicI64>,
    closed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Slow {
    fn start(target: SocketAddr, cpu: usize) -> Self {
        let (connected, closed) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicU64::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let (counting, hanging, stopping) = (connected.clone(), closed.clone(), stop.clone());
        let run = move || {
            pin_this_thread(&[cpu]);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                for number in 0..SLOW {
                    tokio::spawn(client(number, target, counting.clone(), hanging.clone()));
                }
                while !stopping.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        };
        let thread = std::thread::Builder::new().name("slow".into()).spawn(run).expect("a thread starts");
        Self { connected, closed, stop, thread: Some(thread) }
    }

    /// Waits until all are connected.
    fn gather(&self) {
        let deadline = Instant::now() + GATHERING;
        // Some may just be coming back from having been closed.
        while self.connected.load(Ordering::Relaxed) < SLOW as i64 * 99 / 100 {
            let so_far = self.connected.load(Ordering::Relaxed);
            assert!(Instant::now() < deadline, "only {so_far} slow clients were let in");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// One slow client; it comes back when it is closed.
async fn client(number: usize, target: SocketAddr, connected: Arc<AtomicI64>, closed: Arc<AtomicU64>) {
    // Spread over the second, and over source addresses.
    tokio::time::sleep(BYTE * number as u32 / SLOW as u32).await;
    let source = SocketAddr::from((Ipv4Addr::new(127, 0, 1, 1 + (number / PER_ADDRESS) as u8), 0));
    loop {
        let stream = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(source)?;
            socket.connect(target).await
        };
        let Ok(mut stream) = stream.await else {
            tokio::time::sleep(BYTE).await;
            continue;
        };
        connected.fetch_add(1, Ordering::Relaxed);
        drip(&mut stream).await;
        connected.fetch_sub(1, Ordering::Relaxed);
        closed.fetch_add(1, Ordering::Relaxed);
        // Whoever is refused at once does not come back at once.
        tokio::time::sleep(BYTE).await;
    }
}

/// Sends a head that never ends, until the other side has enough.
async fn drip(stream: &mut tokio::net::TcpStream) {
    let head = b"GET /orders/1 HTTP/1.1\r\nHost: slow\r\nX-Slow: ".iter().copied().chain(std::iter::repeat(b'a'));
    let mut answer = [0; 256];
    for byte in head {
        if stream.write_all(&[byte]).await.is_err() {
            return;
        }
        tokio::select! {
            // Whatever comes is a refusal.
            _ = stream.read(&mut answer) => return,
            () = tokio::time::sleep(BYTE) => {}
        }
    }
}
