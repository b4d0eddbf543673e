//! Nothing private leaves: canaries in every position of requests and answers go through agent, Kafka, replayer, comparator and
//! ClickHouse, all at log level `debug`, and are then looked for in everything that was written anywhere.
//!
//! Under `strict` none may be found; a control under rules that keep everything must find each of them, but for those that no rules
//! let out, which are listed with the reason where they are made. Where values are encrypted and the replayer may reveal them, the candidate
//! sees them, and nobody else.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on fails, and shows its figures")]

#[path = "canaries/bodies.rs"]
mod bodies;
#[path = "canaries/canary.rs"]
mod canary;
#[path = "canaries/messages.rs"]
mod messages;
#[path = "canaries/search.rs"]
mod search;
#[path = "../support.rs"]
mod support;
#[path = "canaries/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::path::Path;

use canary::{Canaries, Canary};
use messages::{Case, cases};
use search::{Found, Search};
use shadow_kafka::{Admin, Tail, TailEvent, TailFrom};
use shadow_mask::Ruleset;
use shadow_record::topics;
use support::{Rig, Service, free_port, sql, test_service};
use tempfile::TempDir;
use wire::{Version, send};

/// So that log segments hold the records' own bytes.
const UNCOMPRESSED: &str = "properties = { \"compression.type\" = \"none\" }";
const ROUTES: &str = "routes = [\"* /cases/{number}\", \"* /cases/{number}/{segment}/{rest..}\"]";
/// What the candidate was sent, as a place to look in.
const CANDIDATE: &str = "what the candidate received";
/// Rules under which some values of each kind can be revealed.
const ENCRYPT: &str = r#"[[rule]]
strategy = "encrypt"
header = ["x-name"]
path = ["segment"]
query = ["*"]
json = ["$.name", "$.deep"]
form = ["name"]
xml = ["/order"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn no_canary_is_found_anywhere_under_strict() {
    let (canaries, found) = run("", false).await;
    let told: Vec<_> = found.iter().map(|(at, places)| format!("{} in {places:?}", canaries[*at].place)).collect();
    assert!(told.is_empty(), "{} canaries were found:\n{}", told.len(), told.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_search_finds_them_where_everything_is_kept() {
    let (canaries, found) = run(Ruleset::KEEP_EVERYTHING, false).await;
    let hidden = |at: usize| !found.contains_key(&at);
    let wrong = canaries.iter().enumerate().filter(|(at, canary)| canary.lost.is_some() != hidden(*at));
    let told: Vec<_> =
        wrong.map(|(at, canary)| format!("{} ({:?}): {:?}", canary.place, canary.lost, found.get(&at))).collect();
    assert!(told.is_empty(), "{} canaries:\n{}", told.len(), told.join("\n"));
    let seen_in = |part: &str| found.values().filter(|places| places.iter().any(|place| place.contains(part))).count();
    for part in
        ["shadow.captured.shop-", "shadow.replayed.shop.v2-", "records of shadow.captured", "table shadow.exchanges"]
    {
        println!("{} canaries in {part}", seen_in(part));
        assert!(seen_in(part) > 20, "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revealed_values_are_seen_by_the_candidate_and_nowhere_else() {
    let (canaries, found) = run(ENCRYPT, true).await;
    let elsewhere = found.iter().filter(|(_, places)| **places != [CANDIDATE]);
    let told: Vec<_> = elsewhere.map(|(at, places)| format!("{} in {places:?}", canaries[*at].place)).collect();
    assert!(told.is_empty(), "{} canaries were found:\n{}", told.len(), told.join("\n"));
    let revealed: BTreeSet<_> = found.keys().map(|at| &*canaries[*at].place).collect();
    for place in ["path segment", "query value", "header X-Name"].map(|position| format!("request: {position}")) {
        assert!(revealed.contains(&*place), "{place} is not among {revealed:?}");
    }
    for place in ["json: value", "json: value at depth 6", "form: value", "xml: character data"] {
        assert!(revealed.contains(&*format!("request, {place}")), "{place} is not among {revealed:?}");
    }
}

/// Sends every case through everything, and searches what that has left behind.
async fn run(rules: &str, reveal: bool) -> (Vec<Canary>, Found) {
    let data = tempfile::tempdir().unwrap();
    let rig = Rig::start_in(data.path()).await;
    let mut canaries = Canaries::default();
    let cases = cases(&mut canaries);
    let search = Search::of(canaries.all());
    check_search(&search, canaries.all(), &cases);

    let primary = Version::start(cases.iter().map(|case| case.primary.clone()).collect()).await;
    let candidate = Version::start(cases.iter().map(|case| case.candidate.clone()).collect()).await;
    let (config, listen) = (Config::of(&rig, rules), format!("127.0.0.1:{}", free_port()));
    let agent = config.agent(&primary, &listen, data.path()).ready().await;
    for case in &cases {
        send(&listen, &case.request).await;
    }
    let captured = cases.len() as i64 + 1;
    rig.traffic.write_garbage(&topics::captured(&test_service()), 0).await;
    let launch = rig
        .launch("v2", |launch| {
            launch.candidate = format!("http://{}", candidate.address).parse().unwrap();
            launch.isolation = Some("a server that forgets".to_owned());
        })
        .await;
    let (replayer, comparator) =
        (config.replayer(reveal.then_some(&candidate)).ready().await, config.comparator().ready().await);
    rig.settled(&launch, captured).await;

    let mut found = Found::new();
    search.look(CANDIDATE, &candidate.received(), &mut found);
    for service in [&agent, &replayer, &comparator] {
        for page in ["metrics", "config", "healthz", "readyz"] {
            let url = format!("{}/{page}", service.admin());
            let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
            search.look(&url, text.as_bytes(), &mut found);
        }
    }
    for command in [&["report", "v2"][..], &["ledger"], &["ledger", "v2"], &["status"], &["launch", "list"]] {
        search.look(&format!("shadowctl {command:?}"), rig.shadowctl(command).await.as_bytes(), &mut found);
    }
    for (name, service) in [("agent", agent), ("replayer", replayer), ("comparator", comparator)] {
        let log = service.stop();
        assert!(log.contains("\"DEBUG\""), "the log of the {name} is at level debug");
        search.look(&format!("log of the {name}"), log.as_bytes(), &mut found);
    }
    search_kafka(&search, &rig, &mut found).await;
    search_clickhouse(&search, &rig, &mut found).await;
    // Log segments, ClickHouse's parts, their own logs, the agent's account.
    rig.stack.stop().await;
    let searched = search.look_below(data.path(), &mut found);
    println!("{} canaries in {} messages, looked for in {searched} bytes of files", canaries.all().len(), cases.len());
    (canaries.into_all(), found)
}

/// The search finds in what is sent every canary that no rules let out: those have no other control.
fn check_search(search: &Search, canaries: &[Canary], cases: &[Case]) {
    let mut found = Found::new();
    for Case { request, primary, candidate } in cases {
        [request, primary, candidate].into_iter().for_each(|bytes| search.look("wire", bytes, &mut found));
    }
    for (at, canary) in canaries.iter().enumerate().filter(|(_, canary)| canary.lost.is_some()) {
        assert!(found.contains_key(&at), "the search does not know the form of {}", canary.place);
    }
}

/// Keys and payloads of every record of every topic.
async fn search_kafka(search: &Search, rig: &Rig, found: &mut Found) {
    let topics = Admin::new(&rig.kafka).unwrap().topics().await.unwrap();
    for wanted in [topics::CONTROL, topics::STATUS, topics::DEAD_LETTER] {
        assert!(topics.iter().any(|topic| topic == wanted), "{wanted} is missing among {topics:?}");
    }
    for topic in topics.iter().filter(|topic| topic.starts_with("shadow.")) {
        let tail = Tail::open(&rig.kafka, topic, TailFrom::Start).await.unwrap();
        while let TailEvent::Record(record) = tail.recv().await.unwrap() {
            let bytes = [record.key.as_deref().unwrap_or_default(), &record.payload[..]].concat();
            search.look(&format!("records of {topic}"), &bytes, found);
        }
    }
}

/// Every row of every table, those of ClickHouse about itself included, as text.
async fn search_clickhouse(search: &Search, rig: &Rig, found: &mut Found) {
    sql(&rig.stack, "SYSTEM FLUSH LOGS").await;
    let tables =
        "SELECT database || '.' || name FROM system.tables WHERE engine LIKE '%MergeTree%' ORDER BY 1 FORMAT TSVRaw";
    let tables = sql(&rig.stack, tables).await;
    assert!(tables.contains("shadow.exchanges"), "{tables}");
    for table in tables.lines() {
        let rows = sql(&rig.stack, &format!("SELECT * FROM {table} FORMAT TSVRaw")).await;
        search.look(&format!("table {table}"), rows.as_bytes(), found);
    }
}

/// What the services have in common.
struct Config {
    shared: String,
    masking: String,
    clickhouse: String,
    _rules: TempDir,
}

impl Config {
    fn of(rig: &Rig, rules: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rules.toml");
        std::fs::write(&file, rules).unwrap();
        Self {
            shared: format!("[kafka]\nbrokers = \"{}\"\n{UNCOMPRESSED}\n", rig.kafka.brokers),
            masking: format!("[masking]\nrules_file = {file:?}\n{ROUTES}\n"),
            clickhouse: format!("[clickhouse]\nurl = \"{}\"\n", rig.stack.clickhouse_url()),
            _rules: dir,
        }
    }

    fn agent(&self, primary: &Version, listen: &str, accounts: &Path) -> Service {
        let config = format!(
            "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"{listen}\"\n[primary]\nurl = \"http://{}\"\n\
             [capture]\npartitions = 4\nbody_limit = {}\naccount = {accounts:?}\nlatency_budget = \"off\"\nlag_budget = \"off\"\n\
             [sampling]\nsession_cookie = \"sid\"\nsession_header = \"x-session\"\n{}{}",
            primary.address,
            bodies::LIMIT,
            self.shared,
            self.masking
        );
        Service::start_logging("capture-agent", &config, "debug")
    }

    fn replayer(&self, reveal_to: Option<&Version>) -> Service {
        let targets: Vec<_> = reveal_to.iter().map(|version| format!("http://{}", version.address)).collect();
        let limit = format!("[replay]\nmax_response_body = {}\nreveal_to = {targets:?}\n", bodies::LIMIT);
        let config = format!("[service]\ninstance = \"r1\"\n{limit}{}{}", self.shared, self.masking);
        Service::start_logging("replayer", &config, "debug")
            .expecting("unreadable record goes to the dead-letter topic")
    }

    fn comparator(&self) -> Service {
        let config = format!("[service]\ninstance = \"c1\"\n{}{}", self.shared, self.clickhouse);
        Service::start_logging("comparator", &config, "debug").expecting("record dead-lettered")
    }
}
