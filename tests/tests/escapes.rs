//! A hostile candidate in the network that `docs/examples/isolation/isolate.sh` makes gets no packet out, whatever it tries; without the
//! isolation every one of its tricks does. Packets are counted by capture, behind the isolation and at the world's end of the host's uplink.
//!
//! Takes root, iproute2, iptables and Debian's Python; where there are none of these it says so, and fails if `CI=true`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "escapes/capture.rs"]
mod capture;
#[path = "escapes/lab.rs"]
mod lab;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use capture::Counts;
use lab::{CANDIDATE, Candidate, Lab};

/// The tricks of `hostile.py`, by their number.
const TRICKS: [&str; 13] = [
    "direct addresses",
    "other ports",
    "DNS tunnel",
    "DNS over HTTPS",
    "IPv6",
    "ICMP",
    "raw IP packets",
    "spoofed senders",
    "fragments",
    "pretended answers",
    "Ethernet frames",
    GATEWAY,
    SOCKET,
];
/// These two do not go to the world but to the host: its own ports, and a socket that is a file.
const GATEWAY: &str = "the gateway's ports";
const SOCKET: &str = "a socket in /run";

/// What got out in one run.
struct Escaped {
    /// Past the isolation, to the host or further.
    past: Counts,
    /// To the world.
    world: Counts,
    /// Connections to the host's socket.
    socket: u64,
}

#[test]
fn a_hostile_candidate_gets_nothing_out_but_calls_to_the_stub() {
    let lab = match Lab::start() {
        Ok(lab) => lab,
        Err(why) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "nothing was shown: {why}");
            println!("skipped: {why}");
            return;
        }
    };
    lab.isolate(&["up"]);
    lab.start_stub();
    let shipped = escaped(&lab, Candidate::Isolated { capabilities: "" });
    let privileged = escaped(&lab, Candidate::Isolated { capabilities: "net_admin,net_raw" });
    the_replayer_reaches_the_candidate(&lab);
    lab.isolate(&["down"]);
    lab.connect_openly();
    let open = escaped(&lab, Candidate::Open);

    println!("{:24} {:>8} {:>22} {:>9}", "packets out", "isolated", "with NET_ADMIN and RAW", "open");
    for (n, name) in (1..).zip(TRICKS) {
        let out = |run: &Escaped| match name {
            SOCKET => run.socket,
            _ => run.past.of(n) + run.world.of(n),
        };
        let arrived = match name {
            SOCKET => open.socket,
            GATEWAY => open.past.of(n),
            _ => open.world.of(n),
        };
        println!("{name:24} {:>8} {:>22} {arrived:>9}", out(&shipped), out(&privileged));
        assert!(arrived > 0, "{name} does not get out without isolation either: the trick shows nothing");
        assert_eq!((out(&shipped), out(&privileged)), (0, 0), "{name}");
    }
    for run in [&shipped, &privileged] {
        assert_eq!((run.past.others(), run.world.others()), (&[][..], &[][..]));
        assert!(run.past.to_stub > 0, "the capture saw nothing at all");
    }
    println!(
        "{:24} {:>8} {:>22} {:>9}",
        "calls to the stub", shipped.past.to_stub, privileged.past.to_stub, open.past.to_stub
    );
}

/// Lets the candidate try everything, and gives what was captured.
fn escaped(lab: &Lab, candidate: Candidate) -> Escaped {
    let (past, world) = (lab.capture_at_host(), lab.capture_at_world());
    let socket = lab.socket();
    let said = lab.hostile(candidate);
    assert!(said.contains("stub: HTTP/1.1 200 OK") && said.contains(&format!("tried: {}", TRICKS.len())), "{said}");
    lab.send_last();
    Escaped { past: past.counts(), world: world.counts(), socket: socket.connections() }
}

/// What the isolation must let through: this host's requests to the candidate, and its answers.
fn the_replayer_reaches_the_candidate(lab: &Lab) {
    let mut server =
        lab.isolated(&["/usr/bin/python3", "-m", "http.server", "8080", "--bind", CANDIDATE]).spawn().unwrap();
    let answer = lab.within_host(|| {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut stream = loop {
            match TcpStream::connect((CANDIDATE, 8080)) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "the candidate is not reached: {error}"),
            }
        };
        stream.write_all(b"HEAD / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    server.kill().unwrap();
    server.wait().unwrap();
}
