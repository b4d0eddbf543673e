//! What production feels when something behind the hot path breaks: for the agent it should be nothing.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::agent::{Agent, AgentPlan, Pinning, keeps_account};
use super::disk::Disk;
use super::legs::{Leg, Measured, Round, Turn, find, interleave, plan};
use super::load::Pace;
use super::origin::{BlackHole, Origin};
use super::peers::Peer;
use super::report::{Report, Table, yes};
use super::setup::{CONNECTIONS, RATE, Setup};
use super::shadow;
use super::stats::{Estimate, ratio, typical};
use crate::support::free_port;

const LEGS: &[&str] = &[
    "healthy",
    "healthy-again",
    "kafka-absent",
    "kafka-silent",
    "kafka-frozen",
    "shadow-stalled",
    "disk-fills",
    "disk-full-at-start",
    "nginx-mirror",
    "nginx-mirror-stalled",
    "envoy-mirror",
    "envoy-mirror-stalled",
];
/// Upper end of an interval that still counts as noise: rounds of the same healthy agent differ as much.
const NOISE: f64 = 1.5;
/// The captured service whose candidate hangs.
const STALLED: &str = "stalled";

/// Runs it.
pub fn run(setup: &Setup) {
    setup.args.check_legs(LEGS);
    let rate = setup.args.rate.unwrap_or(RATE);
    let (origin, shadow, hole) = (Origin::start(setup.cpus.load), Origin::start(setup.cpus.load), BlackHole::start());
    let stack = Rc::new(RefCell::new(setup.kafka(true)));
    let brokers = stack.borrow().brokers().to_owned();
    let wants = |leg: &str| setup.args.wants(leg);
    let agent = |plan: AgentPlan, capturing: bool| {
        let agent = Agent::start(plan).expect("the agent starts");
        Rc::new(if capturing { agent.capturing() } else { agent })
    };
    let of = |name: &str, brokers: &str| setup.agent_plan(name, origin.address, brokers);
    let leg = |name: &str, agent: Rc<Agent>| Leg::agent(name, agent, Pinning::Everything).frozen();

    let mut legs = vec![leg("healthy", agent(of("healthy", &brokers), true))];
    // The same once more: what two healthy agents differ by is this run's noise.
    if wants("healthy-again") {
        legs.push(leg("healthy-again", agent(of("healthy-again", &brokers), true)));
    }
    if wants("kafka-absent") {
        let nobody = format!("127.0.0.1:{}", free_port());
        legs.push(leg("kafka-absent", agent(of("kafka-absent", &nobody), false)).unsettled());
    }
    let silent = BlackHole::start();
    if wants("kafka-silent") {
        let silent = silent.address.to_string();
        legs.push(leg("kafka-silent", agent(of("kafka-silent", &silent), false)).unsettled());
    }
    if wants("kafka-frozen") {
        let stack = stack.clone();
        let freeze = move |turn| {
            let mut stack = stack.borrow_mut();
            match turn {
                Turn::Begins => stack.kafka().freeze(),
                Turn::Ends => stack.kafka().thaw(),
            }
            .expect("Kafka is this benchmark's own");
        };
        legs.push(leg("kafka-frozen", agent(of("kafka-frozen", &brokers), true)).around(freeze));
    }
    let log = tempfile::tempdir().expect("a temporary directory");
    if wants("shadow-stalled") {
        let capturing = agent(AgentPlan { service: STALLED.to_owned(), ..of("shadow-stalled", &brokers) }, true);
        let replayer = shadow::stalled(setup, &stack.borrow(), STALLED, hole.address, &log.path().join("replayer"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while hole.accepted() == 0 {
            assert!(Instant::now() < deadline, "the replayer does not reach its candidate:\n{}", replayer.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
        replayer.freeze();
        legs.push(leg("shadow-stalled", capturing).around(move |turn| match turn {
            Turn::Begins => replayer.thaw(),
            Turn::Ends => replayer.freeze(),
        }));
    }
    // Unmounted when the agents on them have ended.
    let disks = disks(setup, &mut legs, |name, dir| {
        Agent::start(AgentPlan { dir: Some(dir), ..of(name, &brokers) }).map(|agent| Rc::new(agent.capturing()))
    });
    let peers = [
        ("nginx-mirror", Peer::Nginx(Some(shadow.address))),
        ("nginx-mirror-stalled", Peer::Nginx(Some(hole.address))),
        ("envoy-mirror", Peer::Envoy(Some(shadow.address))),
        ("envoy-mirror-stalled", Peer::Envoy(Some(hole.address))),
    ];
    legs.extend(setup.peers(&peers, origin.address));

    let plan = plan(CONNECTIONS, Pace::Open(rate), setup.args.seconds, &setup.cpus);
    let measured = interleave(&mut legs, setup.args.rounds, plan, &setup.cpus);
    drop((legs, disks));
    let stack = Rc::try_unwrap(stack).unwrap_or_else(|_| panic!("the legs are gone")).into_inner();
    setup.runtime.block_on(stack.stop());
    print(&measured, rate);
    let mut report = Report::new(&setup.args, &setup.cpus);
    report.put("legs", &measured);
    report.write(setup.args.json.as_deref());
}

/// The legs on full disks: one that fills while the agent runs, one that was full before it started.
fn disks(setup: &Setup, legs: &mut Vec<Leg>, start: impl Fn(&str, PathBuf) -> Result<Rc<Agent>, String>) -> Vec<Disk> {
    let mut disks = Vec::new();
    for name in ["disk-fills", "disk-full-at-start"].into_iter().filter(|name| setup.args.wants(name)) {
        let disk = match Disk::mount() {
            Ok(disk) => disk,
            Err(why) => {
                println!("the leg {name} is left out: a small disk to fill cannot be mounted ({why}); run as root");
                continue;
            }
        };
        if !keeps_account() {
            println!("{name}: this agent keeps no account on a disk; only its log is on the full one");
        }
        if name == "disk-full-at-start" {
            disk.fill();
        }
        match start(name, disk.path()) {
            Ok(agent) => {
                disk.fill();
                legs.push(Leg::agent(name, agent, Pinning::Everything).frozen());
                disks.push(disk);
            }
            Err(why) => println!("**{name}: the agent does not start**: {why}"),
        }
    }
    disks
}

/// Whether a fault was felt. A wide interval decides nothing, even when it holds 1.
fn within_noise(ratios: &[Estimate]) -> &'static str {
    let told: Vec<_> =
        ratios.iter().map(|ratio| (ratio.low.is_some_and(|low| low > 1.0), ratio.at_most(NOISE))).collect();
    if told.iter().any(|(worse, at_most)| *worse || *at_most == "**NO**") {
        "**NO**"
    } else if told.iter().all(|(_, at_most)| *at_most == "yes") {
        "yes"
    } else {
        "undecided"
    }
}

fn print(measured: &[Measured], rate: u32) {
    let mut table = Table::new(&[
        "leg",
        "p50",
        "p99",
        "p50 / healthy",
        "p99 / healthy",
        "within noise",
        "answered/s",
        "failed",
        "unanswered",
        "captured",
        "balances",
    ]);
    for m in measured {
        let healthy = match m.leg.split("-stalled").next() {
            Some(peer @ ("nginx-mirror" | "envoy-mirror")) => find(measured, peer),
            _ => find(measured, "healthy"),
        };
        let beside = |of: fn(&Round) -> f64| {
            healthy.filter(|healthy| healthy.leg != m.leg).map(|healthy| ratio(&m.each(of), &healthy.each(of)))
        };
        let (p50, p99) = (beside(|r| r.latency.p50), beside(|r| r.latency.p99));
        let within = p50.zip(p99).map(|(p50, p99)| within_noise(&[p50, p99]));
        let account = m.account();
        table.row(&[
            m.leg.clone(),
            typical(&m.each(|r| r.latency.p50)).show(3),
            typical(&m.each(|r| r.latency.p99)).show(3),
            p50.map_or(String::new(), |ratio| ratio.show(2)),
            p99.map_or(String::new(), |ratio| ratio.show(2)),
            within.unwrap_or_default().to_owned(),
            format!("{:.0}", m.mean(|r| r.per_second)),
            m.sum(|r| r.failed).to_string(),
            m.sum(|r| r.unanswered).to_string(),
            account.map_or(String::new(), |a| format!("{:.2} %", 100.0 * a.captured())),
            account.map_or(String::new(), |a| yes(a.balances())),
        ]);
    }
    table.print(&format!(
        "Faults behind the hot path, {rate} requests/s open loop, {CONNECTIONS} connections; ms and ratios, typical round [95 %]; \
         a mirroring peer beside its own healthy leg"
    ));
}
