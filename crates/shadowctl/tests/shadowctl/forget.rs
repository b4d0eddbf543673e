//! `shadowctl launch forget` on real tables: of the launch nothing is left, of the others everything.

use std::net::TcpListener;

use clickhouse::Client;
use comparator::schema::{MIGRATIONS, statements_for};
use shadow_devstack::{Devstack, KafkaChoice, LAUNCHER_ARG};

use super::support::{PROGRAM, captured, run, stack};

/// What two launches of one service left, of each sort of row; `{l}` is the launch, and each table has an odd offset more for its odd ones.
const ROWS: &[&str] = &[
    "launches (launch, service, candidate, status, sample, control_version) VALUES ('{l}', 'shop', 'x', 'rolled_back', 1, 1)",
    "watermarks (launch, service, partition, start_offset, low_offset, high_offset) VALUES ('{l}', 'shop', 0, 0, 40, 40)",
    "exchanges (launch, service, route, request_id, captured_offset, sent_at, outcome, result, differences.signature, \
     differences.place, differences.kind) SELECT '{l}', 'shop', 'GET /a', reinterpretAsUUID(sipHash128('{l}', number)), number, now64(6), 'completed', \
     'differing', ['s'], ['$.a'], ['value'] FROM numbers(30)",
    "skipped_ranges (launch, service, partition, first_offset, last_offset, reason) VALUES ('{l}', 'shop', 0, 30, 39, 'sampled_out')",
    "instance_status (instance, role, service, launch, epoch, sequence, state) VALUES ('r1', 'replayer', '', '{l}', 1, 1, 'running')",
    "drills (drill, trial, launch, instance, answered) VALUES (1, 1, '{l}', 'r1', 'confirmed')",
    "dead_letters (topic, partition, offset, reason) VALUES ('shadow.replayed.shop.{l}', 0, 3, 'garbage')",
    "control_changes (version, at, key, kind, subject, launch, by) VALUES (1, now64(6), 'launch/{l}', 'launch', '{l}', '{l}', 'ann')",
    "effects (service, side, launch, instance, epoch, sequence) VALUES ('shop', 'candidate', '{l}', 's1', 1, 1)",
];

async fn fill(client: &Client, launches: &[&str]) {
    for launch in launches {
        for rows in ROWS {
            let insert = format!("INSERT INTO {}", rows.replace("{l}", launch));
            client.query(&insert).execute().await.unwrap_or_else(|error| panic!("{insert}: {error}"));
        }
    }
    // The primary's own, and those of the service's topic, belong to no launch.
    for rows in [
        "effects (service, side, launch, instance, epoch, sequence) VALUES ('shop', 'primary', '', 'a1', 1, 1)",
        "dead_letters (topic, partition, offset, reason) VALUES ('shadow.captured.shop', 0, 3, 'garbage')",
    ] {
        client.query(&format!("INSERT INTO {rows}")).execute().await.unwrap();
    }
}

/// What every table and view that has launches says of one, by its name.
async fn told(client: &Client, database: &str, launch: &str) -> Vec<(String, String)> {
    let names = "SELECT table FROM system.columns WHERE database = ? AND name = 'launch' ORDER BY table";
    let names: Vec<String> = client.query(names).bind(database).fetch_all().await.unwrap();
    let mut told = Vec::new();
    for name in names.into_iter().filter(|name| !name.ends_with("_local")) {
        let select = format!("SELECT * FROM {name} WHERE launch = ? ORDER BY ALL");
        let mut rows = client.query(&select).bind(launch).fetch_bytes("JSONEachRow").unwrap();
        told.push((name, String::from_utf8(rows.collect().await.unwrap().to_vec()).unwrap()));
    }
    told
}

#[tokio::test]
async fn no_view_knows_a_forgotten_launch_and_others_are_as_they_were() {
    let Some(stack) = stack().await else { return };
    let database = "forgotten";
    let asked = async |args: &[&str]| run(stack, &[args, &["--clickhouse-database", database]].concat()).await;
    asked(&["schema", "apply"]).await.ok();
    let client = Client::default().with_url(stack.clickhouse_url()).with_database(database);
    fill(&client, &["gone-v1", "stays-v1"]).await;
    let before = told(&client, database, "stays-v1").await;
    assert!(before.len() > 20 && before.iter().filter(|(_, rows)| !rows.is_empty()).count() > 12, "{before:?}");

    let unsure = asked(&["launch", "forget", "gone-v1"]).await;
    assert!(unsure.code == 64 && unsure.err.contains("rows of launch gone-v1 for good"), "{unsure:?}");
    assert!(unsure.err.contains("add --yes"), "{unsure:?}");
    assert_eq!(told(&client, database, "stays-v1").await, before);

    let forgotten = asked(&["launch", "forget", "gone-v1", "--yes", "--why", "disk is full", "--json"]).await.json();
    let rows = |table: &str| {
        let of = forgotten["rows"].as_array().unwrap().iter().find(|of| of["table"] == table);
        of.map_or(0, |of| of["rows"].as_u64().unwrap())
    };
    assert_eq!((rows("exchanges"), rows("watermarks"), rows("dead_letters"), rows("effects")), (30, 1, 1, 1));
    for (name, rows) in told(&client, database, "gone-v1").await {
        assert!(rows.is_empty() || name == "control_changes", "{name}: {rows}");
    }
    assert_eq!(told(&client, database, "stays-v1").await, before);
    let ledger = asked(&["ledger", "--json"]).await.ok();
    assert!(ledger.contains("stays-v1") && !ledger.contains("gone-v1"), "{ledger}");

    // Its history stays, with who forgot it; giving the command again changes nothing.
    let again = asked(&["launch", "forget", "gone-v1", "--yes"]).await.ok();
    assert!(again.contains("no table has rows of launch gone-v1"), "{again}");
    let audit = asked(&["audit", "--launch", "gone-v1", "--json"]).await.json();
    let what: Vec<_> = audit.as_array().unwrap().iter().map(|change| change["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["created", "forgotten"], "{audit}");
    assert_eq!(audit[1]["why"], "disk is full");
    let left: u64 = client.query("SELECT count() FROM dead_letters").fetch_one().await.unwrap();
    assert_eq!(left, 2, "the other launch's, and the captured topic's");
}

#[tokio::test]
async fn a_launch_that_stands_on_the_control_topic_is_not_forgotten() {
    let Some(stack) = stack().await else { return };
    captured(stack, "remembered", &[1]).await;
    let asked = async |args: &[&str]| run(stack, &[args, &["--clickhouse-database", "remembered"]].concat()).await;
    asked(&["schema", "apply"]).await.ok();
    let client = Client::default().with_url(stack.clickhouse_url()).with_database("remembered");
    fill(&client, &["kept-v2"]).await;
    asked(&["launch", "create", "kept-v2", "--service", "remembered", "--candidate", "http://127.0.0.1:9"]).await.ok();
    for (step, word) in [(None, "active"), (Some("pause"), "active"), (Some("rollback"), "rolled_back")] {
        if let Some(step) = step {
            asked(&["launch", step, "kept-v2"]).await.ok();
        }
        let refused = asked(&["launch", "forget", "kept-v2", "--yes"]).await;
        assert_eq!(refused.code, 1, "{step:?}: {refused:?}");
        assert!(refused.err.contains(word) && refused.err.contains("shadowctl launch delete kept-v2"), "{refused:?}");
    }
    let kept: u64 = client.query("SELECT count() FROM exchanges").fetch_one().await.unwrap();
    assert_eq!(kept, 30);
    asked(&["launch", "delete", "kept-v2"]).await.ok();
    asked(&["launch", "forget", "kept-v2", "--yes"]).await.ok();
    let kept: u64 = client.query("SELECT count() FROM exchanges").fetch_one().await.unwrap();
    assert_eq!(kept, 0);
}

/// The tables of one node of a cluster. `clickhouse local` takes the engine of replicated tables but replicates nothing, so the shards are
/// plain ones here.
async fn lay_out(client: &Client, cluster: &str, database: &str) {
    let run = async |client: &Client, statement: &str| {
        let ran = client.query(&statement.replace('?', "??")).execute().await;
        ran.unwrap_or_else(|error| panic!("{error}\n{statement}"));
    };
    run(client, &format!("CREATE DATABASE {database}")).await;
    let client = client.clone().with_database(database);
    for statement in MIGRATIONS.iter().flat_map(|(_, text)| statements_for(text, Some(cluster), database)) {
        let plain = match statement.split_once("ReplicatedReplacingMergeTree(") {
            None => statement.clone(),
            Some((before, after)) => {
                let version = after.split_once("'{replica}'").unwrap().1.trim_start_matches(", ");
                format!("{before}ReplacingMergeTree({version}")
            }
        };
        run(&client, &plain).await;
    }
}

#[tokio::test]
async fn on_a_cluster_it_says_what_other_shards_have_until_it_was_given_on_each() {
    let Some(stack) = stack().await else { return };
    let shards = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let start = async |port| {
        let builder = Devstack::builder().launcher(PROGRAM.into(), vec![LAUNCHER_ARG.into()]).kafka(KafkaChoice::Mock);
        builder.clickhouse_native_port(port).clickhouse_cluster("two", &shards).start().await.unwrap()
    };
    let nodes = [start(shards[0]).await, start(shards[1]).await];
    for node in &nodes {
        lay_out(&Client::default().with_url(node.clickhouse_url()), "two", "spread").await;
    }
    let client = Client::default().with_url(nodes[0].clickhouse_url()).with_database("spread");
    let client = client.with_setting("distributed_foreground_insert", "1");
    fill(&client, &["gone-v1", "stays-v1"]).await;
    let rows = async |launch: &str| -> u64 {
        client.query("SELECT count() FROM exchanges WHERE launch = ?").bind(launch).fetch_one().await.unwrap()
    };
    assert_eq!((rows("gone-v1").await, rows("stays-v1").await), (30, 30));

    let on = async |node: &Devstack| {
        let place = ["--clickhouse-url", node.clickhouse_url(), "--clickhouse-database", "spread"];
        run(stack, &[&["launch", "forget", "gone-v1", "--yes"], &place[..]].concat()).await
    };
    let first = on(&nodes[0]).await;
    assert!(first.code == 1 && first.err.contains("on a node of each shard"), "{first:?}");
    on(&nodes[1]).await.ok();
    on(&nodes[0]).await.ok();
    assert_eq!((rows("gone-v1").await, rows("stays-v1").await), (0, 30));
    for (name, rows) in told(&client, "spread", "gone-v1").await {
        assert!(rows.is_empty() || name == "control_changes", "{name}: {rows}");
    }
}
