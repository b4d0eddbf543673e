//! A host, a world behind its uplink and a candidate beside it, each a network namespace; nothing of this machine's own network is touched.
//!
//! The host forwards for everybody, IPv4 and IPv6, as one with containers does, and its services listen where they may: whatever keeps the
//! candidate in is the isolation's doing.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer as _};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use shadow_record::topics;
use shadow_runtime::Secret;
use tokio_util::sync::CancellationToken;

use crate::capture::{Capture, From, Hardware, LAST};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/isolation/isolate.sh");
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/escapes/hostile.py");
/// As `isolate.sh` lays them out.
pub(crate) const CANDIDATE: &str = "10.231.77.2";
const STUB: Ipv4Addr = Ipv4Addr::new(10, 231, 77, 6);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 231, 77, 1);
const UPLINK: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const STUB_PORT: u16 = 8090;
const HOST_HARDWARE: Hardware = [2, 0, 0, 0, 0, 1];
const WORLD_HARDWARE: Hardware = [2, 0, 0, 0, 0, 2];

/// Where the hostile candidate runs.
#[derive(Clone, Copy)]
pub(crate) enum Candidate {
    /// By `isolate.sh run`, with these capabilities.
    Isolated {
        /// As SHADOW_CAPABILITIES takes them.
        capabilities: &'static str,
    },
    /// In a network as containers have it, with raw sockets.
    Open,
}

/// The namespaces; gone when it is dropped.
pub(crate) struct Lab {
    name: String,
    stop: CancellationToken,
    folder: tempfile::TempDir,
    /// The world takes connections for HTTPS, so that what is said in one is a packet too.
    https: Option<TcpListener>,
}

/// A socket of the host's that is a file.
pub(crate) struct HostSocket(UnixListener, PathBuf);

impl HostSocket {
    /// How often somebody connected.
    pub(crate) fn connections(self) -> u64 {
        self.0.set_nonblocking(true).unwrap();
        let count = std::iter::from_fn(|| self.0.accept().ok()).count();
        std::fs::remove_file(&self.1).unwrap();
        count as u64
    }
}

impl Lab {
    /// Host and world, connected.
    ///
    /// # Errors
    /// Why there can be none here.
    pub(crate) fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces are made by root".to_owned());
        }
        for tool in ["ip", "iptables", "nsenter", "setpriv", "/usr/bin/python3"] {
            let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            found.map_err(|_| format!("{tool} is missing"))?;
        }
        let name = format!("sl{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let mut lab = Self { name, stop: CancellationToken::new(), folder, https: None };
        lab.sh("ip netns add $HOST").map_err(|error| format!("no network namespace can be made: {error}"))?;
        lab.sh(
            r"ip netns add $WORLD
            ip link add uplink netns $HOST address 02:00:00:00:00:01 type veth peer name uplink address 02:00:00:00:00:02 netns $WORLD
            in_host sh -euc '
              echo 1 > /proc/sys/net/ipv4/ip_forward
              echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
              echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
              echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
              ip link set lo up; ip link set uplink up
              ip address add 192.0.2.1/24 dev uplink; ip address add 2001:db8::1/64 dev uplink nodad
              ip route add default via 192.0.2.2; ip -6 route add default via 2001:db8::2'
            in_world sh -euc '
              ip link set lo up; ip link set uplink up
              ip address add 192.0.2.2/24 dev uplink; ip address add 2001:db8::2/64 dev uplink nodad
              ip route add local 198.51.100.0/24 dev lo; ip -6 route add local 2001:db8:1::/64 dev lo
              ip route add 10.231.77.0/24 via 192.0.2.1; ip -6 route add 2001:db8:77::/64 via 2001:db8::1'",
        )
        .unwrap();
        lab.https = Some(within(&lab.namespace("w"), || TcpListener::bind("[::]:443").unwrap()));
        Ok(lab)
    }

    /// `isolate.sh` on the host.
    pub(crate) fn isolate(&self, args: &[&str]) {
        let done = self.script().args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A command for `isolate.sh run`.
    pub(crate) fn isolated(&self, command: &[&str]) -> Command {
        let mut script = self.script();
        script.arg("run").args(command).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        script
    }

    fn script(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}h", self.name)).args(["sh", SCRIPT]);
        command.env("SHADOW_NAMESPACE", &self.name);
        command
    }

    /// The network that a candidate has without isolation: a link to the host, which is its gateway.
    pub(crate) fn connect_openly(&self) {
        self.sh(r"ip netns add $OPEN
            ip link add candidate netns $OPEN type veth peer name open netns $HOST
            in_host sh -euc '
              ip link set open up
              ip address add 10.231.77.1/29 dev open; ip address add 10.231.77.6/29 dev open
              ip address add 2001:db8:77::1/64 dev open nodad'
            in_open sh -euc '
              ip link set lo up; ip link set candidate up
              ip address add 10.231.77.2/29 dev candidate; ip route add default via 10.231.77.1
              ip address add 2001:db8:77::2/64 dev candidate nodad; ip -6 route add default via 2001:db8:77::1'")
            .unwrap();
    }

    /// Runs the hostile candidate, and gives what it says.
    pub(crate) fn hostile(&self, candidate: Candidate) -> String {
        let mut command = match candidate {
            Candidate::Isolated { capabilities } => {
                let mut command = self.script();
                command.arg("run").env("SHADOW_CAPABILITIES", capabilities);
                command
            }
            Candidate::Open => {
                let mut command = Command::new("nsenter");
                let keep = "-all,+net_admin,+net_raw";
                command.arg(format!("--net=/run/netns/{}o", self.name)).arg("setpriv");
                command.args(["--reuid=nobody", "--clear-groups", "--no-new-privs"]);
                command.args(["--inh-caps", keep, "--ambient-caps", keep, "--bounding-set", keep]);
                command
            }
        };
        command.args(["/usr/bin/python3", "-", &STUB.to_string(), &STUB_PORT.to_string(), &GATEWAY.to_string()]);
        let out =
            command.arg(self.socket_path()).current_dir("/").stdin(File::open(HOSTILE).unwrap()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Runs the stub on the host until the lab is gone.
    pub(crate) fn start_stub(&self) {
        let rules = self.folder.path().join("rules.toml");
        let rule = "[[rule]]\nname = \"pay\"\npath = \"/pay\"\n[rule.answer]\nstatus = 200\nbody = \"paid\"\n";
        std::fs::write(&rules, rule).unwrap();
        let mut config = shadow_stub::config::Config::default();
        config.service.name = Some("checkout".parse().unwrap());
        config.masking.key = Some(Secret::new("k".repeat(32)));
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        config.stub.http = ([0, 0, 0, 0], STUB_PORT).into();
        config.stub.rules = vec![rules];
        let (namespace, stop) = (self.namespace("h"), self.stop.clone());
        std::thread::spawn(move || {
            enter(&namespace);
            // A broker in this process, which is the only one that this namespace can reach.
            let owner: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "1").create().unwrap();
            let broker = owner.client().mock_cluster().unwrap();
            let effects = topics::effects(config.service.name.as_ref().unwrap());
            for topic in [topics::CONTROL, topics::STATUS, topics::DEAD_LETTER, &effects] {
                broker.create_topic(topic, 1, 1).unwrap();
            }
            config.kafka = shadow_kafka::KafkaConfig::at(broker.bootstrap_servers());
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(shadow_stub::run(config, stop)).unwrap();
        });
        self.within_host(|| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while let Err(error) = TcpStream::connect((STUB, STUB_PORT)) {
                assert!(Instant::now() < deadline, "the stub does not listen: {error}");
            }
        });
    }

    /// Captures what reaches the host from the candidate's side.
    pub(crate) fn capture_at_host(&self) -> Capture {
        let links = self.sh("in_host ip -o link").unwrap();
        let mut own: Vec<Hardware> = links.lines().filter_map(hardware).collect();
        own.extend([WORLD_HARDWARE, [0; 6]]);
        self.within_host(move || Capture::start(From::AllBut(own), host(), (STUB.into(), STUB_PORT)))
    }

    /// Captures what reaches the world from the host.
    pub(crate) fn capture_at_world(&self) -> Capture {
        let start = || Capture::start(From::Only(HOST_HARDWARE), Vec::new(), (STUB.into(), STUB_PORT));
        within(&self.namespace("w"), start)
    }

    /// Sends the packet that ends the captures.
    pub(crate) fn send_last(&self) {
        self.within_host(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"last", (LAST, 9)).unwrap());
    }

    /// A socket of the host's that everybody may connect to.
    pub(crate) fn socket(&self) -> HostSocket {
        let path = self.socket_path();
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        HostSocket(listener, path)
    }

    fn socket_path(&self) -> PathBuf {
        format!("/run/{}.sock", self.name).into()
    }

    /// Does it in the host's network.
    pub(crate) fn within_host<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        within(&self.namespace("h"), work)
    }

    fn namespace(&self, which: &str) -> String {
        format!("/run/netns/{}{which}", self.name)
    }

    fn sh(&self, script: &str) -> Result<String, String> {
        let prelude = r#"HOST=$NAME"h" WORLD=$NAME"w" OPEN=$NAME"o"
            in_host() { nsenter --net=/run/netns/$HOST "$@"; }
            in_world() { nsenter --net=/run/netns/$WORLD "$@"; }
            in_open() { nsenter --net=/run/netns/$OPEN "$@"; }"#;
        let done = Command::new("sh").env("NAME", &self.name).arg("-euc").arg(format!("{prelude}\n{script}")).output();
        let done = done.unwrap();
        if done.status.success() {
            return Ok(String::from_utf8(done.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
        drop(self.script().arg("down").output());
        drop(self.sh("for each in $HOST $WORLD $OPEN; do [ ! -e /run/netns/$each ] || ip netns delete $each; done"));
    }
}

fn host() -> Vec<IpAddr> {
    vec![STUB.into(), GATEWAY.into(), UPLINK.into()]
}

/// The address in a line of `ip -o link`.
fn hardware(line: &str) -> Option<Hardware> {
    let text = line.split_once("link/ether ")?.1.split(' ').next()?;
    let bytes: Vec<u8> = text.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes.try_into().ok()
}

fn enter(namespace: &str) {
    let file = File::open(namespace).unwrap();
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// Does it on a thread in that namespace.
fn within<T: Send + 'static>(namespace: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = namespace.to_owned();
    let thread = std::thread::spawn(move || {
        enter(&namespace);
        work()
    });
    thread.join().unwrap()
}
