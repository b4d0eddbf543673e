//! What the stub adds to a call, and how many it answers, beside nginx that answers with a fixed body:
//! `cargo bench -p shadow-stub --bench speed -- [ROUNDS [SECONDS]]`.
//!
//! Each server is a process of its own on one core; the client, with Kafka, on another. In every round each leg is asked once over one
//! connection, call after call, and once over 32; the legs take turns. `docs/benchmarks.md` quotes a run.
//!
//! | Leg | What answers |
//! |---|---|
//! | `nginx` | `return 200` with the body that the rule of `fixed` has |
//! | `fixed` | a rule without templates; the call tells of no request |
//! | `created` | a rule that reads the JSON of the call and keeps an object |
//! | `mirrored` | the primary's recorded answer; every call bears the mark of another send |
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails, and prints its figures"
)]

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use shadow_control::{Change, ControlRecord, ControlWriter, Launch, Leg, Mark, ensure_shared_topics};
use shadow_devstack::{Devstack, KafkaChoice};
use shadow_kafka::{Admin, KafkaConfig, Outgoing, Producer, ProducerLimits, TopicSpec, partition_for};
use shadow_mask::{MaskKey, Masker, RawBody, RawRequest, RawResponse, Ruleset};
use shadow_record::{CorrelatedBy, Decision, RequestId, RouteTable, Side, SideEffect, Timestamp, encode, topics};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const KEY: &str = "a key of thirty-two bytes, at least";
const SERVICE: &str = "speed";
const BODY: &str = r#"{"id":"ch_8dK2pQx71","object":"charge","amount":1000,"currency":"eur","status":"succeeded","paid":true,"refunded":false}"#;
const ASKED: &str = r#"{"amount":1000,"currency":"eur","description":"an order"}"#;
const CONNECTIONS: usize = 32;

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == "stub") {
        return shadow_stub::main_with(args);
    }
    let numbers: Vec<f64> = args.iter().filter_map(|arg| arg.to_str()?.parse().ok()).collect();
    let rounds = numbers.first().map_or(8, |rounds| *rounds as usize).max(1);
    let seconds = Duration::from_secs_f64(numbers.get(1).copied().unwrap_or(2.0));
    let [server, own @ ..] = &cores()[..] else { panic!("the benchmark needs two cores") };
    assert!(!own.is_empty(), "the benchmark needs two cores: one for the server, one for its client");
    pin(own);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(run(*server, rounds, seconds));
    ExitCode::SUCCESS
}

async fn run(core: usize, rounds: usize, seconds: Duration) {
    let stack = Devstack::builder().kafka(KafkaChoice::Apache).start().await.expect("the stack starts");
    let shadow = Shadow::new(stack.brokers()).await;
    let folder = tempfile::tempdir().unwrap();
    let nginx = Server::nginx(folder.path(), core);
    let stub = Server::stub(folder.path(), core, stack.brokers());
    let legs = [Kind::Nginx, Kind::Fixed, Kind::Created, Kind::Mirrored];
    let address = |kind| if kind == Kind::Nginx { nginx.address } else { stub.address };
    let mut figures: Vec<Figures> = legs.iter().map(|_| Figures::default()).collect();
    for kind in legs {
        // Warm, and the primary's effects found.
        shadow.load(address(kind), kind, CONNECTIONS, Duration::from_secs(1)).await;
    }
    for round in 0..rounds {
        for turn in 0..legs.len() {
            let leg = (round + turn) % legs.len();
            let to = address(legs[leg]);
            let mut one = shadow.load(to, legs[leg], 1, seconds).await;
            one.sort_unstable();
            figures[leg].p50.push(quantile(&one, 0.5));
            figures[leg].p99.push(quantile(&one, 0.99));
            let many = shadow.load(to, legs[leg], CONNECTIONS, seconds).await;
            figures[leg].rate.push(many.len() as f64 / seconds.as_secs_f64());
        }
    }
    println!("| | p50, one connection | added p50 | p99 | calls/s, {CONNECTIONS} connections | to nginx |");
    println!("|---|---|---|---|---|---|");
    for (leg, kind) in legs.iter().enumerate() {
        let (own, base) = (&figures[leg], &figures[0]);
        println!(
            "| {} | {:.3} ms | {:+.3} ms | {:.2} ms | {:.0} | {:.2} [{:.2}, {:.2}] |",
            kind.name(),
            median(&own.p50),
            median(&pairwise(&own.p50, &base.p50, |a, b| a - b)),
            median(&own.p99),
            median(&own.rate),
            median(&pairwise(&own.rate, &base.rate, |a, b| a / b)),
            least(&pairwise(&own.rate, &base.rate, |a, b| a / b)),
            most(&pairwise(&own.rate, &base.rate, |a, b| a / b)),
        );
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "\nmedian of {rounds} rounds of {seconds:?}, least and greatest in brackets; load average afterwards {load}"
    );
    drop((nginx, stub));
    stack.stop().await;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nginx,
    Fixed,
    Created,
    Mirrored,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Fixed => "fixed",
            Self::Created => "created",
            Self::Mirrored => "mirrored",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Nginx | Self::Fixed => "/v1/fixed",
            Self::Created => "/v1/created",
            Self::Mirrored => "/v1/charges",
        }
    }
}

/// Of each round, in milliseconds and calls a second.
#[derive(Default)]
struct Figures {
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
}

fn quantile(sorted: &[u64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q) as usize] as f64 / 1e6
}

fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn least(of: &[f64]) -> f64 {
    of.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(of: &[f64]) -> f64 {
    of.iter().copied().fold(0.0, f64::max)
}

fn pairwise(a: &[f64], b: &[f64], of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| of(*a, *b)).collect()
}

/// The calling version, and the primary's one effect.
struct Shadow {
    masker: Masker,
    request_id: RequestId,
    send: std::cell::Cell<i64>,
}

impl Shadow {
    async fn new(brokers: &str) -> Self {
        let kafka = KafkaConfig::at(brokers);
        let admin = Admin::new(&kafka).unwrap();
        ensure_shared_topics(&admin).await.unwrap();
        let candidate = "http://127.0.0.1:1".parse().unwrap();
        let launch =
            Launch::of("v2".parse().unwrap(), SERVICE.parse().unwrap(), candidate, Change::by("bench", "bench"));
        ControlWriter::new(&kafka).unwrap().put(&ControlRecord::Launch(Box::new(launch))).await.unwrap();
        let routes = RouteTable::parse(&["POST /v1/charges".to_owned()]).unwrap();
        let masker = Masker::new(MaskKey::parse(KEY).unwrap(), Ruleset::default(), routes);
        let shadow = Self { masker, request_id: RequestId::generate(), send: std::cell::Cell::new(0) };
        shadow.publish(&kafka, &admin).await;
        shadow
    }

    async fn publish(&self, kafka: &KafkaConfig, admin: &Admin) {
        let headers = || HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        let request = self.masker.request(RawRequest {
            method: "POST".to_owned(),
            scheme: "https".to_owned(),
            authority: "pay.example".to_owned(),
            path: "/v1/charges".to_owned(),
            query: None,
            headers: headers(),
            body: RawBody::Whole(Bytes::from_static(ASKED.as_bytes())),
        });
        let body = RawBody::Whole(Bytes::from_static(BODY.as_bytes()));
        let response = RawResponse { status: 200, headers: headers(), body };
        let effect = SideEffect {
            service: SERVICE.parse().unwrap(),
            side: Side::Primary,
            instance: "agent".to_owned(),
            epoch: 1,
            sequence: 0,
            at: Timestamp::now(),
            total_us: 1,
            request_id: Some(self.request_id),
            launch: None,
            attempt: 0,
            correlated_by: CorrelatedBy::Trace,
            trace_id: None,
            destination: "pay.example".to_owned(),
            route: "/v1/charges".to_owned(),
            rule: None,
            decision: Decision::Forwarded,
            fault: None,
            request,
            response: Some(self.masker.response("POST", "/v1/charges", response)),
            ruleset: String::new(),
            key_id: String::new(),
            send: None,
        };
        let (topic, key) = (topics::effects(&effect.service), self.masker.record_key(self.request_id.0.as_bytes()));
        admin.ensure_topic(&TopicSpec::deleting(&topic, 12)).await.unwrap();
        let producer = Producer::new(kafka, &ProducerLimits::default()).unwrap();
        let partition = Some(partition_for(&key, 12));
        let delivery =
            producer.publish(Outgoing { topic: &topic, partition, key: Some(&key), payload: &encode(&effect) }).await;
        assert!(matches!(delivery, shadow_kafka::Delivery::Acknowledged { .. }), "{delivery:?}");
    }

    /// One call, as it goes over the wire.
    fn call(&self, kind: Kind) -> Vec<u8> {
        let mark = if kind == Kind::Mirrored {
            self.send.set(self.send.get() + 1);
            let mark = Mark {
                launch: "v2".parse().unwrap(),
                request_id: self.request_id,
                attempt: 1,
                leg: Leg::Candidate,
                send: self.send.get(),
            };
            format!("shadowline-replay: {}\r\n", mark.sign(|body| self.masker.mark_tag(body)))
        } else {
            String::new()
        };
        let (path, length) = (kind.path(), ASKED.len());
        format!(
            "POST https://pay.example{path} HTTP/1.1\r\nhost: pay.example\r\n{mark}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{ASKED}"
        )
        .into_bytes()
    }

    /// Calls over so many connections, each as soon as the one before is answered; how long each took, in nanoseconds.
    async fn load(&self, to: SocketAddr, kind: Kind, connections: usize, long: Duration) -> Vec<u64> {
        let until = Instant::now() + long;
        let clients = (0..connections).map(|_| async {
            let mut stream = TcpStream::connect(to).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut took, mut buffer) = (Vec::new(), Vec::with_capacity(4096));
            while Instant::now() < until {
                let call = self.call(kind);
                let start = Instant::now();
                stream.write_all(&call).await.unwrap();
                answer(&mut stream, &mut buffer).await;
                took.push(start.elapsed().as_nanos() as u64);
            }
            took
        });
        futures::future::join_all(clients).await.concat()
    }
}

/// Reads one answer and checks it.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    buffer.clear();
    loop {
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "{}", String::from_utf8_lossy(buffer));
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if buffer.len() < head + 4 + length.parse::<usize>().unwrap() {
            continue;
        }
        // The mirrored leg must not fall back to its rule, which has another status.
        assert!(text.starts_with("http/1.1 200"), "{}", String::from_utf8_lossy(buffer));
        return;
    }
}

/// A server on one core; it ends with its handle.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(core: usize, program: OsString, args: &[OsString], address: SocketAddr) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()]).arg(program).args(args);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.expect("setpriv and taskset of util-linux are there");
        let server = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "nothing listens at {address}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn nginx(dir: &Path, core: usize) -> Self {
        let (address, at) = (free(), dir.display());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off;\nuser root;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log error;\nevents {{}}\n\
             http {{ access_log off; keepalive_requests 100000000; default_type application/json; {temporary}\n\
             server {{ listen {address}; location / {{ return 200 '{BODY}'; }} }} }}\n"
        );
        let file = dir.join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let args = ["-p".into(), dir.into(), "-e".into(), dir.join("error.log").into(), "-c".into(), file.into()];
        Self::start(core, "nginx".into(), &args, address)
    }

    fn stub(dir: &Path, core: usize, brokers: &str) -> Self {
        let address = free();
        let (rules, config, key) = (dir.join("rules.toml"), dir.join("stub.toml"), dir.join("key"));
        let created =
            BODY.replace("\"ch_8dK2pQx71\"", "\"{{ id('ch_', 9) }}\"").replace("1000", "{{ request.json.amount }}");
        let text = format!(
            "[[rule]]\nmethod = \"POST\"\nhost = \"pay.example\"\npath = \"/v1/fixed\"\nanswer = {{ body = '{BODY}' }}\n\
             [[rule]]\nmethod = \"POST\"\nhost = \"pay.example\"\npath = \"/v1/created\"\nstate = {{ collection = \"charges\", do = \"create\" }}\n\
             answer = {{ body = '''{created}''' }}\n\
             [[rule]]\nmethod = \"POST\"\nhost = \"pay.example\"\npath = \"/v1/charges\"\nanswer = {{ status = 500 }}\n"
        );
        std::fs::write(&rules, text).unwrap();
        std::fs::write(&key, KEY).unwrap();
        let text = format!(
            "[service]\nname = \"{SERVICE}\"\n[stub]\nhttp = \"{address}\"\nrules = [{rules:?}]\n[kafka]\nbrokers = \"{brokers}\"\n\
             [masking]\nkey = {{ file = {key:?} }}\n[log]\nlevel = \"error\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let own = std::env::current_exe().unwrap().into_os_string();
        Self::start(core, own, &["stub".into(), "--config".into(), config.into()], address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master takes its worker along only when it is asked.
        if let Some(process) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
        drop(self.child.wait());
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The cores that this process may use.
fn cores() -> Vec<usize> {
    let allowed = sched_getaffinity(None).expect("the kernel tells a process its cores");
    (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
}

/// Pins this thread, and with it whatever it starts.
fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).expect("a thread may choose among its cores");
}
