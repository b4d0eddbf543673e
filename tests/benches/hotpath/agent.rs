//! The agent under test as a process, and its account as `/metrics` tells it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::cpus::{self, Cpus};
use super::process::{Place, Process};
use crate::support::{BINARY, MASKING_KEY, free_port};

/// Longest wait until what the agent has seen is settled.
const SETTLING: Duration = Duration::from_secs(20);

/// Longest wait until the watchdog resumes: its shortest hold and some more.
const WATCHDOG: Duration = Duration::from_secs(15);

/// Which of its threads are held on the proxy's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// Every thread of the process.
    Everything,
    /// Only those that proxy; masking and publishing use any core.
    ProxyThreads,
}

/// What an agent is started with.
#[derive(Clone, Debug)]
pub struct AgentPlan {
    /// Its name, also its instance.
    pub name: String,
    /// The captured service.
    pub service: String,
    /// Where requests go.
    pub primary: SocketAddr,
    /// Bootstrap servers.
    pub brokers: String,
    /// `listen.connections`, where this build knows it.
    pub connections: Option<usize>,
    /// Where account and log are kept instead of a directory of its own.
    pub dir: Option<PathBuf>,
}

/// A running agent.
pub struct Agent {
    /// Where clients connect.
    pub address: SocketAddr,
    /// The process.
    pub process: Process,
    admin: SocketAddr,
    plan: AgentPlan,
    dir: tempfile::TempDir,
}

impl Agent {
    /// Starts one, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(plan: AgentPlan) -> Result<Self, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let [address, admin] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let config = config(&plan, address, admin, &plan.dir.clone().unwrap_or_else(|| dir.path().to_owned()));
        std::fs::write(dir.path().join("agent.toml"), config).expect("the config is written");
        let process = Self::spawn(&plan, dir.path()).listening(address)?;
        Ok(Self { address, process, admin, plan, dir })
    }

    /// Starts it again with the same configuration.
    pub fn restart(&mut self) {
        let process = Self::spawn(&self.plan, self.dir.path()).listening(self.address);
        self.process = process.expect("what started once starts again");
    }

    fn spawn(plan: &AgentPlan, dir: &Path) -> Process {
        let command = [BINARY, "capture-agent", "--config"].map(Into::into).into_iter();
        let command: Vec<_> = command.chain([dir.join("agent.toml").into()]).collect();
        let log = plan.dir.as_deref().unwrap_or(dir).join(format!("{}.log", plan.name));
        // A full disk must not keep the benchmark from starting it.
        let log = if std::fs::OpenOptions::new().create(true).append(true).open(&log).is_ok() {
            log
        } else {
            dir.join("log")
        };
        let place = Place::on(&Cpus::divide().all());
        Process::start(&plan.name, &command, &[("SHADOW_MASKING_KEY", MASKING_KEY)], &place, &log)
    }

    /// The instance's name.
    pub fn instance(&self) -> &str {
        &self.plan.name
    }

    /// Holds its threads where `pinning` says.
    pub fn pin(&self, pinning: Pinning, cpus: &Cpus) -> usize {
        let others = match pinning {
            Pinning::Everything => vec![cpus.proxy],
            Pinning::ProxyThreads => cpus.all(),
        };
        cpus::pin_process(self.process.id(), &[cpus.proxy], &others)
    }

    /// Its account now.
    pub fn account(&self) -> Result<Account, String> {
        let text = get(self.admin, "/metrics").map_err(|error| format!("/metrics: {error}"))?;
        let account = Account::parse(&text).ok_or_else(|| format!("/metrics has no account:\n{text}"))?;
        if account.in_flight < 0 { Err(format!("more was settled than seen: {}", account.show())) } else { Ok(account) }
    }

    /// Waits until its watchdog lets it capture, not endlessly: what is measured is an agent that does. Whether it trips during a
    /// measurement is in the account, as excluded.
    pub fn let_in(&self) {
        let deadline = Instant::now() + WATCHDOG;
        let paused = || {
            let text = get(self.admin, "/metrics").unwrap_or_default();
            text.lines().any(|line| line == "shadow_capture_watchdog_paused 1")
        };
        while paused() {
            if Instant::now() > deadline {
                println!("**{}: the watchdog keeps capturing paused; the turn counts all the same**", self.plan.name);
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Its account when nothing is in flight any more, or when it has been waited for long enough.
    pub fn settled(&self) -> Result<Account, String> {
        let deadline = Instant::now() + SETTLING;
        loop {
            let account = self.account()?;
            if account.in_flight == 0 || Instant::now() > deadline {
                return Ok(account);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a request through it until one was captured: from then on Kafka's part of the agent is there.
    pub fn capturing(self) -> Self {
        let deadline = Instant::now() + SETTLING;
        while self.account().map_or(0, |account| account.acknowledged) == 0 {
            assert!(Instant::now() < deadline, "{} captures nothing:\n{}", self.plan.name, self.process.tail());
            get(self.address, "/orders/1").expect("the agent forwards");
            std::thread::sleep(Duration::from_millis(100));
        }
        self.settled().expect("the agent tells its account");
        self
    }
}

/// Whether this build of the agent keeps its account in a directory.
pub fn keeps_account() -> bool {
    static KEEPS: OnceLock<bool> = OnceLock::new();
    *KEEPS.get_or_init(|| knows("[capture]\naccount = \"/tmp\""))
}

/// Whether this build can be told how many threads proxy.
fn counts_threads() -> bool {
    static COUNTS: OnceLock<bool> = OnceLock::new();
    *COUNTS.get_or_init(|| knows("[listen]\nthreads = 1"))
}

/// Whether this build knows a key: it refuses those that it does not.
fn knows(key: &str) -> bool {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("agent.toml");
    let minimal =
        "[service]\nname = \"bench\"\n[primary]\nurl = \"http://127.0.0.1:1\"\n[kafka]\nbrokers = \"127.0.0.1:1\"\n";
    std::fs::write(&path, format!("{minimal}{key}\n")).expect("the config is written");
    let mut check = Command::new(BINARY);
    check.args(["capture-agent", "--check", "--config"]).arg(&path).env("SHADOW_MASKING_KEY", MASKING_KEY);
    check.output().is_ok_and(|output| output.status.success())
}

fn config(plan: &AgentPlan, listen: SocketAddr, admin: SocketAddr, account: &Path) -> String {
    let account = if keeps_account() { format!("account = {account:?}\n") } else { String::new() };
    // One core, one thread, as the peers have one worker.
    let threads = if counts_threads() { "threads = 1\n" } else { "" };
    let connections = plan.connections.map(|most| format!("connections = {most}\n")).unwrap_or_default();
    let connections = if knows(&format!("[listen]\n{connections}")) { connections } else { String::new() };
    format!(
        "[service]\nname = \"{}\"\ninstance = \"{}\"\n[listen]\naddress = \"{listen}\"\n{threads}{connections}[primary]\nurl = \"http://{}\"\n\
         [capture]\npartitions = 4\n{account}[masking]\nroutes = [\"* /orders/{{id}}\", \"* /bytes/{{n}}\"]\n\
         [kafka]\nbrokers = \"{}\"\n[admin]\nlisten = \"{admin}\"\n[log]\nformat = \"json\"\nlevel = \"info\"\n",
        plan.service, plan.name, plan.primary, plan.brokers
    )
}

/// The body of a small answer; one connection for one request.
fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    // The origin keeps the connection: read as far as the length says.
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        text.extend_from_slice(&buffer[..n]);
        let whole = super::answer::end_of_head(&text).is_some_and(|end| {
            super::answer::content_length(&text[..end]).is_some_and(|length| (text.len() - end) as u64 >= length)
        });
        if n == 0 || whole {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

/// `seen = excluded + sampled_out + dropped + acknowledged + in_doubt + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    pub seen: i64,
    pub excluded: i64,
    pub sampled_out: i64,
    pub dropped: i64,
    pub acknowledged: i64,
    pub in_doubt: i64,
    pub in_flight: i64,
}

impl Account {
    /// From the text of `/metrics`; reasons are summed.
    pub fn parse(text: &str) -> Option<Self> {
        let of = |name: &str| {
            let samples = text.lines().filter_map(|line| {
                let rest = line.strip_prefix("shadow_capture_")?.strip_prefix(name)?;
                (rest.starts_with(' ') || rest.starts_with('{'))
                    .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
            });
            let values: Vec<f64> = samples.collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() as i64)
        };
        Some(Self {
            seen: of("seen_total")?,
            excluded: of("excluded_total")?,
            sampled_out: of("sampled_out_total")?,
            dropped: of("dropped_total")?,
            acknowledged: of("acknowledged_total")?,
            in_doubt: of("in_doubt_total")?,
            in_flight: of("in_flight")?,
        })
    }

    /// Whether the equation holds, for a reading as for the difference of two.
    pub fn balances(&self) -> bool {
        self.seen
            == self.excluded + self.sampled_out + self.dropped + self.acknowledged + self.in_doubt + self.in_flight
    }

    /// What came since an earlier reading; requests then in flight are counted where they ended.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            seen: self.seen - earlier.seen,
            excluded: self.excluded - earlier.excluded,
            sampled_out: self.sampled_out - earlier.sampled_out,
            dropped: self.dropped - earlier.dropped,
            acknowledged: self.acknowledged - earlier.acknowledged,
            in_doubt: self.in_doubt - earlier.in_doubt,
            in_flight: self.in_flight - earlier.in_flight,
        }
    }

    /// Two stretches together.
    pub fn and(&self, other: &Self) -> Self {
        self.since(&Self::default().since(other))
    }

    /// Share of the requests that Kafka has.
    pub fn captured(&self) -> f64 {
        self.acknowledged as f64 / self.seen.max(1) as f64
    }

    /// As a line of terms.
    pub fn show(&self) -> String {
        let Self { seen, excluded, sampled_out, dropped, acknowledged, in_doubt, in_flight } = self;
        let sign = if self.balances() { "=" } else { "≠" };
        format!(
            "seen {seen} {sign} excluded {excluded} + sampled out {sampled_out} + dropped {dropped} + acknowledged {acknowledged} \
             + in doubt {in_doubt} + in flight {in_flight}"
        )
    }
}
