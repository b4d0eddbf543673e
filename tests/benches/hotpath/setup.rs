//! What every sub-command needs: the cores, Kafka, an origin, peers as legs.

use std::net::SocketAddr;
use std::path::PathBuf;

use shadow_devstack::{Devstack, KafkaChoice, LAUNCHER_ARG, Progress};

use super::agent::{Agent, AgentPlan};
use super::args::Args;
use super::cpus::Cpus;
use super::legs::Leg;
use super::peers::Peer;
use super::process::Place;
use crate::support::BINARY;

/// Connections of the open loop.
pub const CONNECTIONS: usize = 32;
/// Requests a second of the open loop.
pub const RATE: u32 = 2000;
/// The captured service.
pub const SERVICE: &str = "bench";

/// The sub-command's surroundings.
pub struct Setup {
    /// What was asked.
    pub args: Args,
    /// Who has which core.
    pub cpus: Cpus,
    /// Drives what is asynchronous, one thing at a time.
    pub runtime: tokio::runtime::Runtime,
}

impl Setup {
    /// From the command line.
    pub fn new(args: Args) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { args, cpus: Cpus::divide(), runtime: runtime.expect("a runtime starts") }
    }

    /// Apache Kafka, away from the proxy's core. With `modest`, and where it shares the generator's core, it computes only in
    /// time that neither generator nor origin wants, so that it does not delay what is measured. ClickHouse is not needed.
    pub fn kafka(&self, modest: bool) -> Devstack {
        drop(rustls::crypto::ring::default_provider().install_default());
        let place = Place { cpus: self.cpus.rest.clone(), idle: modest && self.cpus.crowded() };
        let mut launcher = place.prefix().into_iter();
        let taskset = found_on_path(&launcher.next().expect("a place begins with a program").to_string_lossy());
        let words = launcher.map(|word| word.to_string_lossy().into_owned());
        let words = words.chain([BINARY.to_owned(), LAUNCHER_ARG.to_owned()]).collect();
        let builder =
            Devstack::builder().launcher(taskset, words).kafka(KafkaChoice::Apache).progress(Progress::Silent);
        let mut stack = self.runtime.block_on(builder.start()).expect("Apache Kafka starts");
        // It fails only where ClickHouse is somebody else's, who then keeps it.
        drop(stack.clickhouse().kill());
        stack
    }

    /// A plan for an agent of this name in front of `primary`.
    pub fn agent_plan(&self, name: &str, primary: SocketAddr, brokers: &str) -> AgentPlan {
        AgentPlan {
            name: name.to_owned(),
            service: SERVICE.to_owned(),
            primary,
            brokers: brokers.to_owned(),
            connections: None,
            dir: None,
        }
    }

    /// An agent that captures.
    pub fn capturing_agent(&self, name: &str, primary: SocketAddr, brokers: &str) -> Agent {
        Agent::start(self.agent_plan(name, primary, brokers)).expect("the agent starts").capturing()
    }

    /// Those of these peers that were asked for and can be had, as legs.
    pub fn peers(&self, peers: &[(&str, Peer)], primary: SocketAddr) -> Vec<Leg> {
        let mut legs = Vec::new();
        for (name, peer) in peers.iter().filter(|(name, _)| self.args.wants(name)) {
            match peer.start(primary, self.cpus.proxy) {
                Ok(running) => legs.push(Leg::peer(name, running)),
                Err(why) => println!("the leg {name} is left out: {why}"),
            }
        }
        legs
    }
}

/// The launcher of the devstack is a path.
fn found_on_path(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} (util-linux) is missing"))
}
