//! The things that are compared, and the rounds in which they take turns.
//!
//! A noisy machine is noisy for everybody: each leg runs once in each round, for a few seconds, the order rotates and turns round,
//! and what is compared is compared within a round.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::agent::{Account, Agent, Pinning};
use super::cpus::{Cpus, Ticks};
use super::load::{self, Outcome, Plan};
use super::peers::RunningPeer;
use super::stats::Quantiles;

/// Share of the proxy's core that the system itself may take.
const STRANGERS: f64 = 0.1;

/// Before or after a leg's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Load is about to begin.
    Begins,
    /// Load has ended.
    Ends,
}

/// What happens around a leg's turn.
pub type Hook = Box<dyn FnMut(Turn)>;

/// One thing that is measured.
pub struct Leg {
    /// Its name.
    pub name: String,
    target: SocketAddr,
    kind: Kind,
    hook: Option<Hook>,
}

enum Kind {
    Direct,
    Peer { _running: RunningPeer },
    Agent { agent: Rc<Agent>, pinning: Pinning, settles: bool, frozen: bool },
}

impl Leg {
    /// The origin itself.
    pub fn direct(target: SocketAddr) -> Self {
        Self { name: "direct".to_owned(), target, kind: Kind::Direct, hook: None }
    }

    /// nginx or Envoy.
    pub fn peer(name: &str, running: RunningPeer) -> Self {
        Self { name: name.to_owned(), target: running.address, kind: Kind::Peer { _running: running }, hook: None }
    }

    /// The agent.
    pub fn agent(name: &str, agent: Rc<Agent>, pinning: Pinning) -> Self {
        Self {
            name: name.to_owned(),
            target: agent.address,
            kind: Kind::Agent { agent, pinning, settles: true, frozen: false },
            hook: None,
        }
    }

    /// Freezes it between its turns, so that a crowd of agents does not disturb the one that is measured.
    pub fn frozen(mut self) -> Self {
        if let Kind::Agent { agent, frozen, .. } = &mut self.kind {
            agent.process.freeze();
            *frozen = true;
        }
        self
    }

    /// Its account does not settle: Kafka is away.
    pub fn unsettled(mut self) -> Self {
        if let Kind::Agent { settles, .. } = &mut self.kind {
            *settles = false;
        }
        self
    }

    /// Calls `hook` around each turn.
    pub fn around(mut self, hook: impl FnMut(Turn) + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// Runs one turn.
    ///
    /// # Errors
    /// When the target is gone.
    pub fn turn(&mut self, plan: Plan, cpus: &Cpus) -> Result<Round, String> {
        let mut before = None;
        if let Kind::Agent { agent, pinning, frozen, .. } = &self.kind {
            if *frozen {
                agent.process.thaw();
                // One reading of its watchdog is bad, from having stood still; the next counts.
                std::thread::sleep(Duration::from_secs(1));
            }
            agent.pin(*pinning, cpus);
            agent.let_in();
            before = agent.account().ok();
        }
        if let Some(hook) = &mut self.hook {
            hook(Turn::Begins);
        }
        let begun = [cpus.proxy, cpus.load].map(Ticks::of);
        let outcome = load::start(self.target, plan).finish();
        let [proxy, load] = [cpus.proxy, cpus.load].map(Ticks::of);
        let cores = [proxy.since(begun[0]), load.since(begun[1])];
        if let Some(hook) = &mut self.hook {
            hook(Turn::Ends);
        }
        let account = match &self.kind {
            Kind::Agent { agent, settles, frozen, .. } => {
                let last_words = |why: &str| format!("{why}\n{}", agent.process.tail());
                if outcome.lost {
                    return Err(last_words("refuses connections"));
                }
                let now = if *settles { agent.settled() } else { agent.account() };
                let now = now.map_err(|error| last_words(&error))?;
                if *frozen {
                    agent.process.freeze();
                }
                before.map(|before| now.since(&before))
            }
            _ if outcome.lost => return Err("refuses connections".to_owned()),
            _ => None,
        };
        Ok(Round::of(outcome, account, cores))
    }
}

/// What one leg did in one round. Times are milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    #[serde(flatten)]
    pub latency: Quantiles,
    pub per_second: f64,
    pub sent: u64,
    pub answered: u64,
    pub failed: u64,
    pub unanswered: u64,
    pub reconnects: u64,
    /// How late the generator was at its p99.
    pub generator_lag_p99: f64,
    pub generator_busy: f64,
    pub proxy_core_busy: f64,
    pub load_core_busy: f64,
    /// Taken from both cores by the hypervisor.
    pub stolen: f64,
    pub account: Option<Account>,
}

impl Round {
    fn of(mut outcome: Outcome, account: Option<Account>, cores: [(f64, f64); 2]) -> Self {
        Self {
            latency: Quantiles::of(&mut outcome.latencies),
            per_second: outcome.per_second,
            sent: outcome.sent,
            answered: outcome.answered,
            failed: outcome.failed,
            unanswered: outcome.unanswered,
            reconnects: outcome.reconnects,
            generator_lag_p99: Quantiles::of(&mut outcome.lag).p99,
            generator_busy: outcome.busy,
            proxy_core_busy: cores[0].0,
            load_core_busy: cores[1].0,
            stolen: cores[0].1 + cores[1].1,
            account,
        }
    }
}

/// A leg's rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub leg: String,
    pub rounds: Vec<Round>,
}

impl Measured {
    /// One figure, round by round.
    pub fn each(&self, figure: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }

    /// One count over all rounds.
    pub fn sum(&self, count: impl Fn(&Round) -> u64) -> u64 {
        self.rounds.iter().map(count).sum()
    }

    /// A figure's plain mean.
    pub fn mean(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        self.rounds.iter().map(figure).sum::<f64>() / self.rounds.len() as f64
    }

    /// The agent's account over all rounds.
    pub fn account(&self) -> Option<Account> {
        self.rounds.iter().map(|round| round.account).try_fold(Account::default(), |sum, next| Some(sum.and(&next?)))
    }
}

/// Runs all legs `rounds` times in changing order.
pub fn interleave(legs: &mut [Leg], rounds: usize, plan: Plan, cpus: &Cpus) -> Vec<Measured> {
    let mut measured: Vec<Measured> =
        legs.iter().map(|leg| Measured { leg: leg.name.clone(), rounds: Vec::new() }).collect();
    let mut gone = Vec::new();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..legs.len()).collect();
        order.rotate_left(round % legs.len());
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order.into_iter().filter(|at| !gone.contains(at)).collect::<Vec<_>>() {
            match legs[at].turn(plan, cpus) {
                Ok(turn) => measured[at].rounds.push(turn),
                Err(why) => {
                    println!("**{}: gone in round {}, and left out**: {why}", legs[at].name, round + 1);
                    gone.push(at);
                }
            }
        }
        eprintln!("round {} of {rounds} is done", round + 1);
    }
    // Rounds are paired: what has not run in all of them cannot be compared.
    measured.retain(|m| m.rounds.len() == rounds);
    measured
}

/// Says so when something that is not ours computed on the proxy's core: direct load leaves it idle.
pub fn warn_of_strangers(measured: &[Measured]) {
    let busy = find(measured, "direct").map_or(0.0, |direct| direct.mean(|r| r.proxy_core_busy));
    if busy > STRANGERS {
        println!(
            "**the proxy's core was {:.0} % busy while no proxy ran: something else disturbs this run**",
            100.0 * busy
        );
    }
}

/// A leg's figures, by name.
pub fn find<'a>(measured: &'a [Measured], leg: &str) -> Option<&'a Measured> {
    measured.iter().find(|m| m.leg == leg)
}

/// The usual plan: some warm-up, then the measurement.
pub fn plan(connections: usize, pace: load::Pace, seconds: u64, cpus: &Cpus) -> Plan {
    Plan { connections, pace, warmup: Duration::from_millis(500), length: Duration::from_secs(seconds), cpu: cpus.load }
}
