//! A generated set of effect faults, end to end on Kafka and ClickHouse: requests go through the agent, what the live version calls through its
//! egress, what the candidate calls to the stub. Everything seeded is found as exactly that, and nothing else; nothing is found where the live
//! version is rehearsed; and replayers that are killed and send again add nothing.
//!
//! The answers of all versions are equal: without the effects nothing of this would show.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "effects/plan.rs"]
mod plan;
#[path = "effects/service.rs"]
mod service;
#[path = "../support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use plan::{KINDS, Order, Plan};
use serde::Deserialize;
use service::{Version, is_told_by_trace_only, partners};
use shadow_control::Launch;
use shadow_record::LaunchName;
use support::{Rig, Service, free_port, sql, until};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Orders of the generated set: twelve for each kind of call and fault to begin with, the rest are combinations.
const ORDERS: u32 = 240;
/// Requests under way to the agent at a time.
const AT_ONCE: usize = 8;
/// Kills of replayers, sends a second meanwhile, and how long the candidate works on a request before it calls anybody: so long that every kill
/// finds some under way.
const KILLS: u32 = 3;
const STORM_RATE: f64 = 40.0;
const WORK: Duration = Duration::from_millis(100);

/// Found of an order of which nothing can be told.
const UNCORRELATED: &str = "uncorrelated";

#[tokio::test(flavor = "multi_thread")]
async fn every_seeded_effect_fault_is_found_and_nothing_else() {
    let scene = Scene::start().await;
    scene.capture().await;
    let plans = Plan::generate(ORDERS);
    let expected: Found = (0..).zip(&plans).map(|(n, plan)| (n, plan.differences(&scene.partners))).collect();
    let faulty = scene.version(&plans, Duration::ZERO).await;
    let copy = scene.version(&[], Duration::ZERO).await;
    let replayer = scene.rig.replayer("r1").ready().await;
    let comparator = scene.comparator().ready().await;

    let launch = scene.launch("faulty", &faulty).await;
    scene.rig.settled(&launch, i64::from(ORDERS)).await;
    let found = scene.found(&launch).await;
    assert_eq!(differing(&found, &expected), BTreeMap::new());
    let (mut places, mut faultless) = (BTreeMap::<&str, u32>::new(), 0);
    for differences in expected.values() {
        faultless += u32::from(differences.is_empty());
        differences.iter().for_each(|difference| *places.entry(difference).or_default() += 1);
    }
    println!("{ORDERS} orders, {faultless} of them without a fault; found exactly {places:#?}");
    assert!(faultless >= 20 && places.len() >= 4 * KINDS.len() + 2, "the set has too little of something");

    let launch = scene.launch("copy", &copy).await;
    scene.rig.settled(&launch, i64::from(ORDERS)).await;
    let nothing: Found = (0..ORDERS).map(|n| (n, BTreeSet::new())).collect();
    assert_eq!(differing(&scene.found(&launch).await, &nothing), BTreeMap::new(), "the live version against itself");

    drop(replayer.stop());
    drop(comparator.stop());
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replayers_that_are_killed_and_send_again_add_no_effect() {
    let scene = Scene::start().await;
    scene.capture().await;
    let plans = Plan::generate(ORDERS);
    let expected: Found = (0..).zip(&plans).map(|(n, plan)| (n, plan.differences(&scene.partners))).collect();
    let faulty = scene.version(&plans, WORK).await;
    let _comparator = scene.comparator().ready().await;
    scene.rig.rate(Some(STORM_RATE)).await;
    let mut replayer = scene.rig.replayer("r1").ready().await;
    let launch = scene.launch("stormy", &faulty).await;
    for kill in 1..=KILLS {
        let enough = u64::from(kill * ORDERS / (KILLS + 2));
        until("requests at the candidate", || async { (faulty.requests() >= enough).then_some(()) }).await;
        replayer.kill();
        replayer.restart();
    }
    scene.rig.settled(&launch, i64::from(ORDERS)).await;
    let again = faulty.requests() - u64::from(ORDERS);
    println!("{KILLS} kills: {again} requests were sent again");
    assert!(again > 0, "no kill hit a request under way: the storm was too mild to show anything");
    // Of a request that was sent again and of which the trace alone told, an additional call may be either send's.
    let mut found = scene.found(&launch).await;
    let unclear = found.iter_mut().filter(|(_, found)| found.contains(UNCORRELATED));
    let unclear = unclear.map(|(n, found)| found.clone_from(&expected[n])).count() as u64;
    println!("of {unclear} nothing can be told");
    assert!(unclear <= again, "only of those that were sent again");
    let uncounted = scene.orders_with_calls_of_other_sends(&launch, &plans).await;
    println!("of {uncounted} orders calls of another send were recorded, which nothing but its number tells apart");
    assert_eq!(differing(&found, &expected), BTreeMap::new());
    scene.stop().await;
}

/// By the order's number: place, kind and transition of each difference.
type Found = BTreeMap<u32, BTreeSet<String>>;

/// The orders of which something else was found than expected: what was found, and what was expected.
fn differing(found: &Found, expected: &Found) -> BTreeMap<u32, [BTreeSet<String>; 2]> {
    let all = found.keys().chain(expected.keys());
    let both = all.map(|n| (*n, [found, expected].map(|of| of.get(n).cloned().unwrap_or_default())));
    both.filter(|(n, [one, other])| one != other || !found.contains_key(n)).collect()
}

/// Servers, partners, the live version behind its agent, and the stub.
struct Scene {
    rig: Rig,
    partners: String,
    agent: Service,
    agent_url: String,
    stub: Service,
    stub_url: String,
    _files: TempDir,
}

#[derive(Deserialize)]
struct Row {
    path: String,
    outcome: String,
    effects_result: String,
    effects_reason: String,
    primary_effects: u32,
    found: BTreeSet<String>,
}

impl Scene {
    async fn start() -> Self {
        let (rig, files, partners) = (Rig::start().await, tempfile::tempdir().unwrap(), partners().await);
        let [agent, egress, stub] = [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let live = Version::start(Vec::new(), &format!("http://{egress}"), &partners, Duration::ZERO).await;
        let rules = files.path().join("rules.toml");
        std::fs::write(&rules, rules_of_partners()).unwrap();
        let brokers = &rig.kafka.brokers;
        let agent_config = agent_config(&agent, &egress, &live.url, files.path(), brokers);
        let agent_service = Service::start("capture-agent", &agent_config).ready().await;
        let stub_config = format!(
            "[service]\nname = \"shop\"\ninstance = \"stub-1\"\n[stub]\nhttp = \"{stub}\"\nrules = [{rules:?}]\n[kafka]\nbrokers = \"{brokers}\"\n"
        );
        let stub_service = Service::start("shadow-stub", &stub_config).ready().await;
        Self {
            partners,
            agent: agent_service,
            agent_url: format!("http://{agent}"),
            stub: stub_service,
            stub_url: format!("http://{stub}"),
            rig,
            _files: files,
        }
    }

    /// Sends every order to the live version, and waits until all are captured.
    async fn capture(&self) {
        let http = reqwest::Client::new();
        let mut under_way = JoinSet::new();
        for n in 0..ORDERS {
            while under_way.len() >= AT_ONCE {
                under_way.join_next().await.unwrap().unwrap();
            }
            let body = serde_json::json!({ "amount": 1_000 + n * 7, "email": format!("customer{n}@mail.example") });
            let request = http
                .post(format!("{}/orders/{n}", self.agent_url))
                .header("traceparent", format!("00-{:032x}-{:016x}-01", (u128::from(n) + 1) << 64, n + 1))
                .header("x-request-id", format!("request-{n}"))
                .json(&body);
            under_way.spawn(async move {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
            });
        }
        while let Some(done) = under_way.join_next().await {
            done.unwrap();
        }
        let admin = shadow_kafka::Admin::new(&self.rig.kafka).unwrap();
        let topic = shadow_record::topics::captured(&support::test_service());
        until("all orders to be captured", || async {
            let ends = admin.ends(&topic).await.ok()?;
            (ends.iter().sum::<i64>() >= i64::from(ORDERS)).then_some(())
        })
        .await;
    }

    /// A version in the shadow, with what `plans` say it does wrong.
    async fn version(&self, plans: &[Plan], work: Duration) -> Version {
        Version::start(plans.to_vec(), &self.stub_url, &self.partners, work).await
    }

    async fn launch(&self, name: &str, candidate: &Version) -> LaunchName {
        let change = |launch: &mut Launch| {
            launch.candidate = candidate.url.parse().unwrap();
            launch.isolation = Some("its calls end in the stub".to_owned());
        };
        self.rig.launch(name, change).await
    }

    fn comparator(&self) -> Service {
        let config = format!(
            "[service]\ninstance = \"c1\"\n[kafka]\nbrokers = \"{}\"\n[clickhouse]\nurl = \"{}\"\n[comparator]\neffects_settle = \"10s\"\n",
            self.rig.kafka.brokers,
            self.rig.stack.clickhouse_url()
        );
        Service::start("comparator", &config)
    }

    /// What was found of each order. Every one must have been answered, and its effects compared.
    async fn found(&self, launch: &LaunchName) -> Found {
        let query = format!(
            "SELECT path, outcome, effects_result, effects_reason, primary_effects, \
             arrayMap((place, kind, transition) -> concat(place, ' ', kind, ' ', transition), differences.place, differences.kind, differences.transition) AS found \
             FROM shadow.exchanges FINAL WHERE launch = '{launch}' FORMAT JSONEachRow"
        );
        let text = sql(&self.rig.stack, &query).await;
        let rows = text.lines().map(|line| serde_json::from_str::<Row>(line).unwrap());
        rows.map(|row| {
            let n = number_of(&row.path);
            if row.effects_reason == UNCORRELATED && is_told_by_trace_only(n) {
                return (n, BTreeSet::from([UNCORRELATED.to_owned()]));
            }
            let told = (row.outcome.as_str(), row.effects_reason.as_str(), row.primary_effects);
            assert_eq!(told, ("completed", "", KINDS.len() as u32), "{}", row.path);
            let result = if row.found.is_empty() { "matched" } else { "differing" };
            assert_eq!(row.effects_result, result, "{}: {:?}", row.path, row.found);
            (n, row.found)
        })
        .collect()
    }

    /// The control of the storm: orders of which more calls without a key were recorded than one send makes. Told by the number of the send alone,
    /// they would be found as additional calls were it not for that. Waits for the first.
    async fn orders_with_calls_of_other_sends(&self, launch: &LaunchName, plans: &[Plan]) -> usize {
        #[derive(Deserialize)]
        struct Recorded {
            path: String,
            calls: u32,
        }
        let query = format!(
            "SELECT path, toUInt32(count()) AS calls FROM shadow.exchanges FINAL \
             INNER JOIN (SELECT request_id FROM shadow.effects FINAL \
                 WHERE launch = '{launch}' AND side = 'candidate' AND idempotency_key = '' AND send IS NOT NULL) AS told USING (request_id) \
             WHERE launch = '{launch}' GROUP BY path FORMAT JSONEachRow"
        );
        let of_one_send = |n: u32| {
            let order = Order { number: n, amount: 0, email: String::new() };
            let calls = plans[n as usize].calls(&order);
            calls.iter().filter(|call| call.idempotency_key.is_none()).count() as u32
        };
        until("calls of orders that were sent again", || async {
            let text = sql(&self.rig.stack, &query).await;
            let rows = text.lines().map(|line| serde_json::from_str::<Recorded>(line).unwrap());
            let more = rows.filter(|row| row.calls > of_one_send(number_of(&row.path))).count();
            (more > 0).then_some(more)
        })
        .await
    }

    async fn stop(self) {
        drop(self.agent.stop());
        drop(self.stub.stop());
        self.rig.stack.stop().await;
    }
}

/// The order's number in the path of its request.
fn number_of(path: &str) -> u32 {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

fn agent_config(listen: &str, egress: &str, primary: &str, files: &Path, brokers: &str) -> String {
    let routes: Vec<String> = KINDS.iter().map(|kind| format!("* {}", kind.route())).collect();
    format!(
        "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"{listen}\"\n[primary]\nurl = \"{primary}\"\n\
         [capture]\npartitions = 4\naccount = {files:?}\nlatency_budget = \"off\"\nlag_budget = \"off\"\n\
         [masking]\nroutes = [\"* /orders/{{id}}\"]\n[egress]\nlisten = \"{egress}\"\nroutes = {routes:?}\n[kafka]\nbrokers = \"{brokers}\"\n"
    )
}

/// Rules of the stub: every partner takes everything, and the payment provider knows a charge again by its key.
fn rules_of_partners() -> String {
    let rule = |name: &str, path: &str, more: &str| {
        format!("[[rule]]\nname = \"{name}\"\npath = \"{path}\"\n{more}[rule.answer]\nbody = '{{\"taken\": true}}'\n\n")
    };
    let again = "idempotent_by = \"{{ request.headers['idempotency-key'] }}\"\n";
    let own = KINDS.map(|kind| rule(&format!("{kind:?}"), kind.route(), again));
    own.concat() + &rule("Track", "/v1/track", "")
}
