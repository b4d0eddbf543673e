//! What each proxy adds to a request at a rate that none of them finds hard.

use std::rc::Rc;

use super::agent::Pinning;
use super::legs::{Leg, Measured, Round, find, interleave, plan, warn_of_strangers};
use super::load::{self, Pace};
use super::origin::Origin;
use super::peers::Peer;
use super::report::{Report, Table, yes};
use super::setup::{CONNECTIONS, RATE, Setup};
use super::stats::{Estimate, difference, ratio, typical};

const AGENT: &str = "agent";
const AGENT_PROXY: &str = "agent-proxy-threads";
const LEGS: &[&str] = &["direct", "nginx", "nginx-mirror", "envoy", "envoy-mirror", AGENT, AGENT_PROXY];
/// The load must be able to do this many times what is asked, or it is itself what is measured.
const HEADROOM: f64 = 5.0;

/// What is wanted: the beginning and the end of a ratio's name, and the most it may be.
const TARGETS: [(&str, &str, f64); 2] = [("added p50", "/ nginx", 1.5), ("p99", "/ nginx-mirror", 1.0)];

/// Runs it.
pub fn run(setup: &Setup) {
    setup.args.check_legs(LEGS);
    let rate = setup.args.rate.unwrap_or(RATE);
    let (origin, shadow) = (Origin::start(setup.cpus.load), Origin::start(setup.cpus.load));
    let free = load::start(origin.address, plan(CONNECTIONS, Pace::Closed, 1, &setup.cpus)).finish().per_second;
    println!("generator and origin alone, on one core: {free:.0} requests/s");
    if free < HEADROOM * f64::from(rate) {
        println!("**they are too slow for this rate: the figures below are partly theirs**");
    }

    let mirror = Some(shadow.address);
    let peers = [
        ("nginx", Peer::Nginx(None)),
        ("nginx-mirror", Peer::Nginx(mirror)),
        ("envoy", Peer::Envoy(None)),
        ("envoy-mirror", Peer::Envoy(mirror)),
    ];
    let mut legs = vec![Leg::direct(origin.address)];
    legs.extend(setup.peers(&peers, origin.address));
    let stack = setup.kafka(true);
    let agent = Rc::new(setup.capturing_agent("agent", origin.address, stack.brokers()));
    for (name, pinning) in [(AGENT, Pinning::Everything), (AGENT_PROXY, Pinning::ProxyThreads)] {
        if setup.args.wants(name) {
            legs.push(Leg::agent(name, agent.clone(), pinning));
        }
    }
    let measured = interleave(
        &mut legs,
        setup.args.rounds,
        plan(CONNECTIONS, Pace::Open(rate), setup.args.seconds, &setup.cpus),
        &setup.cpus,
    );
    drop((legs, agent));
    setup.runtime.block_on(stack.stop());

    print(&measured, rate);
    let ratios = ratios(&measured);
    let mut report = Report::new(&setup.args, &setup.cpus);
    report.put("generator_and_origin_alone_per_second", free);
    report.put("legs", &measured);
    report.put(
        "ratios",
        ratios.iter().map(|(name, value)| (name.clone(), *value)).collect::<std::collections::BTreeMap<_, _>>(),
    );
    report.write(setup.args.json.as_deref());
}

fn print(measured: &[Measured], rate: u32) {
    let direct = find(measured, "direct").expect("direct always runs");
    let mut table = Table::new(&["leg", "p50", "p90", "p99", "p99.9", "added p50", "added p99"]);
    let mut checks = Table::new(&[
        "leg",
        "failed",
        "unanswered",
        "captured",
        "account balances",
        "generator late, p99",
        "busy: proxy core",
        "load core",
        "stolen",
    ]);
    for m in measured {
        let figure = |of: fn(&Round) -> f64| typical(&m.each(of)).show(3);
        let added = |of: fn(&Round) -> f64| match m.leg == direct.leg {
            true => String::new(),
            false => difference(&m.each(of), &direct.each(of)).show(3),
        };
        table.row(&[
            m.leg.clone(),
            figure(|r| r.latency.p50),
            figure(|r| r.latency.p90),
            figure(|r| r.latency.p99),
            figure(|r| r.latency.p999),
            added(|r| r.latency.p50),
            added(|r| r.latency.p99),
        ]);
        let account = m.account();
        checks.row(&[
            m.leg.clone(),
            m.sum(|r| r.failed).to_string(),
            m.sum(|r| r.unanswered).to_string(),
            account.map_or(String::new(), |a| format!("{:.2} %", 100.0 * a.captured())),
            account.map_or(String::new(), |a| yes(a.balances())),
            format!("{:.3}", m.mean(|r| r.generator_lag_p99)),
            format!("{:.0} %", 100.0 * m.mean(|r| r.proxy_core_busy)),
            format!("{:.0} %", 100.0 * m.mean(|r| r.load_core_busy)),
            format!("{:.1} %", 100.0 * m.mean(|r| r.stolen)),
        ]);
    }
    table
        .print(&format!("Latency at {rate} requests/s open loop, {CONNECTIONS} connections; ms, typical round [95 %]"));
    checks.print("What each leg did with its requests, and whether the load was at ease");
    warn_of_strangers(measured);
    let mut table = Table::new(&["ratio", "typical round [95 %]", "target", "met"]);
    for (name, value) in ratios(measured) {
        let target = TARGETS.iter().find(|(start, end, _)| name.starts_with(start) && name.ends_with(end));
        let met = target.map_or("", |(_, _, limit)| value.at_most(*limit));
        table.row(&[
            name.clone(),
            value.show(2),
            target.map_or(String::new(), |(_, _, limit)| format!("at most {limit}")),
            met.to_owned(),
        ]);
    }
    table.print("Ratios, paired by round");
}

/// The agent beside its peers.
fn ratios(measured: &[Measured]) -> Vec<(String, Estimate)> {
    let direct = find(measured, "direct").expect("direct always runs");
    let mut ratios = Vec::new();
    for agent in [AGENT, AGENT_PROXY].iter().filter_map(|name| find(measured, name)) {
        let added = |m: &Measured, of: fn(&Round) -> f64| -> Vec<f64> {
            m.each(of).iter().zip(direct.each(of)).map(|(with, without)| with - without).collect()
        };
        if let Some(nginx) = find(measured, "nginx") {
            let p50 = |r: &Round| r.latency.p50;
            ratios.push((format!("added p50, {} / nginx", agent.leg), ratio(&added(agent, p50), &added(nginx, p50))));
        }
        for peer in ["nginx", "nginx-mirror", "envoy-mirror"].iter().filter_map(|name| find(measured, name)) {
            for (what, of) in [("p50", (|r| r.latency.p50) as fn(&Round) -> f64), ("p99", |r| r.latency.p99)] {
                ratios.push((format!("{what}, {} / {}", agent.leg, peer.leg), ratio(&agent.each(of), &peer.each(of))));
            }
        }
    }
    ratios
}
