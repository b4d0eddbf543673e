//! How many requests a second each proxy can do on one core, and whether the agent's account is exact when it can do no more, a
//! `kill -9` included.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::agent::{Agent, AgentPlan, Pinning};
use super::killed;
use super::legs::{Leg, Measured, find, interleave, plan};
use super::load::{self, Pace};
use super::origin::Origin;
use super::peers::Peer;
use super::report::{Report, Table, yes};
use super::setup::Setup;
use super::stats::{ratio, typical};

const AGENT: &str = "agent";
const AGENT_PROXY: &str = "agent-proxy-threads";
const LEGS: &[&str] = &["direct", "nginx", "nginx-mirror", "envoy-mirror", AGENT, AGENT_PROXY, "kill"];

/// Runs it.
pub fn run(setup: &Setup) {
    setup.args.check_legs(LEGS);
    let (origin, shadow) = (Origin::start(setup.cpus.load), Origin::start(setup.cpus.load));
    let mirror = Some(shadow.address);
    let peers =
        [("nginx", Peer::Nginx(None)), ("nginx-mirror", Peer::Nginx(mirror)), ("envoy-mirror", Peer::Envoy(mirror))];
    let mut legs = vec![Leg::direct(origin.address)];
    legs.extend(setup.peers(&peers, origin.address));
    // Not modest: beside a generator that never rests it would get nothing done, and the agent would have to drop.
    let stack = setup.kafka(false);
    let agent = Rc::new(setup.capturing_agent("agent", origin.address, stack.brokers()));
    for (name, pinning) in [(AGENT, Pinning::Everything), (AGENT_PROXY, Pinning::ProxyThreads)] {
        if setup.args.wants(name) {
            legs.push(Leg::agent(name, agent.clone(), pinning));
        }
    }
    let mut report = Report::new(&setup.args, &setup.cpus);
    for connections in [32, 128] {
        let plan = plan(connections, Pace::Closed, setup.args.seconds, &setup.cpus);
        let measured = interleave(&mut legs, setup.args.rounds, plan, &setup.cpus);
        print(&measured, connections);
        report.put(&format!("legs_{connections}"), &measured);
    }
    drop((legs, agent));
    if setup.args.wants("kill") {
        report.put("kill", kill(setup, &origin, stack.brokers()));
    }
    setup.runtime.block_on(stack.stop());
    report.write(setup.args.json.as_deref());
}

fn print(measured: &[Measured], connections: usize) {
    let mut table = Table::new(&[
        "leg",
        "requests/s",
        "agent / leg",
        "failed",
        "captured",
        "seen as sent",
        "balances",
        "busy: proxy core",
        "load core",
        "generator",
    ]);
    let agent = find(measured, AGENT).or(find(measured, AGENT_PROXY));
    for m in measured {
        let account = m.account();
        // Each request written was answered or failed, so both sides must count the same in every single round.
        let exact = m.rounds.iter().all(|round| round.account.is_none_or(|account| account.seen as u64 == round.sent));
        let rate = |m: &Measured| m.each(|r| r.per_second);
        let share = |of: fn(&super::legs::Round) -> f64| format!("{:.0} %", 100.0 * m.mean(of));
        table.row(&[
            m.leg.clone(),
            typical(&rate(m)).show(0),
            agent
                .filter(|agent| agent.leg != m.leg)
                .map_or(String::new(), |agent| ratio(&rate(agent), &rate(m)).show(2)),
            m.sum(|r| r.failed).to_string(),
            account.map_or(String::new(), |a| format!("{:.2} %", 100.0 * a.captured())),
            account.map_or(String::new(), |_| yes(exact)),
            account.map_or(String::new(), |a| yes(a.balances())),
            share(|r| r.proxy_core_busy),
            share(|r| r.load_core_busy),
            share(|r| r.generator_busy),
        ]);
    }
    table.print(&format!(
        "Saturated, closed loop, {connections} connections, one core for each proxy; typical round [95 %]"
    ));
    for m in measured {
        if let Some(account) = m.account() {
            println!("{}: sent {}; {}", m.leg, m.sum(|r| r.sent), account.show());
        }
    }
    println!("Where the proxy's core is not full, the load's core was what limited it.");
    super::legs::warn_of_strangers(measured);
}

/// Kills an agent with `kill -9` in the middle of load, starts it again, and holds its account against what was sent.
fn kill(setup: &Setup, origin: &Origin, brokers: &str) -> serde_json::Value {
    let plan =
        AgentPlan { service: killed::SERVICE.to_owned(), ..setup.agent_plan("agent-killed", origin.address, brokers) };
    let mut agent = Agent::start(plan).expect("the agent starts").capturing();
    agent.pin(Pinning::Everything, &setup.cpus);
    let before = agent.account().expect("a living agent tells its account").seen as u64;
    let running = load::start(agent.address, super::legs::plan(32, Pace::Closed, 2 * setup.args.seconds, &setup.cpus));
    std::thread::sleep(Duration::from_secs(setup.args.seconds));
    agent.process.kill();
    let outcome = running.finish();
    agent.restart();
    let dead = setup.runtime.block_on(killed::account(brokers, agent.instance(), Duration::from_secs(20)));
    // What was written into the dead agent's sockets and not read there, at most one request for each connection, it never saw.
    let (least, most) = (before + outcome.answered, before + outcome.sent);
    let within = (least..=most).contains(&(dead.seen as u64));
    println!("\n**kill -9 in mid-load**\n");
    println!(
        "answered {}, written {} (and {before} before); the load then found nobody: {}",
        outcome.answered,
        outcome.sent,
        yes(outcome.lost)
    );
    println!("last word about the dead epoch: {}", dead.show());
    println!("- it is a final one, published by the next start: {}", yes(dead.is_final));
    println!("- it balances: {}", yes(dead.balances()));
    println!("- seen lies between answered and written: {}", yes(within));
    println!(
        "- records of that epoch in Kafka: {}, each at most once: {}; acknowledged ones are all there: {}",
        dead.records,
        yes(dead.doubles == 0),
        yes(dead.records >= dead.acknowledged)
    );
    json!({ "answered": least, "written": most, "account": dead, "balances": dead.balances(), "seen_within": within })
}
