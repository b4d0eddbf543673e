//! Ramps on a real control topic, judged on rows in ClickHouse.

use serde_json::Value;
use shadow_devstack::Devstack;

use super::support::{Ran, bare, captured, run, stack};

/// A launch on the control topic, and its evidence in a database of its own.
struct Climb<'a> {
    stack: &'a Devstack,
    launch: &'static str,
    database: &'static str,
    client: clickhouse::Client,
}

impl<'a> Climb<'a> {
    /// `ramp` is what follows `--ramp`.
    async fn prepare(stack: &'a Devstack, launch: &'static str, ramp: &str, database: &'static str) -> Self {
        captured(stack, launch, &[0]).await;
        let create = ["launch", "create", launch, "--service", launch, "--candidate", "http://127.0.0.1:9"];
        run(stack, &[&create[..], &["--ramp"], &ramp.split(' ').collect::<Vec<_>>()].concat()).await.ok();
        run(stack, &["schema", "apply", "--clickhouse-database", database]).await.ok();
        let client = clickhouse::Client::default().with_url(stack.clickhouse_url()).with_database(database);
        let climb = Self { stack, launch, database, client };
        let row = "INSERT INTO launches (launch, service, candidate, status, sample) VALUES";
        climb.insert(&format!("{row} ('{launch}', '{launch}', 'x', 'active', 1)")).await;
        climb
    }

    async fn insert(&self, sql: &str) {
        self.client.query(&sql.replace('?', "??")).execute().await.unwrap();
    }

    /// Exchanges that are sent now, from offset `first`; `result` is an expression over `number`.
    async fn exchanges(&self, first: u64, count: u64, result: &str) {
        let (launch, to) = (self.launch, first + count);
        self.insert(&format!(
            "INSERT INTO exchanges (launch, service, route, captured_offset, captured_at, sent_at, outcome, result, primary_status, \
             candidate_status, primary_us, candidate_us) \
             SELECT '{launch}', '{launch}', 'GET /a', number + {first}, now64(6), now64(6) + 3600, 'completed', {result}, 200, 200, \
                 10000 + number, 10000 + number FROM numbers({count})"
        ))
        .await;
        self.insert(&format!(
            "INSERT INTO watermarks (launch, service, low_offset, high_offset) VALUES ('{launch}', '{launch}', {to}, {to})"
        ))
        .await;
    }

    async fn ramp(&self, args: &[&str]) -> Ran {
        run(self.stack, &[&["ramp"], args, &["--clickhouse-database", self.database]].concat()).await
    }

    /// What one round does.
    async fn once(&self) -> (String, String) {
        let lines = self.ramp(&["run", self.launch, "--once", "--json"]).await.json();
        let word = |name: &str| lines[0][name].as_str().unwrap().to_owned();
        (word("what"), word("why"))
    }

    async fn shown(&self) -> Value {
        run(self.stack, &["launch", "show", self.launch, "--json"]).await.json()
    }
}

#[tokio::test]
async fn a_good_candidate_climbs_to_the_top_and_each_step_says_why() {
    let Some(stack) = stack().await else { return };
    let climb = Climb::prepare(stack, "climber", "1%:0s,50%:0s,100%:0s", "ramp_good").await;
    assert_eq!(climb.shown().await["sample"], 0.01, "the first step's, before anybody climbs");
    assert_eq!(climb.once().await, ("begins".into(), "the first step of 3: 1 %".into()));
    assert_eq!(climb.once().await.0, "waits", "nothing is known yet");
    climb.exchanges(0, 5_000, "'matched'").await;
    let (what, why) = climb.once().await;
    assert!(what == "climbs" && why.starts_with("from 1 % to 50 %: verdict pass after"), "{what} {why}");
    let shown = climb.shown().await;
    assert_eq!(
        (&shown["sample"], &shown["change"]["by"], &shown["change"]["why"]),
        (&0.5.into(), &"ramp".into(), &why.into())
    );
    let table = run(stack, &["launch", "list"]).await.ok();
    assert!(table.lines().any(|line| line.starts_with("climber") && line.contains("2 of 3")), "{table}");

    // A controller that starts anew goes on where the ramp stands, and ends when it is done.
    let done = climb.ramp(&["run", climb.launch, "--every", "50ms"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("from 50 % to 100 %") && done.out.contains("climber done (100 %)"), "{done:?}");
    let shown = climb.shown().await;
    assert_eq!((&shown["ramp"]["state"], &shown["status"]), (&"done".into(), &"active".into()));
    assert!(climb.ramp(&["show"]).await.ok().contains("over: verdict pass"), "it has nothing left to do");
}

#[tokio::test]
async fn a_bad_candidate_is_rolled_back_and_the_controller_says_so() {
    let Some(stack) = stack().await else { return };
    let climb = Climb::prepare(stack, "faller", "1%:1h,100%:1h", "ramp_bad").await;
    climb.exchanges(0, 1_000, "if(number % 10 = 0, 'differing', 'matched')").await;
    let ran = climb.ramp(&["run", climb.launch, "--every", "50ms"]).await;
    assert!(ran.code == 1 && ran.err.contains("not at the end of the ramp: faller"), "{ran:?}");
    assert!(ran.out.contains("rolls back (1 %): verdict fail at 1 %: "), "{ran:?}");
    let shown = climb.shown().await;
    assert_eq!((&shown["status"], &shown["ramp"]["state"]), (&"rolled_back".into(), &"failed".into()));
    assert!(shown["change"]["why"].as_str().unwrap().contains("match_rate"), "{shown}");
}

#[tokio::test]
async fn a_bad_candidate_may_be_paused_instead_and_goes_on_when_a_person_says_so() {
    let Some(stack) = stack().await else { return };
    let climb = Climb::prepare(stack, "stumbler", "1%:1h,100%:1h --on-fail pause", "ramp_paused").await;
    assert_eq!(climb.once().await.0, "begins");
    climb.exchanges(0, 1_000, "if(number % 10 = 0, 'differing', 'matched')").await;
    assert_eq!(climb.once().await.0, "pauses");
    let shown = climb.shown().await;
    assert_eq!((&shown["status"], &shown["ramp"]["state"]), (&"paused".into(), &"failed".into()));
    assert!(shown["change"]["by"] == "ramp" && shown["change"]["why"].as_str().unwrap().contains("verdict fail"));
    run(stack, &["launch", "resume", climb.launch]).await.ok();
    assert_eq!(climb.shown().await["status"], "active");
    assert_eq!(climb.once().await.0, "over", "a ramp that failed does not pause it again");
}

#[tokio::test]
async fn a_controller_that_waits_for_clickhouse_ends_when_it_is_told_to() {
    let Some(stack) = stack().await else { return };
    let climb = Climb::prepare(stack, "waiting", "1%:0s", "ramp_waiting").await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for signal in ["-INT", "-TERM"] {
        let mut command = bare(&["ramp", "run", climb.launch]);
        command.env("SHADOW_KAFKA_BROKERS", stack.brokers()).env("SHADOW_CLICKHOUSE_URL", &url);
        let mut controller = command.kill_on_drop(true).spawn().unwrap();
        let _asked = silent.accept().await.unwrap();
        let id = controller.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert_eq!(controller.wait().await.unwrap().code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn what_a_person_does_stops_the_climbing_until_it_is_resumed() {
    let Some(stack) = stack().await else { return };
    let climb = Climb::prepare(stack, "guided", "1%:0s,50%:0s,100%:0s", "ramp_hand").await;
    climb.once().await;
    climb.exchanges(0, 5_000, "'matched'").await;
    run(stack, &["launch", "pause", climb.launch, "--why", "looking"]).await.ok();
    let (what, why) = climb.once().await;
    assert!(what == "waits" && why.contains("paused by") && why.contains("(looking)"), "{what} {why}");
    run(stack, &["launch", "resume", climb.launch]).await.ok();

    let set = run(stack, &["launch", "set", climb.launch, "--sample", "0.6"]).await.ok();
    assert!(set.contains("until `shadowctl ramp resume guided`"), "{set}");
    let (what, why) = climb.once().await;
    assert!(what == "waits" && why.contains("set by hand"), "{what} {why}");
    let resumed = climb.ramp(&["resume", climb.launch]).await.ok();
    assert!(resumed.contains("at 50 % (was 60 %)"), "{resumed}");
    assert_eq!(climb.once().await.0, "climbs");
    assert_eq!(climb.shown().await["sample"], 1.0);

    let plain = ["launch", "create", "guided-plain", "--service", "guided", "--candidate", "http://127.0.0.1:9"];
    run(stack, &plain).await.ok();
    let ran = climb.ramp(&["run", "guided-plain", "--once"]).await;
    assert!(ran.code == 1 && ran.err.contains("guided-plain has no ramp"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_and_a_person_lose_no_word_of_each_other() {
    let Some(stack) = stack().await else { return };
    let ramp = (1..=20).map(|n| format!("{}%:0s", 5 * n)).collect::<Vec<_>>().join(",");
    let climb = Climb::prepare(stack, "crowded", &ramp, "ramp_crowd").await;
    climb.exchanges(0, 5_000, "'matched'").await;
    let args = ["run", climb.launch, "--every", "1ms"];
    let controller = || climb.ramp(&args);
    let person = async {
        for most in [8, 9, 10] {
            let most = format!("{most}");
            let (set, pause) =
                (["launch", "set", climb.launch, "--max-in-flight", &most], ["launch", "pause", climb.launch]);
            let (set, pause) = tokio::join!(run(stack, &set), run(stack, &pause));
            assert!(set.code == 0 && pause.code == 0, "{set:?} {pause:?}");
            assert_eq!(climb.shown().await["status"], "paused", "nobody undoes a pause but who resumes");
            run(stack, &["launch", "resume", climb.launch]).await.ok();
        }
    };
    let (one, other, ()) = tokio::join!(controller(), controller(), person);
    assert!(one.code == 0 && other.code == 0, "{one:?} {other:?}");
    let shown = climb.shown().await;
    assert_eq!((&shown["ramp"]["state"], &shown["ramp"]["at"]), (&"done".into(), &19.into()));
    assert_eq!(shown["limits"]["max_in_flight"], 10, "{shown}");
    // Each step was taken once, by one of the two.
    let climbs = one.out.matches(" climbs ").count() + other.out.matches(" climbs ").count();
    assert_eq!(climbs, 19, "{}{}", one.out, other.out);
}
