//! Against services at work: what the dashboards and alerts ask for is what is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shadow_control::Control;
use shadow_runtime::MaskingConfig;
use shadow_stub::config::Config as StubConfig;
use tokio_util::sync::CancellationToken;

use super::alerts;
use super::dashboards::{self, Query, expanded};
use super::exposition::{Families, parse};
use super::metrics_page::every_service;
use super::promql::{Used, used};
use super::support::{Candidate, MASKING_KEY, Rig, Service, free_port, sql, test_service, until};

/// Names that are not Shadowline's: Prometheus' own, and those of the versions' usual endpoints.
const OTHERS: [&str; 4] = ["up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"];
/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["job", "instance"];

/// Labels by the name of a sample, `le` of buckets included.
type Samples = BTreeMap<String, BTreeSet<String>>;

fn samples(families: &Families) -> Samples {
    let mut samples = Samples::new();
    for (name, family) in families {
        for sample in family.samples(name) {
            let mut labels = family.labels.clone();
            if sample.ends_with("_bucket") {
                labels.insert("le".to_owned());
            }
            samples.insert(sample, labels);
        }
    }
    samples
}

/// What a query speaks of exists; names without a series as yet are looked for in `registered`.
fn check(query: &Query, shown: &Samples, registered: &Samples, unseen: &mut BTreeSet<String>) {
    let Used { selected, grouped } = used(&query.text);
    let mut there: BTreeSet<&str> = ADDED.into();
    for (name, asked) in &selected {
        if OTHERS.contains(&name.as_str()) {
            assert!(asked.iter().all(|label| ADDED.contains(&label.as_str())), "{query:?}: {asked:?}");
            continue;
        }
        let labels = shown.get(name).or_else(|| {
            unseen.insert(name.clone());
            registered.get(name)
        });
        let labels = labels.unwrap_or_else(|| panic!("{}: there is no {name}", query.place));
        let missing: Vec<_> = asked.iter().filter(|l| !labels.contains(*l) && !ADDED.contains(&l.as_str())).collect();
        assert!(missing.is_empty(), "{}: {name} has no label {missing:?}", query.place);
        there.extend(labels.iter().map(String::as_str));
    }
    let unknown: Vec<_> = grouped.iter().filter(|label| !there.contains(label.as_str())).collect();
    assert!(unknown.is_empty(), "{}: grouped by {unknown:?}, which nothing there has", query.place);
}

async fn scraped(admin: &str) -> Families {
    parse(&reqwest::get(format!("{admin}/metrics")).await.unwrap().text().await.unwrap())
}

/// A stub in this process, which has answered one call.
async fn stub(rig: &Rig, stop: &CancellationToken) -> String {
    let (http, admin) = (free_port(), free_port());
    let mut config = StubConfig::default();
    config.service.name = Some(test_service());
    config.stub.http = format!("127.0.0.1:{http}").parse().unwrap();
    config.admin.listen = format!("127.0.0.1:{admin}").parse().unwrap();
    config.masking = MaskingConfig { key: Some(shadow_runtime::Secret::new(MASKING_KEY)), ..MaskingConfig::default() };
    config.kafka = rig.kafka.clone();
    tokio::spawn(shadow_stub::run(config, stop.clone()));
    let url = format!("http://127.0.0.1:{http}/anything");
    until("the stub's answer", || async { reqwest::get(&url).await.ok() }).await;
    format!("http://127.0.0.1:{admin}")
}

/// Runs a query of the ClickHouse data source: the types of its columns, and how many rows it gives.
async fn run(rig: &Rig, query: &Query, launch: &str) -> (Vec<String>, usize) {
    let text = expanded(&query.text, launch);
    let url = format!("{}/?database=shadow&readonly=2&max_execution_time=60", rig.stack.clickhouse_url());
    let answer = reqwest::Client::new().post(url).body(format!("{text} FORMAT JSONCompact")).send().await.unwrap();
    let (ok, body) = (answer.status().is_success(), answer.text().await.unwrap());
    assert!(ok, "{}\n{text}\n{body}", query.place);
    let body: Value = serde_json::from_str(&body).unwrap();
    let kinds = body["meta"].as_array().unwrap().iter().map(|column| column["type"].as_str().unwrap().to_owned());
    (kinds.collect(), body["data"].as_array().unwrap().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_alerts_ask_for_what_services_at_work_show() {
    let mut rig = Rig::start().await;
    let (production, control, dir) = (Candidate::start().await, Candidate::start().await, tempfile::tempdir().unwrap());
    let agent = Service::start(
        "capture-agent",
        &format!(
            "[service]\nname = \"shop\"\ninstance = \"agent-1\"\n[listen]\naddress = \"127.0.0.1:0\"\n[primary]\nurl = \"{}\"\n\
             [capture]\npartitions = 4\naccount = {:?}\nlatency_budget = \"off\"\nlag_budget = \"off\"\n\
             [masking]\nroutes = [\"* /orders/{{id}}\"]\n[egress]\nlisten = \"127.0.0.1:0\"\n[kafka]\nbrokers = \"{}\"\n",
            production.url,
            dir.path(),
            rig.kafka.brokers
        ),
    )
    .ready()
    .await;
    let launch = rig
        .launch("v2", |launch| launch.control = Some(Control { url: control.url.parse().unwrap(), sample: 1.0 }))
        .await;
    rig.traffic.write(400).await;
    let (replayer, comparator) = (rig.replayer("r1").ready().await, rig.comparator("c1").ready().await);
    let stop = CancellationToken::new();
    let stub = stub(&rig, &stop).await;
    rig.settled(&launch, 400).await;

    let registered = every_service().await;
    let mut shown = Families::new();
    for (service, admin) in [
        ("capture-agent", agent.admin()),
        ("replayer", replayer.admin()),
        ("comparator", comparator.admin()),
        ("shadow-stub", stub),
    ] {
        let known = &registered.iter().find(|(name, _)| *name == service).unwrap().1;
        for (name, family) in scraped(&admin).await {
            let told = known.get(&name).unwrap_or_else(|| panic!("{service}: {name} is not on the page of metrics"));
            assert!((&told.kind, &told.help) == (&family.kind, &family.help), "{service}: {name}");
            // A family without a series yet shows no labels.
            assert!(family.labels.is_empty() || family.labels == told.labels, "{service}: {name}: {:?}", family.labels);
            shown.entry(name).or_insert(family).labels.extend(told.labels.clone());
        }
    }
    let registered = registered.into_iter().flat_map(|(_, families)| families).collect();
    let (shown, registered, mut unseen) = (samples(&shown), samples(&registered), BTreeSet::new());
    for query in dashboards::promql().iter().chain(&alerts::promql()) {
        check(query, &shown, &registered, &mut unseen);
    }
    // These need a fault of the control, a restart, a certificate or a call of a known request to have a series. Everything else is there.
    let rare = [
        "shadow_compare_repeated_total",
        "shadow_compare_unusable_total",
        "shadow_edge_listener_certificate_refused",
        "shadow_edge_primary_certificate_refused",
        "shadow_replay_breaker_transitions_total",
        "shadow_replay_control_failed_total",
        "shadow_stub_mirrored_total",
    ];
    let unexpected: Vec<_> = unseen.iter().filter(|name| !rare.contains(&name.as_str())).collect();
    assert!(unexpected.is_empty(), "no service at work shows {unexpected:?}");

    let mut empty = Vec::new();
    for query in dashboards::sql().iter().chain(&alerts::sql()) {
        let (columns, rows) = run(&rig, query, launch.as_str()).await;
        assert!(!query.series || columns[0].starts_with("DateTime"), "{}: {columns:?}", query.place);
        assert!(!query.series || columns.len() > 1, "{}", query.place);
        if rows == 0 {
            empty.push(query.place.strip_prefix("versions.json: ").unwrap_or(&query.place).to_owned());
        }
    }
    // What this launch has none of: classes, expected changes, noise, causes, calls and drills.
    let none = ["Classes and scores", "Expected changes", "Noise", "What predicts them", "Differing calls", "Drills"];
    let unexpected: Vec<_> = empty.iter().filter(|place| !none.contains(&place.as_str())).collect();
    assert!(unexpected.is_empty(), "queries without an answer: {unexpected:?}");
    assert_eq!(sql(&rig.stack, "SELECT countIf(NOT balanced) FROM shadow.ledger_launch").await.trim(), "0");
    stop.cancel();
    replayer.stop();
    comparator.stop();
    agent.stop();
    rig.stack.stop().await;
}
